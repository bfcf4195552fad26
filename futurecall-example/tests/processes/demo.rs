//! The demonstration, as a person would start it.

use std::path::Path;
use std::process::Output;

use futurecall_example::mailer::letter_ids;
use tokio::process::Command;

/// Runs the demonstration.
pub(crate) async fn demo(arguments: &[&str]) -> (Output, String) {
    // It leaves its folder for people to look at; here nobody will.
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_futurecall-example"))
        .args(arguments)
        .env("TMPDIR", folder.path())
        .env_remove("DATABASE_URL")
        .env_remove("SMTP_URL")
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}

/// Every line of the table: the name of the call, then the numbers.
pub(crate) fn rows(text: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| line.split(['│', '┆']).map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = text.lines().filter(|line| line.contains('┆')).map(cells);
    rows.map(|row| row[1..row.len() - 1].to_vec()).collect()
}

/// It went well, and the table says what it should.
#[track_caller]
pub(crate) fn passed(output: &Output, text: &str, accounts: &str) {
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let rows = rows(text);
    let calls: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(
        calls,
        ["call", "drip.welcome", "drip.day_mail", "drip.week_mail", "drip.month_mail", "digest.send"],
        "{text}"
    );
    for row in &rows[1..5] {
        assert_eq!(row[1], accounts, "{text}");
        let [ran, cancelled] = [2, 4].map(|column: usize| row[column].parse::<usize>().unwrap());
        assert_eq!((ran + cancelled).to_string(), accounts, "{text}");
        assert!(row[5].ends_with(" ms") && row[6].ends_with(" ms"), "{text}");
    }
    assert!(rows[4][4].parse::<usize>().unwrap() > 0, "some left before the month was over: {text}");
    assert!(text.contains("Checked: every mail that was due was written exactly once"), "{text}");
    assert!(text.contains("The scheduler itself counts"), "{text}");
}

#[tokio::test]
async fn the_demonstration_on_a_fresh_sqlite_file_passes() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = folder.path().join("outbox");
    let (output, text) =
        demo(&["--day", "50ms", "--accounts", "20", "--outbox", outbox.to_str().unwrap()]).await;
    passed(&output, &text, "20");
    let mails = letter_ids(&outbox).unwrap();
    assert!(text.contains(&format!("{} mails are in {}", mails.len(), outbox.display())), "{text}");
    // Two of the twenty leave, some mails of theirs are cancelled.
    let drip = mails.iter().filter(|mail| !mail.starts_with("operator.")).count();
    assert!((72..80).contains(&drip), "{drip}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "quiet when not a terminal");
}

#[tokio::test]
async fn an_outbox_that_is_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.eml"), "").unwrap();
    let (output, _) = demo(&["demo", "--outbox", folder.path().to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not empty"));
    assert!(Path::new(folder.path()).join("a.eml").exists());
}

#[tokio::test]
async fn the_demonstration_on_postgresql_passes_twice_in_one_database() {
    let database = futurecall_tests::database::postgres().await;
    for _ in 0..2 {
        let (output, text) =
            demo(&["--day", "50ms", "--accounts", "20", "--database-url", &database.url]).await;
        passed(&output, &text, "20");
    }
    database.drop().await;
}
