//! Names of generated items and of stored calls.

use proc_macro2::{Ident, Span};
use quote::format_ident;
use syn::ext::IdentExt;

/// The methods of the scheduling builders, which an accessor must not shadow. A test compares them with the runtime's
/// source (`tests/it/tidy.rs`).
const BUILDERS: &[&str] =
    &["of", "identifier", "priority", "expires_after", "starting_at", "time_zone", "missed", "overlap"];

/// Methods that the standard library implements for every type, or for every `Clone` or `Debug` type.
const EVERYWHERE: &[&str] =
    &["into", "try_into", "clone", "clone_into", "to_owned", "borrow", "borrow_mut", "type_id", "fmt"];

/// The strict and reserved keywords of all editions (`gen` is one since 2024). A raw identifier is the same name in each
/// of them.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro",
    "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "static", "struct", "trait",
    "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Returns whether the scheduling builders have a method of that name.
pub(crate) fn is_taken(accessor: &str) -> bool {
    BUILDERS.contains(&accessor) || EVERYWHERE.contains(&accessor)
}

/// Returns the type's name without a trailing `FutureCall`: `ExampleFutureCall` → `Example`.
pub(crate) fn stem(type_name: &Ident) -> String {
    let name = type_name.unraw().to_string();
    match name.strip_suffix("FutureCall") {
        Some(stem) if !stem.is_empty() => stem.to_owned(),
        _ => name,
    }
}

/// Converts a name to snake case: `HttpServer2Job` → `http_server2_job`.
pub(crate) fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (at, &letter) in letters.iter().enumerate() {
        let after_lower = at > 0 && !letters[at - 1].is_uppercase() && letters[at - 1] != '_';
        let before_lower = at > 0
            && letters[at - 1].is_uppercase()
            && letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && (after_lower || before_lower) {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// Returns an identifier, raw if it is a keyword in any edition; `None` if the text is not an identifier.
pub(crate) fn identifier(text: &str, span: Span) -> Option<Ident> {
    let mut letters = text.chars();
    let first = letters.next().filter(|first| first.is_alphabetic() || *first == '_')?;
    let plain = letters.all(|letter| letter.is_alphanumeric() || letter == '_');
    // These can't be raw identifiers either.
    if !plain || matches!(text, "self" | "Self" | "super" | "crate") || (first == '_' && text.len() == 1) {
        return None;
    }
    if KEYWORDS.contains(&text) {
        return Some(Ident::new_raw(text, span));
    }
    let mut ident = syn::parse_str::<Ident>(text).ok()?;
    ident.set_span(span);
    Some(ident)
}

/// Returns the key of an argument: the parameter's name without `r#` and leading `_`.
pub(crate) fn key(parameter: &Ident) -> String {
    key_of_name(&parameter.unraw().to_string())
}

/// Returns the key of an argument whose parameter has or had that name.
pub(crate) fn key_of_name(name: &str) -> String {
    match name.trim_start_matches('_') {
        "" => name.to_owned(),
        trimmed => trimmed.to_owned(),
    }
}

/// Returns the name of the const that holds the arguments of a method.
pub(crate) fn arguments_const(method: &Ident) -> Ident {
    format_ident!("__args_{}", method.unraw(), span = Span::call_site())
}

/// Returns why a text can't be a stored name, or part of one.
pub(crate) fn name_fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("it is empty")
    } else if name.chars().count() > 200 {
        Some("it is longer than 200 characters")
    } else if name.split('.').any(str::is_empty) {
        Some("a part between two dots is empty")
    } else if name.chars().any(|letter| !letter.is_alphanumeric() && !"_-.".contains(letter)) {
        Some("it contains a character other than letters, digits, `_` and `-`")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;
    use quote::format_ident;

    use super::{KEYWORDS, identifier, is_taken, key, key_of_name, name_fault, snake_case, stem};

    #[test]
    fn accessors_are_the_type_in_snake_case_without_its_ending() {
        for (type_name, accessor) in [
            ("ExampleFutureCall", "example"),
            ("Example", "example"),
            ("FutureCall", "future_call"),
            ("HttpServer2Job", "http_server2_job"),
            ("HTTPServer", "http_server"),
            ("XFutureCall", "x"),
            ("My_Type", "my_type"),
            ("already_snake", "already_snake"),
            ("ÜberFutureCall", "über"),
        ] {
            assert_eq!(snake_case(&stem(&format_ident!("{type_name}"))), accessor, "{type_name}");
        }
    }

    #[test]
    fn keywords_become_raw_identifiers_and_other_texts_none() {
        let written = |text| identifier(text, Span::call_site()).map(|ident| ident.to_string());
        assert_eq!(written("example").as_deref(), Some("example"));
        assert_eq!(written("union").as_deref(), Some("union"));
        for keyword in KEYWORDS {
            assert_eq!(written(keyword), Some(format!("r#{keyword}")));
        }
        assert_eq!(written("_x1").as_deref(), Some("_x1"));
        for bad in
            ["", "_", "self", "Self", "super", "crate", "r#type", "a-b", "a b", "1a", "a.b", "'a", "\"a\""]
        {
            assert_eq!(written(bad), None, "{bad}");
        }
    }

    #[test]
    fn keys_are_parameters_without_their_underscores() {
        assert_eq!(key(&format_ident!("_unused")), "unused");
        assert_eq!(key(&format_ident!("r#type")), "type");
        assert_eq!(key(&format_ident!("__")), "__");
        assert_eq!(key_of_name("_user"), "user");
    }

    #[test]
    fn stored_names_are_words_joined_by_dots() {
        for good in ["a", "example.hello", "my-service.a_1", "größe"] {
            assert_eq!(name_fault(good), None, "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a\0", "a/b", &*"x".repeat(201)] {
            assert!(name_fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn methods_of_the_builders_are_taken() {
        assert!(is_taken("of") && is_taken("clone") && !is_taken("example"));
    }
}
