//! Texts that somebody else has chosen: nothing of them acts on a terminal, and JSON keeps them whole.

use std::time::Duration;

use futurecall_runtime::operate::Selection;

use crate::world::on_both;

const EVIL: &str = "\u{202e}evil\u{2066}\u{200b}\u{feff}";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_names_labels_errors_or_arguments_acts_on_a_terminal() {
    on_both(async |world| {
        let name = format!("ghost.{EVIL}");
        let args = format!("{EVIL}\u{1b}[2J\u{9b}31m\r\n<script>");
        let hour = Duration::from_hours(1);
        let id = world.pod.future_call_with_delay(&name, Some(&args), hour).identifier(EVIL).await.unwrap();
        let letter = format!("\u{1b}]0;owned\u{7}\nstate  succeeded {EVIL}");
        let calls = world.pod.future_calls().call_now().of::<crate::world::ReportFutureCall>();
        let failed = calls.send(&letter).await.unwrap();
        world.pod.run_due().await.unwrap();
        let reason = format!("\u{1b}[31mbecause{EVIL}");
        world.pod.operate(format!("eve{EVIL}")).pause_name(&name, &reason).await.unwrap();
        world.pod.operate("\u{1b}[0m").run_again(Selection::call(failed)).await.unwrap();

        let (id, failed) = (id.to_string(), failed.to_string());
        for words in [
            &["list"][..],
            &["list", "--arguments", "shown"],
            &["show", &id, "--arguments", "shown"],
            &["why", &id],
            &["show", &failed],
            &["why", &failed],
            &["names", "list"],
            &["actions"],
            &["watch", "--times", "1", "--arguments", "shown"],
            &["doctor"],
            &["cancel", "--name", &name],
            &["list", "--name", "\u{1b}[31m"],
            &["recurring", "show", EVIL],
        ] {
            for format in ["table", "json", "ndjson"] {
                let said = world.run(&[words, &["-o", format]].concat());
                for text in [&said.out, &said.err] {
                    let acts = text
                        .chars()
                        .find(|c| (c.is_control() && *c != '\n') || EVIL.contains(*c) && !c.is_ascii());
                    assert_eq!(acts, None, "{words:?} -o {format}: {text:?}");
                }
            }
        }
        let call = world.run(&["show", &id, "-o", "json", "--arguments", "shown"]).ended(0).json();
        assert_eq!((call["identifier"].as_str(), call["name"].as_str()), (Some(EVIL), Some(name.as_str())));
        assert_eq!(call["arguments"]["data"].as_str(), Some(args.as_str()));
        let line = world.run(&["show", &id, "-o", "ndjson", "--arguments", "shown"]).ended(0).out;
        assert_eq!(line.lines().count(), 1);
        // A line of an error cannot pass for one of ours.
        let shown = world.run(&["show", &failed]).ended(0).out;
        assert!(!shown.lines().any(|line| line.starts_with("state  succeeded")), "{shown}");
    })
    .await;
}
