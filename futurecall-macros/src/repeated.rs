//! Two blocks of one module whose generated items would have the same names. An expansion sees its own block alone, and
//! rustc would report each of those items; here it is found out, so that it is one mistake.
//!
//! This is the only state of the crate, and it serves that message alone. A block whose name has been seen in the same
//! file before looks into the file, and is refused only if the file does have two such blocks in one module, which no
//! compiler accepts. What is not found here, rustc reports.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use proc_macro2::Ident;
use syn::Item;

use crate::{attrs, names, types};

/// Where an attribute stands.
pub(crate) struct Place {
    file: PathBuf,
    line: usize,
    column: usize,
}

impl Place {
    /// Of the attribute that is being expanded; `None` if it stands in no file.
    pub(crate) fn of_attribute() -> Option<Self> {
        let span = proc_macro::Span::call_site();
        Some(Self { file: span.local_file()?, line: span.line(), column: span.column() })
    }
}

/// A block that has been expanded.
#[derive(Clone)]
pub(crate) struct Earlier {
    pub(crate) type_name: String,
    pub(crate) line: usize,
    column: usize,
}

/// By file and by the part of the type's name that generated names are made of.
static SEEN: Mutex<BTreeMap<(PathBuf, String), Vec<Earlier>>> = Mutex::new(BTreeMap::new());

/// The block that has taken the generated names of this one, if there is one.
pub(crate) fn earlier(place: Option<Place>, type_name: &Ident) -> Option<Earlier> {
    let Place { file, line, column } = place?;
    let stem = names::stem(type_name);
    let this = Earlier { type_name: type_name.to_string(), line, column };
    let earlier = {
        let mut seen = SEEN.lock().ok()?;
        let blocks = seen.entry((file.clone(), stem.clone())).or_default();
        // One that stands in a `macro_rules` is expanded each time that this is called.
        let earlier = blocks.iter().find(|block| (block.line, block.column) != (line, column)).cloned();
        blocks.push(this);
        earlier?
    };
    has_two_in_a_module(&file, &stem).then_some(earlier)
}

fn has_two_in_a_module(file: &Path, stem: &str) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    syn::parse_file(&text).is_ok_and(|file| has_two(&file.items, stem))
}

fn has_two(items: &[Item], stem: &str) -> bool {
    let blocks = items.iter().filter(|item| match item {
        // Of two under `#[cfg]` only one may exist.
        Item::Impl(block) => {
            block.attrs.iter().any(attrs::is_ours)
                && !block.attrs.iter().any(attrs::is_cfg)
                && types::last_name(&block.self_ty).is_some_and(|name| names::stem(name) == stem)
        }
        _ => false,
    });
    blocks.count() > 1
        || items.iter().any(|item| match item {
            Item::Mod(module) => module.content.as_ref().is_some_and(|(_, items)| has_two(items, stem)),
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::has_two;

    fn has_two_mails(text: &str) -> bool {
        has_two(&syn::parse_file(text).expect("the text is Rust").items, "Mail")
    }

    #[test]
    fn two_blocks_in_one_module_are_found_wherever_it_stands() {
        assert!(has_two_mails(
            "#[future_call] impl Mail {} mod m {} #[a::future_call(x)] impl b::MailFutureCall {}"
        ));
        assert!(has_two_mails(
            "mod a { mod b { #[future_call] impl Mail {} #[future_call] impl Mail<T> {} } }"
        ));
    }

    #[test]
    fn blocks_that_can_stand_together_are_not() {
        assert!(!has_two_mails("#[future_call] impl Mail {} impl Mail {} #[future_call] impl Post {}"));
        assert!(!has_two_mails(
            "mod a { #[future_call] impl Mail {} } mod b { #[future_call] impl Mail {} }"
        ));
        assert!(!has_two_mails(
            "#[cfg(a)] #[future_call] impl Mail {} #[cfg(not(a))] #[future_call] impl Mail {}"
        ));
    }
}
