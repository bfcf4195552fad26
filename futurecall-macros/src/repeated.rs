//! Detects two blocks in one module whose generated items would have the same names. rustc would report each of those
//! items; this makes it one error.
//!
//! An expansion only has its own block, so a static remembers the blocks of each file: the only state of the crate. When a
//! name occurs again, the file is parsed, and the block is refused only if the file really has two such blocks in one
//! module, which rustc would not accept either. Cases that are not found here are reported by rustc.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use proc_macro2::Ident;
use syn::Item;

use crate::{attrs, names, types};

/// The position of an attribute in a source file.
pub(crate) struct Position {
    file: PathBuf,
    line: usize,
    column: usize,
}

impl Position {
    /// Returns the position of the attribute that is being expanded; `None` if it is not in a file.
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

/// Expanded blocks by file and stem of the type's name.
static SEEN: Mutex<BTreeMap<(PathBuf, String), Vec<Earlier>>> = Mutex::new(BTreeMap::new());

/// Returns an earlier block that generates the same names as this one.
pub(crate) fn earlier(position: Option<Position>, type_name: &Ident) -> Option<Earlier> {
    let Position { file, line, column } = position?;
    let stem = names::stem(type_name);
    let this = Earlier { type_name: type_name.to_string(), line, column };
    let earlier = {
        let mut seen = SEEN.lock().ok()?;
        let blocks = seen.entry((file.clone(), stem.clone())).or_default();
        // A block inside a `macro_rules!` has the same position at each expansion.
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
        // Two blocks under `#[cfg]` may exclude each other.
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
    fn two_blocks_in_one_module_are_found_at_any_depth() {
        assert!(has_two_mails(
            "#[future_call] impl Mail {} mod m {} #[a::future_call(x)] impl b::MailFutureCall {}"
        ));
        assert!(has_two_mails(
            "mod a { mod b { #[future_call] impl Mail {} #[future_call] impl Mail<T> {} } }"
        ));
    }

    #[test]
    fn blocks_without_conflict_are_not() {
        assert!(!has_two_mails("#[future_call] impl Mail {} impl Mail {} #[future_call] impl Post {}"));
        assert!(!has_two_mails(
            "mod a { #[future_call] impl Mail {} } mod b { #[future_call] impl Mail {} }"
        ));
        assert!(!has_two_mails(
            "#[cfg(a)] #[future_call] impl Mail {} #[cfg(not(a))] #[future_call] impl Mail {}"
        ));
    }
}
