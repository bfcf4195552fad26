//! Texts as they are expected, with what differs from run to run left out.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use regex_lite::Regex;

static CHANGING: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let span = r"\d+(\.\d)? (µs|ms|s|min|h|d)\b( \d+ (s|min|h)\b)?";
    [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}".to_owned(), "<id>"),
        (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z".to_owned(), "<moment>"),
        (r"\w{3} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d CES?T".to_owned(), "<by its zone>"),
        (format!(r"\b{span}"), "<span>"),
        (r"\b[\w.-]+:\d{3,7}\b".to_owned(), "<host>"),
        (r#"("(\w+_seconds|per_minute)": ?)[\d.e-]+"#.to_owned(), "$1<number>"),
        (r"  +".to_owned(), "  "),
    ]
    .map(|(pattern, name)| (Regex::new(&pattern).expect("it is one"), name))
    .into()
});

/// A text without ids, moments and spans.
pub(crate) fn steady(text: &str) -> String {
    CHANGING
        .iter()
        .fold(text.to_owned(), |text, (pattern, name)| pattern.replace_all(&text, *name).into_owned())
}

/// Compares a text with the file of that name.
#[track_caller]
pub(crate) fn expect(name: &str, text: &str) {
    expect_exactly(name, &steady(text));
}

/// Compares a text that is the same in every run.
#[track_caller]
pub(crate) fn expect_exactly(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, text).expect("the snapshot can be written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == expected,
        "the output differs from {}; look at it with UPDATE_EXPECT=1 and `git diff`:\n{text}",
        path.display()
    );
}
