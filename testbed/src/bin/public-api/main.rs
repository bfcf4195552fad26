//! Lists the public interface of a crate, an item a line, from what rustdoc says of it in JSON. `scripts/public-api` runs it.
//!
//! rustdoc's JSON is not stable. What is read here has kept its form for long; what this program does not know is an error,
//! never a line that is missing.

mod signature;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::process::ExitCode;

use serde_json::Value;

use self::signature::{Unknown, bounds, function, generics, path_of, predicates, ty, variant_of};

/// The format of the JSON that this was written for, which is that of Rust 1.95.
const FORMAT: u64 = 57;

/// The path of an item, a number that puts the item before its parts, and the path of the part.
type Place = (String, u8, String);
type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(file), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: public-api FILE.json, as written by rustdoc --document-hidden-items");
        return ExitCode::from(2);
    };
    let listed = std::fs::read_to_string(&file).map_err(Into::into).and_then(|text| list(&text));
    match listed {
        Ok(lines) => {
            for line in lines {
                println!("{line}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {}: {error}", file.display());
            ExitCode::FAILURE
        }
    }
}

/// Returns the lines for a crate, sorted by path.
fn list(json: &str) -> Outcome<Vec<String>> {
    let json: Value = serde_json::from_str(json)?;
    let format = json["format_version"].as_u64().ok_or("it has no format version")?;
    if format != FORMAT {
        eprintln!(
            "note: rustdoc writes format {format}, and testbed/src/bin/public-api was written for {FORMAT} (Rust 1.95)"
        );
    }
    let mut list = List { json: &json, lines: BTreeSet::new(), listed: BTreeMap::new() };
    let root = list.item(&json["root"]).ok_or("it has no root")?;
    let name = root["name"].as_str().ok_or("the crate has no name")?;
    list.module(name, root)?;
    Ok(list.lines.into_iter().map(|(_, line)| line).collect())
}

struct List<'a> {
    json: &'a Value,
    lines: BTreeSet<(Place, String)>,
    /// The path of each item that was listed, by its id.
    listed: BTreeMap<u64, String>,
}

