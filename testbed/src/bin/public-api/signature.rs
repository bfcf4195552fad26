//! Types, bounds and signatures, as Rust writes them. Paths are shortened to their last name.

use std::error::Error;
use std::fmt;

use serde_json::Value;

/// A piece of the JSON that is not as expected.
#[derive(Debug)]
pub(crate) struct Unknown(String);

impl Unknown {
    pub(crate) fn new(expected: &str, found: &Value) -> Self {
        let mut found = found.to_string();
        found.truncate(found.floor_char_boundary(300));
        Self(format!("expected {expected}, found {found}; is this another format of rustdoc's JSON?"))
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Unknown {}

type Text = Result<String, Unknown>;

/// The only key of an object, and what stands there: how rustdoc writes an enum.
pub(crate) fn variant_of(value: &Value) -> Result<(&str, &Value), Unknown> {
    let entry = value.as_object().filter(|object| object.len() == 1).and_then(|object| object.iter().next());
    entry
        .map(|(kind, inner)| (kind.as_str(), inner))
        .ok_or_else(|| Unknown::new("a kind of item or type", value))
}

fn joined(value: &Value, separator: &str, each: impl Fn(&Value) -> Text) -> Text {
    let items = value.as_array().ok_or_else(|| Unknown::new("a list", value))?;
    Ok(items.iter().map(each).collect::<Result<Vec<_>, _>>()?.join(separator))
}

fn string(value: &Value) -> Text {
    value.as_str().map(str::to_owned).ok_or_else(|| Unknown::new("a text", value))
}

/// A function or method of that path.
pub(crate) fn function(path: &str, function: &Value) -> Text {
    let header = &function["header"];
    let mut text = String::new();
    for (key, word) in [("is_const", "const "), ("is_async", "async "), ("is_unsafe", "unsafe ")] {
        if header[key] == true {
            text += word;
        }
    }
    let signature = &function["sig"];
    let inputs = joined(&signature["inputs"], ", ", |input| {
        let (name, of) = (string(&input[0])?, &input[1]);
        if name != "self" {
            return Ok(format!("{name}: {}", ty(of)?));
        }
        let of = ty(of)?;
        Ok(match of.strip_suffix("Self") {
            Some(before) if before.is_empty() || before.starts_with('&') => format!("{before}self"),
            _ => format!("self: {of}"),
        })
    })?;
    let output = output(&signature["output"])?;
    let (parameters, wheres) = (generics(&function["generics"])?, predicates(&function["generics"])?);
    Ok(format!("{text}fn {path}{parameters}({inputs}){output}{wheres}"))
}

fn output(value: &Value) -> Text {
    if value.is_null() { Ok(String::new()) } else { Ok(format!(" -> {}", ty(value)?)) }
}

/// The parameters of an item in angle brackets; nothing if it has none.
pub(crate) fn generics(generics: &Value) -> Text {
    let parameters = generics["params"].as_array().map_or(&[][..], Vec::as_slice);
    // `impl Trait` among the arguments stands there.
    let written = parameters.iter().filter(|parameter| parameter["kind"]["type"]["is_synthetic"] != true);
    let written = written.map(parameter).collect::<Result<Vec<_>, _>>()?;
    Ok(if written.is_empty() { String::new() } else { format!("<{}>", written.join(", ")) })
}

fn parameter(parameter: &Value) -> Text {
    let name = string(&parameter["name"])?;
    let (kind, inner) = variant_of(&parameter["kind"])?;
    match kind {
        "lifetime" => Ok(name),
        "const" => Ok(format!("const {name}: {}", ty(&inner["type"])?)),
        "type" => {
            let bounds = bounds(&inner["bounds"])?;
            let bounds = if bounds.is_empty() { bounds } else { format!(": {bounds}") };
            let default = if inner["default"].is_null() {
                String::new()
            } else {
                format!(" = {}", ty(&inner["default"])?)
            };
            Ok(format!("{name}{bounds}{default}"))
        }
        _ => Err(Unknown::new("a parameter", &parameter["kind"])),
    }
}

/// The where clause of an item; nothing if it has none.
pub(crate) fn predicates(generics: &Value) -> Text {
    let predicates = generics["where_predicates"].as_array().map_or(&[][..], Vec::as_slice);
    let written = predicates.iter().map(|predicate| {
        let (kind, inner) = variant_of(predicate)?;
        match kind {
            "bound_predicate" => Ok(format!("{}: {}", ty(&inner["type"])?, bounds(&inner["bounds"])?)),
            "lifetime_predicate" => {
                Ok(format!("{}: {}", string(&inner["lifetime"])?, joined(&inner["outlives"], " + ", string)?))
            }
            _ => Err(Unknown::new("a where clause", predicate)),
        }
    });
    let written = written.collect::<Result<Vec<_>, _>>()?;
    Ok(if written.is_empty() { String::new() } else { format!(" where {}", written.join(", ")) })
}

/// Bounds, separated by `+`.
pub(crate) fn bounds(bounds: &Value) -> Text {
    joined(bounds, " + ", |bound| {
        let (kind, inner) = variant_of(bound)?;
        match kind {
            "outlives" => string(inner),
            "use" => Ok(format!("use<{}>", joined(inner, ", ", |one| string(variant_of(one)?.1))?)),
            "trait_bound" => {
                let maybe = if inner["modifier"] == "maybe" { "?" } else { "" };
                Ok(format!("{maybe}{}", poly_trait(inner)?))
            }
            _ => Err(Unknown::new("a bound", bound)),
        }
    })
}

/// A trait, with the lifetimes that it holds for all of.
fn poly_trait(value: &Value) -> Text {
    let lifetimes = joined(&value["generic_params"], ", ", |parameter| string(&parameter["name"]))?;
    let lifetimes = if lifetimes.is_empty() { lifetimes } else { format!("for<{lifetimes}> ") };
    Ok(format!("{lifetimes}{}", path_of(&value["trait"])?))
}

/// The last name of a path, with its arguments.
pub(crate) fn path_of(path: &Value) -> Text {
    let name = string(&path["path"])?;
    let name = name.rsplit("::").next().unwrap_or_default();
    Ok(format!("{name}{}", arguments(&path["args"])?))
}

fn arguments(value: &Value) -> Text {
    if value.is_null() {
        return Ok(String::new());
    }
    let (kind, inner) = variant_of(value)?;
    match kind {
        "angle_bracketed" => {
            let arguments = joined(&inner["args"], ", ", argument)?;
            let constraints = joined(&inner["constraints"], ", ", constraint)?;
            let all: Vec<String> =
                [arguments, constraints].into_iter().filter(|text| !text.is_empty()).collect();
            Ok(if all.is_empty() { String::new() } else { format!("<{}>", all.join(", ")) })
        }
        "parenthesized" => {
            Ok(format!("({}){}", joined(&inner["inputs"], ", ", ty)?, output(&inner["output"])?))
        }
        _ => Err(Unknown::new("arguments of a type", value)),
    }
}

fn argument(value: &Value) -> Text {
    if value == "infer" {
        return Ok("_".to_owned());
    }
    let (kind, inner) = variant_of(value)?;
    match kind {
        "lifetime" => string(inner),
        "type" => ty(inner),
        "const" => string(&inner["expr"]),
        _ => Err(Unknown::new("an argument of a type", value)),
    }
}

fn constraint(value: &Value) -> Text {
    let name = string(&value["name"])?;
    let (kind, inner) = variant_of(&value["binding"])?;
    match kind {
        "equality" => Ok(format!("{name} = {}", ty(&inner["type"])?)),
        "constraint" => Ok(format!("{name}: {}", bounds(inner)?)),
        _ => Err(Unknown::new("a constraint", value)),
    }
}

/// A type.
pub(crate) fn ty(value: &Value) -> Text {
    if value == "infer" {
        return Ok("_".to_owned());
    }
    let (kind, inner) = variant_of(value)?;
    match kind {
        "resolved_path" => path_of(inner),
        "generic" => string(inner),
        "primitive" => Ok(string(inner)?.replace("never", "!")),
        "tuple" => Ok(format!("({})", joined(inner, ", ", ty)?)),
        "slice" => Ok(format!("[{}]", ty(inner)?)),
        "array" => Ok(format!("[{}; {}]", ty(&inner["type"])?, string(&inner["len"])?)),
        "impl_trait" => Ok(format!("impl {}", bounds(inner)?)),
        "raw_pointer" => {
            let word = if inner["is_mutable"] == true { "mut" } else { "const" };
            Ok(format!("*{word} {}", ty(&inner["type"])?))
        }
        "borrowed_ref" => {
            let lifetime =
                inner["lifetime"].as_str().map_or_else(String::new, |lifetime| format!("{lifetime} "));
            let word = if inner["is_mutable"] == true { "mut " } else { "" };
            Ok(format!("&{lifetime}{word}{}", ty(&inner["type"])?))
        }
        "dyn_trait" => {
            let lifetime =
                inner["lifetime"].as_str().map_or_else(String::new, |lifetime| format!(" + {lifetime}"));
            Ok(format!("dyn {}{lifetime}", joined(&inner["traits"], " + ", poly_trait)?))
        }
        "function_pointer" => {
            let inputs = joined(&inner["sig"]["inputs"], ", ", |input| ty(&input[1]))?;
            Ok(format!("fn({inputs}){}", output(&inner["sig"]["output"])?))
        }
        "qualified_path" => {
            let (of, name) = (ty(&inner["self_type"])?, string(&inner["name"])?);
            let arguments = arguments(&inner["args"])?;
            let of_trait = if inner["trait"].is_null() { String::new() } else { path_of(&inner["trait"])? };
            if of_trait.is_empty() {
                return Ok(format!("{of}::{name}{arguments}"));
            }
            Ok(format!("<{of} as {of_trait}>::{name}{arguments}"))
        }
        _ => Err(Unknown::new("a type", value)),
    }
}
