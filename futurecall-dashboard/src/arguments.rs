//! Stored arguments, redacted as required and pretty-printed without changing a digit.

use futurecall_runtime::inspect::Redaction;
use maud::{Markup, html};

use crate::access::{Arguments, Right};
use crate::request_context::RequestContext;
use crate::text::{cut, number, safe_lines};

/// Characters of arguments shown on a page; the JSON of the page has all.
const LONGEST_SHOWN: usize = 20_000;

/// Arguments as far as a user may see them.
pub(crate) enum VisibleArguments {
    /// JSON, with marked parameters redacted.
    Text(String),
    /// No arguments, with the reason.
    Hidden(&'static str),
}

impl VisibleArguments {
    /// Returns the arguments as JSON text, unless they are hidden.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Hidden(_) => None,
        }
    }

    pub(crate) fn markup(&self) -> Markup {
        match self {
            Self::Hidden(why) => html! { p.quiet data-test="arguments-hidden" { (why) } },
            Self::Text(text) => {
                let pretty = pretty(text);
                let (shown, more) = cut(&pretty, LONGEST_SHOWN);
                html! {
                    pre.arguments data-test="arguments" tabindex="0" { code { (safe_lines(shown)) @if more { "\n…" } } }
                    @if more {
                        p.quiet { (number(text.len() as u64)) " bytes in total. Add .json to the path of this page to see all of them." }
                    }
                }
            }
        }
    }
}

/// Returns the arguments of a call as far as the user may see them.
pub(crate) fn visible_arguments(ctx: &RequestContext, name: &str, args: &str) -> VisibleArguments {
    if ctx.shared.arguments == Arguments::Hidden {
        return VisibleArguments::Hidden("Arguments are hidden on this dashboard.");
    }
    if !ctx.may(Right::SeeArguments) {
        return VisibleArguments::Hidden("You are not allowed to see arguments.");
    }
    if args.is_empty() {
        return VisibleArguments::Hidden("The database role of this pod is not allowed to read arguments.");
    }
    if ctx.shared.arguments == Arguments::Shown {
        return VisibleArguments::Text(args.to_owned());
    }
    let redaction = Redaction::of(&ctx.pods);
    if !redaction.knows(name) {
        return VisibleArguments::Hidden(
            "Hidden: no pod of the last day runs this call type, so it is not known which parameters are redacted.",
        );
    }
    VisibleArguments::Text(redaction.hide(name, args).into_owned())
}

/// Formats JSON with one member per line. It does not parse, so that no number loses a digit; invalid JSON keeps every
/// character.
pub(crate) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len().saturating_mul(2));
    let mut depth = 0_usize;
    let mut characters = json.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                out.push('"');
                let mut escaped = false;
                for character in characters.by_ref() {
                    out.push(character);
                    match character {
                        '"' if !escaped => break,
                        '\\' => escaped = !escaped,
                        _ => escaped = false,
                    }
                }
            }
            '{' | '[' => {
                out.push(character);
                while characters.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(close) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth = depth.saturating_add(1);
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            space if space.is_ascii_whitespace() => {}
            other => out.push(other),
        }
    }
    out
}

/// Starts an indented line. Indentation stops at 100 levels, the most that valid arguments have.
fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth.min(100)));
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn pretty_printing_loses_nothing() {
        let json =
            r#"{"id":18446744073709551617,"f":1.10e400,"s":"a\"{b,\\","e":{},"l":[ ],"n":[1,{"x":null}]}"#;
        let printed = "{\n  \"id\": 18446744073709551617,\n  \"f\": 1.10e400,\n  \"s\": \"a\\\"{b,\\\\\",\n  \"e\": {},\n  \
                        \"l\": [],\n  \"n\": [\n    1,\n    {\n      \"x\": null\n    }\n  ]\n}";
        assert_eq!(pretty(json), printed);
        for broken in ["", "]]]]", "\"\\", "{\"a", "[[[["] {
            let kept: String =
                pretty(broken).chars().filter(|character| !character.is_whitespace()).collect();
            assert_eq!(kept, broken);
        }
    }
}
