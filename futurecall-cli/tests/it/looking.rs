//! What is shown of calls, schedules, pods and names.

use serde_json::Value;

use crate::snapshot::expect;
use crate::world::on_both;

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_the_same_on_both_databases_in_three_shapes() {
    on_both(async |world| {
        for (name, words) in [
            ("list.txt", "list"),
            ("list.json", "list -o json --identifier user:1"),
            ("list.ndjson", "list -o ndjson --state failed"),
            ("list_page.txt", "list --limit 2"),
            ("list_none.txt", "list --name nobody.here"),
            ("pods.txt", "pods"),
            ("names.txt", "names list"),
            ("names.json", "names list -o json"),
            ("recurring_list.txt", "recurring list"),
            ("recurring_show.txt", "recurring show nightly"),
            ("recurring_show.json", "recurring show nightly -o json"),
            ("recurring_next.txt", "recurring next nightly --count 3"),
            ("stats.txt", "stats --name mail.welcome"),
            ("stats.json", "stats --name mail.welcome -o json"),
            ("watch.txt", "watch --times 1"),
            ("actions.txt", "actions"),
        ] {
            let words: Vec<&str> = words.split(' ').collect();
            let said = world.run(&words).ended(0);
            expect(name, &format!("{}{}", said.out, said.err));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_shown_with_its_attempts_and_why() {
    on_both(async |world| {
        for (name, id) in [
            ("waiting", world.waiting),
            ("failed", world.failed),
            ("succeeded", world.succeeded),
            ("ghost", world.ghost),
        ] {
            let id = id.to_string();
            expect(&format!("show_{name}.txt"), &world.run(&["show", &id]).ended(0).out);
            expect(&format!("why_{name}.txt"), &world.run(&["why", &id]).ended(0).out);
        }
        let id = world.failed.to_string();
        expect("show_failed.json", &world.run(&["show", &id, "-o", "json"]).ended(0).out);
        expect("why_failed.json", &world.run(&["why", &id, "-o", "json"]).ended(0).out);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_are_redacted_unless_they_are_to_be_shown() {
    on_both(async |world| {
        let shown = |policy: &str, id: &str| {
            let call = world.run(&["show", id, "-o", "json", "--arguments", policy]).ended(0).json();
            call["arguments"].clone()
        };
        let waiting = world.waiting.to_string();
        assert_eq!(shown("redacted", &waiting), serde_json::json!({ "user": 1, "token": "[redacted]" }));
        assert_eq!(shown("shown", &waiting), serde_json::json!({ "user": 1, "token": "s3cret" }));
        assert_eq!(shown("hidden", &waiting), "[hidden]");
        // Nobody has said what of it is to be hidden.
        let ghost = world.ghost.to_string();
        assert!(shown("redacted", &ghost).as_str().unwrap().starts_with("[hidden: no pod"));
        assert_eq!(shown("shown", &ghost), serde_json::json!({ "data": 7 }));
        for format in ["table", "json", "ndjson"] {
            for words in [
                &["list"][..],
                &["show", &waiting],
                &["recurring", "list"],
                &["recurring", "show", "nightly"],
            ] {
                let said = world.run(&[words, &["-o", format]].concat()).ended(0);
                assert!(!said.out.contains("s3cret"), "{}", said.out);
            }
        }
    })
    .await;
}

/// The command line, the dashboard of the service, and the library give records the same JSON.
#[cfg(feature = "dashboard")]
#[tokio::test(flavor = "multi_thread")]
async fn a_record_has_one_json() {
    on_both(async |world| {
        let inspect = world.pod.inspect();
        let same = |record: Value, program: &Value, page: &Value| {
            let fields = record.as_object().unwrap();
            assert!(fields.len() > 9, "{record}");
            for (field, value) in fields {
                assert_eq!((&program[field], &page[field]), (value, value), "{field}");
            }
        };
        let call = inspect.call(world.failed).await.unwrap().unwrap();
        let id = call.id.to_string();
        let program = world.run(&["show", &id, "-o", "json"]).ended(0).json();
        let page = world.page(&format!("/calls/{id}.json")).await;
        same(serde_json::to_value(&call).unwrap(), &program, &page);
        for part in ["attempts", "why", "actions"] {
            assert_eq!(program[part], page[part], "{part}");
        }
        assert_eq!(program["attempts"], serde_json::to_value(&call.attempts).unwrap());

        let schedule = inspect.schedules().await.unwrap().remove(0);
        let id = schedule.id.to_string();
        let program = world.run(&["recurring", "show", &id, "-o", "json"]).ended(0).json();
        let page = world.page(&format!("/schedules/{id}.json")).await;
        same(serde_json::to_value(&schedule).unwrap(), &program, &page);

        // What a pod has done since is not compared.
        let pod = inspect.pods().await.unwrap().remove(0);
        let fields: Vec<String> =
            serde_json::to_value(&pod).unwrap().as_object().unwrap().keys().cloned().collect();
        for pods in [world.run(&["pods", "-o", "json"]).ended(0).json(), world.page("/pods.json").await] {
            assert_eq!(pods["pods"][0].as_object().unwrap().keys().cloned().collect::<Vec<_>>(), fields);
        }
        let names = world.run(&["stats", "--name", "mail.welcome", "-o", "json"]).ended(0).json();
        let counted = world.page("/type.json?name=mail.welcome").await;
        for (field, value) in
            names["names"][0].as_object().unwrap().iter().filter(|(key, _)| *key != "per_minute")
        {
            assert_eq!(&counted["type"][field], value, "{field}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_hold_each_call_once() {
    on_both(async |world| {
        for n in 0..2_500 {
            let call =
                world.pod.future_call_with_delay("many.run", Some(&n), std::time::Duration::from_hours(1));
            // Stored together by the engine's batches.
            drop(tokio::spawn(async move { call.await.unwrap() }));
        }
        let filter = futurecall_runtime::inspect::CallFilter::new().name("many.run");
        while world.pod.inspect().count(&filter, u64::MAX).await.unwrap() < 2_500 {
            tokio::task::yield_now().await;
        }
        let lines = world.run(&["list", "--all", "-o", "ndjson", "--name", "many.run"]).ended(0).out;
        let mut ids: Vec<&str> = lines.lines().map(|line| &line[..45]).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((lines.lines().count(), ids.len()), (2_500, 2_500));

        let all = world.run(&["list", "--all", "-o", "json", "--name", "many.run"]).ended(0).json();
        assert_eq!((all["calls"].as_array().unwrap().len(), &all["next"]), (2_500, &Value::Null));

        let page = world.run(&["list", "-o", "json", "--limit", "2", "--name", "many.run"]).ended(0).json();
        let next = page["next"].as_str().unwrap();
        let following =
            world.run(&["list", "-o", "json", "--limit", "1", "--name", "many.run", "--after", next]);
        let following = following.ended(0).json()["calls"][0]["id"].clone();
        assert_eq!(page["calls"][1]["id"], next);
        assert!(page["calls"].as_array().unwrap().iter().all(|call| call["id"] != following));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn moments_narrow_a_list() {
    on_both(async |world| {
        let count = |words: &[&str]| {
            let said = world.run(&[&["list", "-o", "json"], words].concat()).ended(0).json();
            said["calls"].as_array().unwrap().len()
        };
        assert_eq!(count(&["--state", "scheduled", "--since", "now", "--until", "+90m"]), 1);
        assert_eq!(count(&["--since", "-1h", "--until", "now", "--state", "failed"]), 1);
        assert_eq!(count(&["--error", "MAILBOX"]), 1);
        assert_eq!(count(&["--state", "scheduled", "--since", "2090-01-01T00:00:00Z"]), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_in_json_is_a_line_a_look() {
    on_both(async |world| {
        let said = world.run(&["watch", "--times", "3", "--every", "100ms", "-o", "ndjson"]).ended(0);
        let looks: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(looks.len(), 3);
        assert_eq!(looks[2]["counts"]["failed"], 1);
        assert_eq!(looks[2]["next"][0]["id"], serde_json::json!(world.waiting.to_string()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn moments_are_in_utc_unless_they_are_to_be_local() {
    on_both(async |world| {
        let id = world
            .pod
            .future_call_at_time("ghost.run", None::<&()>, moment("2035-01-01T00:00:00Z"))
            .await
            .unwrap();
        let shown = |words: &[&str]| {
            let output =
                world.program().env("TZ", "ABC-3").args(["show", &id.to_string()]).args(words).output();
            crate::program::Said::of(&output.unwrap()).ended(0).out
        };
        assert!(shown(&[]).contains("2035-01-01 00:00:00Z (in "));
        assert!(shown(&["--local"]).contains("2035-01-01 03:00:00+03:00 (in "));
        assert!(shown(&["--local", "-o", "json"]).contains("\"2035-01-01T00:00:00.000000Z\""));
    })
    .await;
}

fn moment(text: &str) -> chrono::DateTime<chrono::Utc> {
    text.parse().unwrap()
}
