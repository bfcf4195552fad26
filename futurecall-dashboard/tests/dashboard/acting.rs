//! Actions on calls, schedules and call types, and their notices.

use std::time::Duration;

use axum::http::StatusCode;
use futurecall_runtime::CallState;
use futurecall_runtime::inspect::{CallFilter, ScheduleState};
use futurecall_runtime::operate::ActionFilter;
use futurecall_runtime::recurring::Rule;

use crate::schedules::{declare, schedule};
use crate::site::{Site, between};

#[tokio::test]
async fn one_call_is_cancelled_after_the_question_and_the_record_says_who() {
    let site = Site::new().await;
    let id = site.later("mail.send", "x").await.to_string();
    let question = site.post("/calls/confirm", &[("verb", "cancel"), ("id", &id)]).await;
    assert_eq!(question.status, StatusCode::OK);
    assert!(question.text.contains("Cancel 1 call?") && question.text.contains("cancelled and never run"));
    assert_eq!(between(&question.text, "name=\"expected\" value=\"", "\""), "1");
    assert_eq!(site.pod.inspect().counts().await.unwrap().scheduled, 1, "a question changes nothing");

    let page = site.submit("/calls/act", &[("verb", "cancel"), ("id", &id), ("expected", "1")]).await;
    assert!(page.contains("1 call cancelled.") && page.contains("pill cancelled"), "{page}");
    let actions = site.pod.inspect().actions(&ActionFilter::new()).await.unwrap();
    assert_eq!((actions[0].actor.as_str(), actions[0].verb.as_str()), ("ada", "cancel"));
    assert!(site.page("/actions").await.contains("1 done"));
}

#[tokio::test]
async fn all_matching_are_counted_to_the_last_and_changed() {
    let site = Site::new().await;
    for n in 0..120 {
        site.later(if n % 3 == 0 { "mail.send" } else { "report.build" }, &n.to_string()).await;
    }
    let all = [("verb", "cancel"), ("all", "1"), ("name", "mail.send"), ("state", "scheduled")];
    let question = site.post("/calls/confirm", &all).await.text;
    assert!(question.contains("Cancel 40 calls?"), "{question}");
    let mut deed = all.to_vec();
    deed.push(("expected", "40"));
    let result = site.submit("/calls/act", &deed).await;
    assert_eq!(between(&result, "data-test=\"result-done\">", "<"), "40");
    let counts = site.pod.inspect().counts().await.unwrap();
    assert_eq!((counts.cancelled, counts.scheduled), (40, 80));
}

#[tokio::test]
async fn nothing_is_done_to_more_than_were_asked_about() {
    let site = Site::new().await;
    site.later("mail.send", "a").await;
    site.later("mail.send", "b").await;
    let deed = [("verb", "cancel"), ("all", "1"), ("expected", "1")];
    let answer = site.post("/calls/act", &deed).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(
        answer.text.contains("data-test=\"changed\"") && answer.text.contains("Cancel 2 calls?"),
        "{}",
        answer.text
    );
    assert_eq!(site.pod.inspect().counts().await.unwrap().scheduled, 2);
}