impl<'a> List<'a> {
    /// The item of that id; `None` where the crate does not document it.
    fn item(&self, id: &Value) -> Option<&'a Value> {
        self.json["index"].get(id.as_u64()?.to_string())
    }

    /// The item of that id, which has to be there.
    fn known(&self, id: &Value) -> Outcome<&'a Value> {
        self.item(id).ok_or_else(|| format!("item {id} is missing").into())
    }

    fn line(&mut self, owner: &str, rank: u8, line: String) {
        self.lines.insert(((owner.to_owned(), rank, String::new()), line));
    }

    fn module(&mut self, path: &str, module: &'a Value) -> Outcome {
        let items = array(&module["inner"]["module"]["items"])?;
        let items = items.iter().map(|id| self.known(id)).collect::<Outcome<Vec<_>>>()?;
        // Modules come last: what the root has is listed there.
        let (modules, others): (Vec<&Value>, Vec<&Value>) = items
            .into_iter()
            .filter(|item| !is_hidden(item))
            .partition(|item| item["inner"].get("module").is_some());
        for item in others.into_iter().chain(modules) {
            let (kind, inner) = variant_of(&item["inner"])?;
            if kind == "use" {
                self.re_export(path, inner)?;
            } else {
                let name = item["name"].as_str().ok_or("an item has no name")?;
                self.named(&format!("{path}::{name}"), item)?;
            }
        }
        Ok(())
    }

    fn re_export(&mut self, path: &str, inner: &'a Value) -> Outcome {
        let target = self.item(&inner["id"]);
        match target {
            Some(module) if inner["is_glob"] == true => self.module(path, module),
            Some(target) => self.named(&format!("{path}::{}", text(&inner["name"])?), target),
            None => {
                let (name, source) = (text(&inner["name"])?, text(&inner["source"])?);
                let name = if inner["is_glob"] == true { "*" } else { name };
                self.line(&format!("{path}::{name}"), 0, format!("use {path}::{name} = {source}"));
                Ok(())
            }
        }
    }

    fn named(&mut self, path: &str, item: &'a Value) -> Outcome {
        let id = item["id"].as_u64().ok_or("an item has no id")?;
        if let Some(first) = self.listed.get(&id) {
            let line = format!("use {path} = {first}");
            self.line(path, 0, line);
            return Ok(());
        }
        self.listed.insert(id, path.to_owned());
        let (kind, inner) = variant_of(&item["inner"])?;
        let open = if attributes(item).any(|text| text.contains("non_exhaustive")) {
            " (non_exhaustive)"
        } else {
            ""
        };
        let declared = || -> Result<String, Unknown> {
            let word = if kind == "type_alias" { "type" } else { kind };
            Ok(format!("{word} {path}{}{}", generics(&inner["generics"])?, predicates(&inner["generics"])?))
        };
        match kind {
            "module" => {
                self.line(path, 0, format!("mod {path}"));
                self.module(path, item)?;
            }
            "struct" => {
                self.line(path, 0, format!("{}{open}", declared()?));
                self.fields(path, &inner["kind"])?;
                self.of_type(path, inner)?;
            }
            "enum" => {
                self.line(path, 0, format!("{}{open}", declared()?));
                for id in array(&inner["variants"])? {
                    let variant = self.known(id)?;
                    if !is_hidden(variant) {
                        self.variant(path, variant)?;
                    }
                }
                self.of_type(path, inner)?;
            }
            "trait" => {
                let bounds = bounds(&inner["bounds"])?;
                let bounds = if bounds.is_empty() { bounds } else { format!(": {bounds}") };
                self.line(path, 0, format!("{}{bounds}", declared()?));
                self.parts(path, &inner["items"])?;
                self.implementors(path, inner)?;
            }
            "function" => self.line(path, 0, function(path, inner)?),
            "constant" => self.line(path, 0, format!("const {path}: {}", ty(&inner["type"])?)),
            "type_alias" => self.line(path, 0, format!("{} = {}", declared()?, ty(&inner["type"])?)),
            "macro" | "proc_macro" => self.line(path, 0, format!("macro {path}")),
            other => return Err(format!("{path} is of an unknown kind: {other}").into()),
        }
        Ok(())
    }

    fn fields(&mut self, path: &str, kind: &'a Value) -> Outcome {
        let ids = kind.get("plain").map(|plain| &plain["fields"]).or_else(|| kind.get("tuple"));
        let Some(ids) = ids else { return Ok(()) };
        for id in array(ids)?.iter().filter(|id| !id.is_null()) {
            let field = self.known(id)?;
            if !is_hidden(field) {
                let line = format!("{path}.{}", field_of(field)?);
                self.line(path, 1, line);
            }
        }
        Ok(())
    }

    fn variant(&mut self, path: &str, variant: &'a Value) -> Outcome {
        let kind = &variant["inner"]["variant"]["kind"];
        let mut line = format!("{path}::{}", text(&variant["name"])?);
        if let Some(ids) = kind.get("tuple") {
            let types = array(ids)?.iter().map(|id| match self.item(id) {
                Some(field) => Ok(ty(&field["inner"]["struct_field"])?),
                None => Ok("_".to_owned()),
            });
            let types = types.collect::<Outcome<Vec<_>>>()?;
            line = format!("{line}({})", types.join(", "));
        } else if let Some(fields) = kind.get("struct") {
            let fields = array(&fields["fields"])?.iter().map(|id| field_of(self.known(id)?));
            let fields = fields.collect::<Outcome<Vec<_>>>()?;
            line = format!("{line} {{ {} }}", fields.join(", "));
        }
        if attributes(variant).any(|text| text.contains("non_exhaustive")) {
            line += " (non_exhaustive)";
        }
        self.line(path, 1, line);
        Ok(())
    }

    /// What a type's own blocks hold, and which traits it implements.
    fn of_type(&mut self, path: &str, inner: &'a Value) -> Outcome {
        let mut traits = BTreeSet::new();
        for id in array(&inner["impls"])? {
            let Some(block) = self.item(id) else { continue };
            let of = &block["inner"]["impl"];
            if is_hidden(block) || of["is_synthetic"] == true || !of["blanket_impl"].is_null() {
                continue;
            }
            if of["trait"].is_null() {
                self.parts(path, &of["items"])?;
            } else if let Some(name) = self.implemented(of)? {
                traits.insert(name);
            }
        }
        if !traits.is_empty() {
            let traits: Vec<_> = traits.into_iter().collect();
            self.line(path, 3, format!("impl {path}: {}", traits.join(" + ")));
        }
        Ok(())
    }

    /// The types of others that implement a trait of this crate.
    fn implementors(&mut self, path: &str, inner: &'a Value) -> Outcome {
        for id in array(&inner["implementations"])? {
            let Some(block) = self.item(id) else { continue };
            let of = &block["inner"]["impl"];
            let own = of["for"].get("resolved_path").and_then(|path| self.item(&path["id"])).is_some();
            if is_hidden(block) || own {
                continue;
            }
            let line = format!(
                "impl{} {path} for {}{}",
                generics(&of["generics"])?,
                ty(&of["for"])?,
                predicates(&of["generics"])?
            );
            self.line(path, 3, line);
        }
        Ok(())
    }

    /// A trait that a type implements, with its associated types; `None`: it is hidden, or the compiler's own business.
    fn implemented(&self, of: &'a Value) -> Outcome<Option<String>> {
        let of_trait = &of["trait"];
        let name = path_of(of_trait)?;
        let hidden = self.item(&of_trait["id"]).is_some_and(is_hidden);
        if hidden || name == "StructuralPartialEq" || name.ends_with("Sealed") {
            return Ok(None);
        }
        let mut types = Vec::new();
        for id in array(&of["items"])? {
            let part = self.known(id)?;
            if let Some(of_type) = part["inner"].get("assoc_type").filter(|_| !is_hidden(part)) {
                types.push(format!("{} = {}", text(&part["name"])?, ty(&of_type["type"])?));
            }
        }
        let types = if types.is_empty() { String::new() } else { format!("<{}>", types.join(", ")) };
        Ok(Some(format!("{name}{types}")))
    }

    /// Methods, associated types and constants.
    fn parts(&mut self, path: &str, ids: &'a Value) -> Outcome {
        for id in array(ids)? {
            let Some(part) = self.item(id) else { continue };
            if is_hidden(part) {
                continue;
            }
            let path_of_part = format!("{path}::{}", text(&part["name"])?);
            let (kind, inner) = variant_of(&part["inner"])?;
            let line = match kind {
                "function" => function(&path_of_part, inner)?,
                "assoc_const" => format!("const {path_of_part}: {}", ty(&inner["type"])?),
                "assoc_type" => {
                    let bounds = bounds(&inner["bounds"])?;
                    let bounds = if bounds.is_empty() { bounds } else { format!(": {bounds}") };
                    format!("type {path_of_part}{}{bounds}", generics(&inner["generics"])?)
                }
                other => return Err(format!("{path_of_part} is of an unknown kind: {other}").into()),
            };
            self.lines.insert(((path.to_owned(), 2, path_of_part), line));
        }
        Ok(())
    }
}

/// A field with its type.
fn field_of(field: &Value) -> Outcome<String> {
    Ok(format!("{}: {}", text(&field["name"])?, ty(&field["inner"]["struct_field"])?))
}

/// The attributes of an item, as texts.
fn attributes(item: &Value) -> impl Iterator<Item = String> {
    item["attrs"].as_array().into_iter().flatten().map(|attribute| match attribute.as_str() {
        Some(text) => text.to_owned(),
        None => attribute["other"].as_str().unwrap_or_default().to_owned(),
    })
}

fn is_hidden(item: &Value) -> bool {
    attributes(item).any(|text| text.contains("doc(hidden)"))
}

fn array(value: &Value) -> Result<&Vec<Value>, Unknown> {
    value.as_array().ok_or_else(|| Unknown::new("a list", value))
}

fn text(value: &Value) -> Result<&str, Unknown> {
    value.as_str().ok_or_else(|| Unknown::new("a text", value))
}

#[cfg(test)]
mod tests;
