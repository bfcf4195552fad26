//! Every exit code, and the errors that go with it. (5 needs a person: see `terminal`.)

use futurecall_runtime::CallId;

use crate::program::{Said, program, run};
use crate::world::on_both;

#[test]
fn what_is_not_understood_is_2() {
    for words in [
        &["list"][..],
        &["nonsense"],
        &["list", "--limit", "0"],
        &["list", "--state", "dead"],
        &["show", "not-an-id"],
        &["list", "--since", "yesterday"],
        &["list", "--database-url", "mysql://x"],
    ] {
        let said = run(words).ended(2);
        assert!(said.err.starts_with("error: "), "{}", said.err);
        assert_eq!(said.out, "");
    }
    let said = run(&["cancel", "user:7"]).ended(2);
    assert!(
        said.err.contains("not a call id") && said.err.contains("--identifier \"user:7\""),
        "{}",
        said.err
    );
    let said = run(&["list"]).ended(2);
    assert!(said.err.contains("set DATABASE_URL"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_3() {
    on_both(async |world| {
        let id = CallId::new().to_string();
        for words in [
            &["show", &id][..],
            &["why", &id],
            &["cancel", &id, "--yes"],
            &["reschedule", &id, "--in", "1h"],
            &["run-now", &id],
            &["run-again", &id],
            &["delete", &id, "--yes"],
            &["recurring", "show", "nobody"],
            &["recurring", "pause", &id],
        ] {
            let said = world.run(words).ended(3);
            assert!(said.err.starts_with("error: there is no "), "{}", said.err);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_1_or_2() {
    on_both(async |world| {
        let (waiting, succeeded) = (world.waiting.to_string(), world.succeeded.to_string());
        let said = world.run(&["run-again", &succeeded]).ended(1);
        assert_eq!(said.err, "Nothing was done: 1 succeeded call\n");
        world.run(&["delete", &waiting, "--yes"]).ended(1);
        world.run(&["run-now", &succeeded]).ended(1);
        for (words, part) in [
            (&["cancel"][..], "no calls selected"),
            (&["cancel", &waiting, "--name", "x", "--yes"], "not both"),
            (&["delete", "--error", "", "--yes"], "a value is required"),
            (&["cancel", "--name", "", "--yes"], "a value is required"),
            (&["schedule", "x", "--args", "{"], "is not JSON (line 1, column 1)"),
            (&["schedule", "x", "--args", "@/no/such/file"], "cannot be read"),
            (&["schedule", "x", "--in", "9000years"], "9999"),
            (&["schedule", ""], "is empty"),
            (&["schedule", "x", "--in", "1h", "--at", "2035-01-01T00:00:00Z"], "cannot be used with"),
            (&["reschedule", &waiting], "--in"),
            (&["recurring", "edit", "nightly"], "in effect already"),
            (&["recurring", "edit", "nightly", "--cron", "0 25 * * *"], "not an hour"),
        ] {
            let said = world.run(words).ended(2);
            assert!(said.err.contains(part), "{}", said.err);
        }
    })
    .await;
}

#[test]
fn a_missing_file_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("typo.db");
    let url = format!("sqlite:{}", file.display());
    for words in [&["list"][..], &["migrate", "status"], &["migrate", "sql"], &["schedule", "x"]] {
        let said = Said::of(&program().env("DATABASE_URL", &url).args(words).output().unwrap()).ended(1);
        assert!(said.err.contains("there is no file"), "{}", said.err);
        assert!(!file.exists());
    }
    let said = Said::of(&program().env("DATABASE_URL", &url).arg("doctor").output().unwrap()).ended(4);
    assert!(said.out.contains("there is no file"), "{}", said.out);
    assert!(!file.exists());
}

#[test]
fn no_password_is_printed() {
    let url = "postgres://ada:hunter2@127.0.0.1:1/app?sslmode=disable";
    let query = "postgres://127.0.0.1:1/app?user=ada&password=hunter2";
    for words in [
        &["list"][..],
        &["doctor"],
        &["doctor", "-o", "json"],
        &["--help"],
        &["list", "--help"],
        &["list", url],
        &["list", "--databaseurl", url],
        &[url],
        &["stats", "--database-url", query],
        &["list", "--database-url", "postgres://ada:hunter2@[/"],
        &["list", "--database-url", "postgress://ada:hunter2@host/db"],
    ] {
        let said = Said::of(&program().env("FUTURECALL_DATABASE_URL", url).args(words).output().unwrap());
        assert!(
            !said.out.contains("hunter2") && !said.err.contains("hunter2"),
            "{words:?}: {}{}",
            said.out,
            said.err
        );
    }
    // Passwords that hold what would end a word.
    for password in ["hun ter2", "hun'ter2", "hun\"ter2", "hun`ter2", "hun@ter2", "hun/ter2"] {
        for url in [
            format!("postgres://ada:{password}@127.0.0.1:1/app"),
            format!("postgres:ada:{password}@127.0.0.1:1/app"),
            format!("postgres://127.0.0.1:1/app?user=ada&password={password}"),
        ] {
            for words in
                [&["list", &url][..], &[&url], &["show", &url], &["cancel", &url], &["list", "--x", &url]]
            {
                let said = Said::of(&program().args(words).output().unwrap()).ended(2);
                assert!(!said.err.contains("ter2"), "{words:?}: {}", said.err);
            }
        }
    }
    let said =
        Said::of(&program().env("FUTURECALL_DATABASE_URL", url).arg("list").output().unwrap()).ended(1);
    assert!(said.err.starts_with("error: could not connect to the database: "), "{}", said.err);
    assert!(said.err.contains("refused"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_stands_in_for_options() {
    on_both(async |world| {
        let said = Said::from(
            world.program().env("FUTURECALL_OUTPUT", "ndjson").args(["list", "--state", "failed"]),
        );
        assert!(said.ended(0).out.starts_with("{\"id\""));
        let said =
            Said::from(world.program().env("FUTURECALL_OUTPUT", "").args(["list", "--state", "failed"]));
        assert!(said.ended(0).out.starts_with("ID "));
        let said =
            Said::from(world.program().env("FUTURECALL_YES", "1").args(["cancel", "--identifier", "user:1"]));
        said.ended(0);
        let said = Said::from(world.program().env("FUTURECALL_QUIET", "true").args(["list", "--limit", "1"]));
        assert_eq!(said.ended(0).err, "");
        let said = Said::from(world.program().env("FUTURECALL_QUIET", "maybe").args(["list"]));
        said.ended(2);
        // An empty one is none, of whatever command.
        for (name, words) in [
            ("SINCE", &["stats"][..]),
            ("EVERY", &["watch", "--times", "1"]),
            ("STRICT", &["doctor"]),
            ("RETENTION_FAILED", &["prune", "--dry-run"]),
            ("RETENTION_FAILED", &["list"]),
        ] {
            let said = Said::from(world.program().env(format!("FUTURECALL_{name}"), "").args(words));
            assert_ne!(said.code, 2, "FUTURECALL_{name}= {words:?}: {}", said.err);
        }
    })
    .await;
}

/// A pod that reads its settings from the same environment takes none of these for a mistake.
#[test]
fn pods_pass_over_the_command_lines_variables() {
    let help = run(&["help"]).ended(0).out;
    assert!(help.contains("FUTURECALL_ and their name"), "{help}");
    let names = [
        "DATABASE_URL",
        "SCHEMA",
        "TABLE_PREFIX",
        "OUTPUT",
        "QUIET",
        "YES",
        "ACTOR",
        "ARGUMENTS",
        "LOCAL",
        "NO_COLOR",
        "SINCE",
        "EVERY",
        "STRICT",
        "DASHBOARD_BIND",
    ];
    let variables = names.map(|name| (format!("FUTURECALL_{name}"), "x"));
    drop(futurecall_runtime::Config::from_vars(variables).unwrap());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_leaves_is_no_fault() {
    use std::io::Read;
    use std::process::Stdio;
    on_both(async |world| {
        for words in
            [&["list", "-o", "ndjson"][..], &["list"], &["stats", "-o", "json"], &["completions", "bash"]]
        {
            let mut child =
                world.program().args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            drop(child.stdout.take());
            let mut err = String::new();
            child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
            assert!(child.wait().unwrap().success(), "{words:?}: {err}");
            assert_eq!(err, "", "{words:?}");
        }
        // What it ends with does not hang on a reader.
        let mut program = world.program();
        program
            .args(["run-again", &world.succeeded.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = program.spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(1));
    })
    .await;
}
