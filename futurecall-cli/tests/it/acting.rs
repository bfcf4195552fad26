//! Actions on calls, schedules and names, and their records.

use futurecall_runtime::CallState;
use futurecall_runtime::inspect::ScheduleState;
use futurecall_runtime::operate::ActionFilter;

use crate::program::fed;
use crate::snapshot::expect;
use crate::world::{World, on_both};

async fn state(world: &World, id: futurecall_runtime::CallId) -> Option<CallState> {
    world.pod.future_calls().status(id).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_scheduled_by_name_to_the_byte() {
    on_both(async |world| {
        let said = world
            .run(&[
                "schedule",
                "report.build",
                "--args",
                r#"{"user": 7, "token": "x"}"#,
                "--in",
                "1h",
                "--identifier",
                "user:7",
                "--priority",
                "-3",
                "--expires-after",
                "10m",
                "-o",
                "json",
            ])
            .ended(0);
        let id = said.json()["id"].as_str().unwrap().parse().unwrap();
        let call = world.pod.inspect().call(id).await.unwrap().unwrap();
        assert_eq!(call.args, r#"{"data":{"user": 7, "token": "x"}}"#);
        assert_eq!((call.identifier.as_deref(), call.priority), (Some("user:7"), -3));
        let expires = call.expires.unwrap();
        // Each is rounded by itself to the databases' microseconds.
        let given = expires.saturating_since(call.due).as_micros();
        assert!(given.abs_diff(600_000_000) <= 1, "{given}");
        assert_eq!(said.err, "");

        // A name that no pod runs causes a warning.
        world.run(&["run-now", &id.to_string()]).ended(0);
        assert_eq!(world.pod.run_due().await.unwrap().succeeded, 1);
        let said = world.run(&["schedule", "nobody.knows"]).ended(0);
        assert_eq!(said.err, "No live pod runs nobody.knows: the call waits for one\n");

        let big = "123456789012345678901234567890";
        let said =
            fed(world.program().args(["schedule", "ghost.run", "--args", "-", "-o", "json"]), big).ended(0);
        let id = said.json()["id"].as_str().unwrap().parse().unwrap();
        let call = world.pod.inspect().call(id).await.unwrap().unwrap();
        assert_eq!(call.args, format!("{{\"data\":{big}}}"));

        let said =
            world.run(&["schedule", "ghost.run", "--at", "2035-01-01T00:00:00+01:00", "-o", "json"]).ended(0);
        assert_eq!(said.json()["due"], "2034-12-31T23:00:00.000000Z");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_action_is_done_and_recorded() {
    on_both(async |world| {
        let (waiting, failed, succeeded) =
            (world.waiting.to_string(), world.failed.to_string(), world.succeeded.to_string());
        world.run(&["reschedule", &waiting, "--at", "2035-01-01T00:00:00Z"]).ended(0);
        let due = world.pod.inspect().call(world.waiting).await.unwrap().unwrap().due;
        assert_eq!(due.to_string(), "2035-01-01T00:00:00.000000Z");
        let again = world.run(&["run-again", &failed, "-o", "json"]).ended(0).json();
        let again = again["new_calls"][0].as_str().unwrap().to_owned();
        assert_eq!(state(world, again.parse().unwrap()).await, Some(CallState::Scheduled));
        let said = world.run(&["cancel", &waiting, &again, "--yes"]).ended(0);
        expect("cancel.txt", &said.out);
        assert_eq!(state(world, world.waiting).await, Some(CallState::Cancelled));
        world.run(&["delete", &succeeded, "--yes"]).ended(0);
        assert_eq!(state(world, world.succeeded).await, None);

        let said = world.run(&["actions"]).ended(0);
        expect("actions_after.txt", &said.out);
        let actions = world.pod.inspect().actions(&ActionFilter::new()).await.unwrap();
        assert!(actions.iter().all(|action| action.actor == "ada" && action.outcome.is_some()));
        let bob = world.run(&["run-again", &failed, "--actor", "bob"]).ended(0);
        assert!(bob.out.contains("new calls"));
        let actions = world.pod.inspect().actions(&ActionFilter::new().limit(1)).await.unwrap();
        assert_eq!(actions[0].actor, "bob");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_counted_before_anything_is_done() {
    on_both(async |world| {
        let said = world.run(&["cancel", "--name", "report.build"]).ended(2);
        assert_eq!(said.err, "error: confirmation required to cancel 2 scheduled calls; there is no terminal to ask on, so add --yes\n");
        assert_eq!(state(world, world.waiting).await, Some(CallState::Scheduled));
        let said = world.run(&["cancel", "--identifier", "user:1", "--yes", "-o", "json"]).ended(0);
        assert_eq!(said.json(), serde_json::json!({ "done": 1, "running": 0, "passed_over": 0 }));
        let said = world.run(&["cancel", "--identifier", "user:1"]).ended(0);
        assert_eq!(said.err, "Nothing was done: no calls match\n");

        let said = world.run(&["run-again", "--name", "report.send"]).ended(2);
        assert!(said.err.contains("--state failed"), "{}", said.err);
        let said =
            world.run(&["run-again", "--name", "report.send", "--state", "failed", "--yes", "-o", "json"]);
        assert_eq!(said.ended(0).json()["done"], 1);
        let said = world.run(&["reschedule", "--state", "failed", "--in", "1h", "--yes"]).ended(2);
        assert!(said.err.contains("only to scheduled ones"), "{}", said.err);
        let said = world.run(&["delete", "--all", "--yes", "-o", "json"]).ended(0);
        assert_eq!(said.json()["done"], 3);
        assert_eq!(world.pod.inspect().counts().await.unwrap().scheduled, 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_paused_changed_and_ended() {
    on_both(async |world| {
        let schedule = async || world.pod.inspect().schedules().await.unwrap().remove(0);
        let said = world.run(&["recurring", "pause", "nightly", "--reason", "night off"]).ended(0);
        expect("recurring_pause.txt", &said.out);
        assert_eq!(schedule().await.state, ScheduleState::Paused);
        let said = world.run(&["recurring", "pause", "nightly"]).ended(0);
        assert_eq!(said.err, "Nothing changed: this was already so\n");
        let call = world.run(&["recurring", "trigger", "nightly", "-o", "json"]).ended(0).json();
        let call = call["call"].as_str().unwrap().parse().unwrap();
        assert_eq!(world.pod.run_due().await.unwrap().succeeded, 1);
        assert_eq!(state(world, call).await, Some(CallState::Succeeded));
        world.run(&["recurring", "resume", "nightly"]).ended(0);
        assert_eq!(schedule().await.state, ScheduleState::Active);

        let said =
            world.run(&["recurring", "edit", "nightly", "--cron", "0 4 * * *", "-o", "json"]).ended(0).json();
        assert_eq!(said["edited"], true);
        assert_eq!(schedule().await.effective.describe(), "At 04:00 (Europe/Berlin)");
        let said = world.run(&["recurring", "end", "nightly"]).ended(2);
        assert!(
            said.err.contains("to end the schedule of report.build (At 04:00 (Europe/Berlin))"),
            "{}",
            said.err
        );
        world.run(&["recurring", "end", "nightly", "--yes", "--reason", "over"]).ended(0);
        assert_eq!(schedule().await.state, ScheduleState::Ended);
        let said = world.run(&["recurring", "resume", "nightly"]).ended(1);
        assert!(said.err.contains("the schedule has ended"), "{}", said.err);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_paused_and_resumed() {
    on_both(async |world| {
        let said = world
            .run(&["names", "pause", "report.build", "--reason", "mail server down", "-o", "json"])
            .ended(0);
        assert_eq!(said.json(), serde_json::json!({ "name": "report.build", "paused": true }));
        expect("names_paused.txt", &world.run(&["names", "list"]).ended(0).out);
        let said = world.run(&["schedule", "report.build"]).ended(0);
        assert!(said.err.contains("is paused"), "{}", said.err);
        assert_eq!(world.pod.run_due().await.unwrap().succeeded, 0);
        assert_eq!(world.run(&["names", "pause", "report.build"]).ended(0).err, "Already paused\n");
        world.run(&["names", "resume", "report.build"]).ended(0);
        assert_eq!(world.run(&["names", "resume", "report.build"]).ended(0).err, "Not paused\n");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_pruned_by_what_is_kept() {
    on_both(async |world| {
        let said = world.run(&["prune", "-o", "json"]).ended(0);
        assert_eq!(said.json(), serde_json::json!({ "deleted": 0 }));
        let said = world.run(&["prune", "--failed", "0", "--dry-run"]).ended(0);
        expect("prune_dry_run.txt", &said.out);
        let said = world.run(&["prune", "--failed", "0"]).ended(2);
        assert!(said.err.contains("to delete 1 failed call from the history"), "{}", said.err);
        let said =
            Said::from(world.program().env("FUTURECALL_RETENTION_FAILED", "0").args(["prune", "--yes"]));
        expect("prune.txt", &said.ended(0).out);
        assert_eq!(state(world, world.failed).await, None);
        assert_eq!(state(world, world.succeeded).await, Some(CallState::Succeeded));
        let actions = world.pod.inspect().actions(&ActionFilter::new().limit(1)).await.unwrap();
        assert_eq!((actions[0].verb.as_str(), actions[0].outcome.as_deref()), ("prune", Some("1 deleted")));
    })
    .await;
}

use crate::program::Said;

impl From<&mut std::process::Command> for Said {
    fn from(command: &mut std::process::Command) -> Self {
        Self::of(&command.output().expect("the program starts"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_given_twice_is_one_call() {
    on_both(async |world| {
        let (waiting, failed) = (world.waiting.to_string(), world.failed.to_string());
        let said = world.run(&["cancel", &waiting, &waiting]).ended(2);
        assert!(said.err.contains("to cancel 1 scheduled call;"), "{}", said.err);
        let said = world.run(&["run-again", &failed, &failed, "-o", "json"]).ended(0).json();
        assert_eq!((said["done"].as_u64(), said["new_calls"].as_array().map(Vec::len)), (Some(1), Some(1)));
    })
    .await;
}
