//! Makes untrusted texts safe for a terminal, and removes passwords.

use std::borrow::Cow;
use std::fmt::Write;

use futurecall_runtime::text::is_invisible;

/// Escapes control and invisible characters: `\n`, `\u{202e}`.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_invisible) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c if is_invisible(c) => {
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// Escapes such characters in JSON without changing its meaning: they can only occur in strings. Line breaks are layout and
/// kept.
pub(crate) fn escaped_json(text: &str) -> Cow<'_, str> {
    let acts = |c: char| c != '\n' && is_invisible(c);
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            // Layout in stored arguments.
            '\t' | '\r' => safe.push(' '),
            c if acts(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(safe, "\\u{unit:04x}");
                }
            }
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// Removes passwords of URLs: the part between `://name:` and the last `@` before a blank, and the value of `password=`.
pub(crate) fn scrub(text: &str) -> String {
    let mut rest = text;
    let mut clean = String::with_capacity(text.len());
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "'\"`\u{1b}".contains(c)).unwrap_or(after.len());
        let (url, behind) = after.split_at(end);
        clean.push_str(&without_password(url));
        rest = behind;
    }
    clean.push_str(rest);
    clean
}

/// Removes the passwords of command-line arguments that the text quotes. In a whole argument the end of the password is
/// known, even if it contains blanks or quotes.
pub(crate) fn scrub_words(text: &str, words: impl Iterator<Item = String>) -> String {
    words.fold(text.to_owned(), |text, word| {
        let clean = word_without_password(&word);
        if clean == word {
            return text;
        }
        // It may be quoted with escapes.
        let quoted = format!("{word:?}");
        let escaped = quoted.strip_prefix('"').and_then(|word| word.strip_suffix('"')).unwrap_or(&quoted);
        text.replace(&word, &clean).replace(escaped, &clean)
    })
}

fn word_without_password(word: &str) -> String {
    let (scheme, url) = match word.find("://") {
        Some(at) => word.split_at(at + 3),
        // A mistyped URL without slashes.
        None if word.starts_with("postgres") => word.split_at(word.find(':').map_or(0, |colon| colon + 1)),
        None => ("", word),
    };
    // Without a scheme, only `password=` marks a password.
    let url =
        if scheme.is_empty() && !url.contains("password=") { url.to_owned() } else { without_password(url) };
    scheme.to_owned() + &url
}

fn without_password(url: &str) -> String {
    const KEY: &str = "password=";
    let mut url = url.to_owned();
    // Query parameters first, because their values may contain an `@`. Also matches `sslpassword=`.
    let mut seen = 0;
    while let Some(at) = url.get(seen..).and_then(|rest| rest.find(KEY)) {
        let from = seen + at + KEY.len();
        let end = url.get(from..).and_then(|value| value.find('&')).map_or(url.len(), |length| from + length);
        url.replace_range(from..end, "***");
        seen = from;
    }
    if let Some(host) = url.rfind('@')
        && let Some(colon) = url.get(..host).and_then(|user| user.find(':'))
    {
        url.replace_range(colon + 1..host, "***");
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_written_out() {
        assert_eq!(escaped("a\u{1b}[31mb\u{202e}c\nd\u{9b}"), "a\\u{1b}[31mb\\u{202e}c\\nd\\u{9b}");
        assert_eq!(escaped("soft\u{ad}hyphen\u{180e}"), "soft\\u{ad}hyphen\\u{180e}");
        assert!(matches!(escaped("plain, ünïcödé, 日本語"), Cow::Borrowed(_)));
    }

    #[test]
    fn json_keeps_its_meaning() {
        let text = "{\"a\u{202e}\":\t\"b\u{9b}\u{e0041}\",\n\"c\": 1}";
        let safe = escaped_json(text);
        assert_eq!(safe, "{\"a\\u202e\": \"b\\u009b\\udb40\\udc41\",\n\"c\": 1}");
        let [before, after] =
            [text, &*safe].map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
        assert_eq!(before, after);
    }

    #[test]
    fn passwords_are_taken_out_of_urls() {
        for (text, clean) in [
            ("cannot reach postgres://ada:se@c:ret@db/app now", "cannot reach postgres://ada:***@db/app now"),
            (
                "'postgres://ada:x@db' and postgres://b:y@db",
                "'postgres://ada:***@db' and postgres://b:***@db",
            ),
            (
                "postgres://db/app?user=ada&password=x&sslmode=off",
                "postgres://db/app?user=ada&password=***&sslmode=off",
            ),
            ("postgres://db:1/app?password=x@y", "postgres://db:1/app?password=***"),
            ("postgres://db/app?sslpassword=x&password=y", "postgres://db/app?sslpassword=***&password=***"),
            ("postgres://ada@db/app", "postgres://ada@db/app"),
            ("sqlite://calls.db", "sqlite://calls.db"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(scrub(text), clean);
        }
    }

    #[test]
    fn passwords_of_words_may_hold_anything() {
        for (word, clean) in [
            ("postgres://ada:se c'r\"et@db/app", "postgres://ada:***@db/app"),
            ("--database-url=postgres://ada:s@c et@db", "--database-url=postgres://ada:***@db"),
            ("postgres:ada:se cret@db/app", "postgres:ada:***@db/app"),
            ("postgres://db/app?password=se'c ret&user=ada", "postgres://db/app?password=***&user=ada"),
            ("host=db user=ada password=secret", "host=db user=ada password=***"),
            ("sqlite:calls.db", "sqlite:calls.db"),
        ] {
            let text = format!("unexpected argument '{word}' found");
            let words = ["list", word].map(str::to_owned).into_iter();
            assert_eq!(scrub_words(&text, words), format!("unexpected argument '{clean}' found"));
        }
    }
}
