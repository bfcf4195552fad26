//! The output of a program whose `main` returns an error: the text for people, and no false warning.

use std::process::Command;

/// What the program wrote to its standard error, without the events of level INFO.
fn said(way: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_fail"))
        .arg(way)
        .env("FUTURECALL_CONCURRENCY_LIMIT", "many")
        .env_remove("RUST_BACKTRACE")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{way}");
    let said = String::from_utf8(output.stderr).unwrap();
    said.lines().filter(|line| !line.trim_start().starts_with("INFO")).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_error_is_shown_in_words() {
    for (way, text) in [
        (
            "database",
            "no database: give `.database_url(\"sqlite:calls.db\")`, `.database_url(\"postgres://…\")`, or your own \
             sqlx pool with `.pool(&pool)`",
        ),
        (
            "instance",
            "calls with `&self` need an instance to run on: add `.register(fail::Clerk { … })`, or start with \
             `.without_discovery()`",
        ),
        (
            "state",
            "state is missing: mail.send takes `_server: &fail::Clerk`; give each with `.state(value)`",
        ),
        (
            "rule",
            "the cron expression `0 25 * * *` cannot be used: `25` is not an hour: write 0 to 23; or `*`, a list \
             (`1,5`), an upward range (`1-5`), steps (`*/5`)",
        ),
        (
            "id",
            "not an id: an id is a UUID, such as `0190a6c0-7f1e-7c3a-9d52-3f6b1c2d4e5f` (invalid length: found 3)",
        ),
        ("schedule", "the identifier is empty: leave it out, or give at least one character"),
        (
            "argument",
            "argument `data` of `elsewhere.run` holds NaN or an infinity, which cannot be stored as JSON",
        ),
        (
            "operate",
            "there is no schedule 00000000-0000-0000-0000-000000000000: `inspect().schedules()` lists them",
        ),
    ] {
        assert_eq!(said(way), format!("Error: {text}"), "{way}");
    }
    for (way, start) in [
        ("url", "Error: setting `database_url`: "),
        ("file", "Error: could not open the SQLite database: file /no/such/folder"),
        ("setting", "Error: setting `concurrency_limit`: "),
        ("environment", "Error: setting `FUTURECALL_CONCURRENCY_LIMIT`: "),
        ("name", "Error: `mail.send` is defined by "),
        ("moment", "Error: the moment lies outside the years 1970 to 9999"),
    ] {
        let said = said(way);
        assert!(said.starts_with(start), "{way}: {said}");
        assert!(!said.contains(['{', '\n', '\\']), "{way}: {said}");
    }
}

#[test]
fn a_pod_that_ran_calls_warns_that_it_was_not_shut_down_and_says_what_to_do() {
    let said = said("running");
    let (warning, error) = said.split_once('\n').unwrap();
    assert_eq!(error, "Error: \"out of luck\"");
    for part in
        [" WARN ", "dropped without `shutdown().await`", "claims no more calls", "pod.shutdown().await"]
    {
        assert!(warning.contains(part), "{warning}");
    }
}
