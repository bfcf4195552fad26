//! Arguments by their keys, in whatever order these were written.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::MAX_ARGUMENT_DEPTH;
use super::decode::Entries;
use super::encode::depth;

/// Returns one text for all arguments that differ in the order of keys alone: a `HashMap` writes its entries in another
/// order each time, and a release may have reordered its parameters. Lists stay as they are. So does what is not JSON, or
/// nested deeper than arguments are.
pub(crate) fn in_key_order(args: &str) -> Cow<'_, str> {
    let mut ordered = String::with_capacity(args.len());
    let is_written = depth(args) <= MAX_ARGUMENT_DEPTH && write(args.trim(), &mut ordered).is_some();
    if is_written { Cow::Owned(ordered) } else { Cow::Borrowed(args) }
}

/// Whether two texts hold the same arguments.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    one == other || in_key_order(one) == in_key_order(other)
}

fn write(json: &str, out: &mut String) -> Option<()> {
    match json.as_bytes().first()? {
        b'{' => {
            let mut entries = serde_json::from_str::<Entries<'_>>(json).ok()?.into_inner();
            entries.sort_by(|(one, _), (other, _)| one.cmp(other));
            list(out, "{}", entries, |out, (key, value)| {
                out.push_str(&serde_json::to_string(&key).ok()?);
                out.push(':');
                write(value.get(), out)
            })
        }
        b'[' => {
            let values: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            list(out, "[]", values, |out, value| write(value.get(), out))
        }
        _ => {
            out.push_str(json);
            Some(())
        }
    }
}

fn list<T>(
    out: &mut String,
    brackets: &str,
    items: Vec<T>,
    mut item: impl FnMut(&mut String, T) -> Option<()>,
) -> Option<()> {
    let (open, close) = brackets.split_at(1);
    out.push_str(open);
    for (at, one) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        item(out, one)?;
    }
    out.push_str(close);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{in_key_order, is_same};

    #[test]
    fn keys_are_put_in_order_at_every_level_and_lists_are_not() {
        for (args, ordered) in [
            (
                r#"{"b":1,"a":{"d":[{"z":1,"y":2},3],"c":1.0}}"#,
                r#"{"a":{"c":1.0,"d":[{"y":2,"z":1},3]},"b":1}"#,
            ),
            (r#" {"a" : [ 2, 1 ]} "#, r#"{"a":[2,1]}"#),
            (r#"{"é\u0022":1,"e":18446744073709551617}"#, r#"{"e":18446744073709551617,"é\"":1}"#),
            ("{}", "{}"),
            ("[[],{}]", "[[],{}]"),
            (r#"{"a":1,"a":2}"#, r#"{"a":1,"a":2}"#),
            ("no JSON", "no JSON"),
            (r#"{"b":1,"a":}"#, r#"{"b":1,"a":}"#),
            ("", ""),
        ] {
            assert_eq!(in_key_order(args), ordered);
        }
        assert!(is_same(r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#));
        assert!(!is_same(r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#));
        assert!(!is_same(r#"{"a":1,"b":2}"#, r#"{"b":1,"a":2}"#));
    }

    #[test]
    fn what_is_nested_deeper_than_arguments_is_left_alone() {
        let deep = "[".repeat(500_000) + &"]".repeat(500_000);
        assert_eq!(in_key_order(&deep), deep);
    }
}