#[tokio::test]
async fn calls_are_moved_run_run_again_and_deleted() {
    let site = Site::new().await;
    let id = site.later("mail.send", "x").await;
    let text = id.to_string();
    let act = |verb: &'static str, more: Vec<(&'static str, String)>| {
        let (site, text) = (&site, text.clone());
        async move {
            let mut fields = vec![("verb", verb), ("id", text.as_str()), ("expected", "1")];
            fields.extend(more.iter().map(|(name, value)| (*name, value.as_str())));
            site.submit("/calls/act", &fields).await
        }
    };
    let now = site.pod.inspect().now().await.unwrap();
    let page = act("reschedule", vec![("after", "2h".to_owned())]).await;
    assert!(page.contains("1 call rescheduled."), "{page}");
    let due = site.pod.inspect().call(id).await.unwrap().unwrap().due;
    let moved = due.saturating_since(now);
    assert!(moved >= Duration::from_hours(2) && moved < Duration::from_mins(121), "{moved:?}");
    act("reschedule", vec![("at", "2030-01-01T00:00".to_owned())]).await;
    let due = site.pod.inspect().call(id).await.unwrap().unwrap().due;
    assert_eq!(due.to_string(), "2030-01-01T00:00:00.000000Z");
    for bad in [vec![], vec![("after", "soon")], vec![("after", "1h"), ("at", "2030-01-01T00:00")]] {
        let mut fields = vec![("verb", "reschedule"), ("id", text.as_str()), ("expected", "1")];
        fields.extend(bad);
        assert_eq!(site.post("/calls/act", &fields).await.status, StatusCode::BAD_REQUEST);
    }
    act("run_now", vec![]).await;
    assert_eq!(site.pod.run_due().await.unwrap().succeeded, 1);

    let failed = site.failed("boom").await.to_string();
    let page = site.submit("/calls/act", &[("verb", "run_again"), ("id", &failed), ("expected", "1")]).await;
    assert!(page.contains("1 call scheduled again.") && page.contains("Rerun of"), "{page}");
    let page = site.submit("/calls/act", &[("verb", "delete"), ("id", &failed), ("expected", "1")]).await;
    assert!(page.contains("1 call deleted."), "{page}");
    assert_eq!(site.get(&format!("/calls/{failed}")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_cannot_be_done_is_passed_over_and_counted() {
    let site = Site::new().await;
    let (pending, failed) =
        (site.later("mail.send", "x").await.to_string(), site.failed("boom").await.to_string());
    let both = [("verb", "delete"), ("id", pending.as_str()), ("id", failed.as_str())];
    let question = site.post("/calls/confirm", &both).await.text;
    assert!(question.contains("Delete 1 call?") && question.contains("not finished: passed over"));
    let mut deed = both.to_vec();
    deed.push(("expected", "1"));
    let result = site.submit("/calls/act", &deed).await;
    assert!(result.contains("1 call deleted, 1 passed over."), "{result}");
}

#[tokio::test]
async fn a_schedule_is_triggered_paused_edited_resumed_and_ended() {
    let site = Site::new().await;
    let id = declare(&site.pod, Rule::cron("30 2 * * *", "Europe/Berlin").unwrap()).await;
    let page = format!("/schedules/{id}");
    let act = format!("{page}/act");
    let text = site.page(&page).await;
    assert!(text.contains("Europe/Berlin") && text.matches("class=\"distance\"").count() >= 5, "{text}");

    assert!(site.submit(&act, &[("verb", "trigger")]).await.contains("due now."));
    assert_eq!(site.pod.run_due().await.unwrap().started, 1);
    assert!(site.submit(&act, &[("verb", "pause"), ("reason", "holidays")]).await.contains("holidays"));
    assert_eq!(schedule(&site.pod, id).await.state, ScheduleState::Paused);
    assert!(site.submit(&act, &[("verb", "pause")]).await.contains("this was already so"));
    let edit = [("verb", "edit"), ("every", "15m"), ("missed", "skip"), ("overlap", "allow")];
    assert!(site.submit(&act, &edit).await.contains("every 15 min"));
    site.submit(&act, &[("verb", "resume")]).await;
    let now = schedule(&site.pod, id).await;
    assert_eq!((now.state, now.effective.describe().as_str()), (ScheduleState::Active, "every 15 min"));
    assert!(site.page("/schedules").await.contains("edited"));
    for bad in
        [vec![("verb", "edit")], vec![("verb", "edit"), ("cron", "61 * * * *")], vec![("verb", "explode")]]
    {
        assert_eq!(site.post(&act, &bad).await.status, StatusCode::BAD_REQUEST);
    }
    site.submit(&act, &[("verb", "end"), ("reason", "over")]).await;
    assert_eq!(schedule(&site.pod, id).await.state, ScheduleState::Ended);
    let unknown = format!("/schedules/{}/act", futurecall_runtime::ScheduleId::new());
    assert_eq!(site.post(&unknown, &[("verb", "pause")]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_call_type_is_paused_and_resumed() {
    let site = Site::new().await;
    let page = site
        .submit("/types/act", &[("verb", "pause"), ("name", "mail.send"), ("reason", "<b>spam</b>")])
        .await;
    assert!(page.contains("Paused by") && page.contains("&lt;b&gt;spam&lt;/b&gt;"), "{page}");
    assert_eq!(site.pod.inspect().paused_names().await.unwrap().len(), 1);
    assert!(site.page("/overview").await.contains("mail.send by ada for "));
    assert!(
        site.submit("/types/act", &[("verb", "pause"), ("name", "mail.send")])
            .await
            .contains("Already paused.")
    );
    site.submit("/types/act", &[("verb", "resume"), ("name", "mail.send")]).await;
    assert_eq!(site.pod.inspect().paused_names().await.unwrap().len(), 0);
}

#[tokio::test]
async fn nothing_is_done_where_no_call_matches() {
    let site = Site::new().await;
    // No call runs.
    let filter = CallFilter::new().state(CallState::Running);
    assert_eq!(site.pod.inspect().count(&filter, 10).await.unwrap(), 0);
    let question =
        site.post("/calls/confirm", &[("verb", "cancel"), ("all", "1"), ("state", "running")]).await;
    assert!(question.text.contains("No calls match."), "{}", question.text);
}
