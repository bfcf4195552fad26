//! Stored arguments, laid out for people: every number to its last digit, whatever may not be seen left out.

use futurecall_runtime::inspect::Redaction;
use maud::{Markup, html};

use crate::access::{Arguments, Right};
use crate::request_context::Visit;
use crate::text::{cut, number, safe_lines};

/// What a page lays out at most; the JSON beside it has all.
const LONGEST_SHOWN: usize = 20_000;

/// Arguments as far as a visitor may see them.
pub(crate) enum Seen {
    /// JSON, with what is marked hidden.
    Text(String),
    /// Nothing, and why.
    Hidden(&'static str),
}

impl Seen {
    /// For JSON: the text of the arguments, or nothing.
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
                        p.quiet { (number(text.len() as u64)) " bytes: the JSON beside this page has them all." }
                    }
                }
            }
        }
    }
}

/// What this visitor sees of a call's arguments.
pub(crate) fn seen(visit: &Visit, name: &str, args: &str) -> Seen {
    if visit.desk.arguments == Arguments::Hidden {
        return Seen::Hidden("Arguments are hidden on this dashboard.");
    }
    if !visit.may(Right::SeeArguments) {
        return Seen::Hidden("You have no right to see arguments.");
    }
    if args.is_empty() {
        return Seen::Hidden("The database role of this pod may not read arguments.");
    }
    if visit.desk.arguments == Arguments::Shown {
        return Seen::Text(args.to_owned());
    }
    let redaction = Redaction::of(&visit.pods);
    if !redaction.knows(name) {
        return Seen::Hidden(
            "Hidden, because no pod of the last day knows this name, and so which of its arguments are secret.",
        );
    }
    Seen::Text(redaction.hide(name, args).into_owned())
}

/// JSON with one member a line. Nothing is parsed, so that no number loses a digit; what is no JSON is laid out somehow,
/// with every character of it.
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

/// Arguments have at most 100 levels; deeper ones are not indented further, so that the text stays in proportion.
fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth.min(100)));
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn nothing_is_lost_by_laying_it_out() {
        let json =
            r#"{"id":18446744073709551617,"f":1.10e400,"s":"a\"{b,\\","e":{},"l":[ ],"n":[1,{"x":null}]}"#;
        let laid_out = "{\n  \"id\": 18446744073709551617,\n  \"f\": 1.10e400,\n  \"s\": \"a\\\"{b,\\\\\",\n  \"e\": {},\n  \
                        \"l\": [],\n  \"n\": [\n    1,\n    {\n      \"x\": null\n    }\n  ]\n}";
        assert_eq!(pretty(json), laid_out);
        for broken in ["", "]]]]", "\"\\", "{\"a", "[[[["] {
            let kept: String =
                pretty(broken).chars().filter(|character| !character.is_whitespace()).collect();
            assert_eq!(kept, broken);
        }
    }
}
