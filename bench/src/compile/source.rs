//! The crates that are compiled: the same methods in two forms.

use std::fmt::Write as _;

/// The form of a crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Methods in blocks with `#[future_call]`.
    Ours,
    /// Functions, a struct of each one's arguments, a function that stores them, and a dispatch by name that returns a
    /// boxed future: what one writes for a library that takes a name and a serializable value.
    Theirs,
    /// Those structs only: no functions, so no program either.
    Structs,
}

/// The types of the three arguments, in turns: borrowed for the handler, and owned.
const ARGUMENTS: [[(&str, &str, &str); 3]; 4] = [
    [("user", "u64", "u64"), ("text", "&str", "String"), ("tags", "Vec<String>", "Vec<String>")],
    [("order", "i64", "i64"), ("lines", "Vec<(u32, i64)>", "Vec<(u32, i64)>"), ("paid", "bool", "bool")],
    [("to", "String", "String"), ("cc", "Option<String>", "Option<String>"), ("retries", "u32", "u32")],
    [("key", "&str", "String"), ("amount", "i64", "i64"), ("meta", "Map", "Map")],
];
/// Methods of one block.
const BLOCK: usize = 10;

impl Source {
    /// The crate's name.
    pub(super) fn name(self, methods: usize) -> String {
        match self {
            Self::Ours => format!("ours-{methods}"),
            Self::Theirs => format!("theirs-{methods}"),
            Self::Structs => format!("structs-{methods}"),
        }
    }

    /// The crate's only file.
    pub(super) fn write(self, methods: usize) -> String {
        let mut text = String::from("pub type Map = std::collections::BTreeMap<String, String>;\n\n");
        // Writing to a string cannot fail, so its results are ignored here.
        match self {
            Self::Ours => ours(&mut text, methods),
            Self::Theirs => theirs(&mut text, methods),
            Self::Structs => structs(&mut text, methods),
        }
        text
    }
}

fn ours(text: &mut String, methods: usize) {
    text.push_str("use futurecall_runtime::prelude::*;\n");
    for block in 0..methods / BLOCK {
        let _ = writeln!(
            text,
            "\npub struct Block{block}FutureCall;\n\n#[future_call]\nimpl Block{block}FutureCall {{"
        );
        for method in 0..BLOCK {
            let arguments: String =
                arguments(block * BLOCK + method).map(|(name, lent, _)| format!(", {name}: {lent}")).concat();
            let _ = writeln!(
                text,
                "    pub async fn method_{method}(_session: &Session{arguments}) -> Result<(), BoxError> {{\n        \
                 {}\n    }}\n",
                body(block * BLOCK + method)
            );
        }
        text.push_str("}\n");
    }
    // Facades are used, as in a service.
    text.push_str("\npub async fn schedule(pod: &Pod) -> Result<(), BoxError> {\n");
    for block in 0..methods / BLOCK {
        let values = values(block * BLOCK).join(", ");
        let _ = writeln!(text, "    pod.future_calls().call_now().block{block}().method_0({values}).await?;");
    }
    text.push_str("    Ok(())\n}\n");
}

fn theirs(text: &mut String, methods: usize) {
    text.push_str(
        "use std::pin::Pin;\nuse std::time::Duration;\n\nuse futurecall_runtime::{BoxError, CallId, Pod, ScheduleError, Session};\n\
         use serde::{Deserialize, Serialize};\n",
    );
    let mut arms = String::new();
    for number in 0..methods {
        let (block, method) = (number / BLOCK, number % BLOCK);
        let name = format!("block{block}_method_{method}");
        let arguments = arguments(number);
        let lent = arguments.map(|(field, lent, _)| format!(", {field}: {lent}")).concat();
        let makes = arguments.map(|(field, lent, _)| {
            if lent == "&str" { format!("{field}: {field}.to_owned()") } else { field.to_owned() }
        });
        let takes = arguments.map(|(field, lent, _)| {
            if lent == "&str" { format!(", &data.{field}") } else { format!(", data.{field}") }
        });
        let _ = writeln!(
            text,
            "{}\n\
             pub async fn {name}(_session: &Session{lent}) -> Result<(), BoxError> {{\n    {}\n}}\n\n\
             pub async fn enqueue_{name}(pod: &Pod, delay: Duration{lent}) -> Result<CallId, ScheduleError> {{\n    \
             let data = Block{block}Method{method} {{ {} }};\n    \
             pod.future_call_with_delay(\"block{block}.method_{method}\", Some(&data), delay).await\n}}",
            structure(number),
            body(number),
            makes.join(", ")
        );
        let _ = writeln!(
            arms,
            "        \"block{block}.method_{method}\" => {{\n            \
             let data: Block{block}Method{method} = serde_json::from_str(args)?;\n            \
             Box::pin(async move {{ {name}(session{}).await }})\n        }}",
            takes.concat()
        );
    }
    let _ = writeln!(
        text,
        "\npub type Run<'a> = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>>;\n\n\
         pub fn dispatch<'a>(session: &'a Session, name: &str, args: &str) -> Result<Run<'a>, BoxError> {{\n    \
         Ok(match name {{\n{arms}        _ => return Err(format!(\"{{name}} is not known\").into()),\n    }})\n}}"
    );
    // As many as with ours.
    text.push_str("\npub async fn schedule(pod: &Pod) -> Result<(), BoxError> {\n");
    for block in 0..methods / BLOCK {
        let values = values(block * BLOCK).join(", ");
        let _ = writeln!(text, "    enqueue_block{block}_method_0(pod, Duration::ZERO, {values}).await?;");
    }
    text.push_str("    Ok(())\n}\n");
}

fn structs(text: &mut String, methods: usize) {
    text.push_str("pub use futurecall_runtime::Pod;\nuse serde::{Deserialize, Serialize};\n");
    for number in 0..methods {
        text.push_str(&structure(number));
    }
}

fn structure(number: usize) -> String {
    let (block, method) = (number / BLOCK, number % BLOCK);
    let fields = arguments(number).map(|(field, _, owned)| format!("    pub {field}: {owned},\n")).concat();
    format!("\n#[derive(Serialize, Deserialize)]\npub struct Block{block}Method{method} {{\n{fields}}}\n")
}

fn arguments(number: usize) -> [(&'static str, &'static str, &'static str); 3] {
    ARGUMENTS[number % ARGUMENTS.len()]
}

/// Uses every argument.
fn body(number: usize) -> String {
    let [(first, ..), (second, ..), (third, ..)] = arguments(number);
    format!("drop(({first}, {second}, {third}));\n        Ok(())")
}

fn values(number: usize) -> [&'static str; 3] {
    arguments(number).map(|(_, lent, _)| match lent {
        "&str" => "\"text\"",
        "String" => "String::new()",
        "bool" => "true",
        "Option<String>" => "None",
        "Map" => "Map::new()",
        number if number.starts_with("Vec") => "Vec::new()",
        _ => "1",
    })
}
