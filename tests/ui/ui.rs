//! Every mistake has its message, and every message is reviewed as user interface.
//!
//! `TRYBUILD=overwrite cargo test -p futurecall-ui` rewrites the `.stderr` files; their diff is the review.

use std::fs;
use std::path::{Path, PathBuf};

/// Texts of the compiler itself change with it: they are compared on the version that wrote them. Our own are compared
/// on all.
const REVIEWED_ON: &str = "rustc 1.95.";

#[test]
fn mistakes_are_explained() {
    let all_words = compiler().starts_with(REVIEWED_ON);
    let cases = trybuild::TestCases::new();
    let mut passed_over = Vec::new();
    let mut mistakes = 0;
    for folder in ["block", "method", "session", "argument", "returns", "option", "usage"] {
        for case in files(folder) {
            if all_words || words_are_ours(&case) {
                cases.compile_fail(case);
                mistakes += 1;
            } else {
                passed_over.push(case);
            }
        }
    }
    assert!(mistakes > 50, "only {mistakes} cases were found");
    if !passed_over.is_empty() {
        eprintln!(
            "these texts are the compiler's own, reviewed on {REVIEWED_ON}x, and not compared: {passed_over:?}"
        );
    }
}

#[test]
fn what_is_allowed_compiles() {
    trybuild::TestCases::new().pass("pass/*.rs");
}

fn compiler() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = std::process::Command::new(rustc).arg("--version").output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    files
}

/// Whether the case's text is written by the macro alone.
fn words_are_ours(case: &Path) -> bool {
    let text = fs::read_to_string(case.with_extension("stderr")).unwrap_or_default();
    !text.contains("error[E") && !text.contains("warning")
}
