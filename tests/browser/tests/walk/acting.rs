//! What can be done, as people do it: by the buttons of the pages, and the question in between.

use std::time::Duration;

use futurecall_browser::browser::Browser;
use futurecall_browser::site::{DIGESTS, Site};
use futurecall_runtime::inspect::{CallFilter, ScheduleState};
use futurecall_runtime::{CallId, CallState};

use crate::looking::{complains_of_nothing, look};

/// Opens the question for that action from the page that is open, and looks at it.
async fn ask(browser: &Browser, verb: &str, heading: &str) {
    browser.click(&format!("form.bulk [data-test={verb}]")).await;
    browser.wait("[data-test=confirm]").await;
    assert_eq!(browser.text("h1").await, heading);
    look(browser, &format!("the question before {verb}")).await;
}

async fn open_call(browser: &Browser, site: &Site, id: CallId) {
    browser.open(&format!("{}/calls/{id}", site.url)).await;
}

async fn confirm(browser: &Browser, said: &str) {
    browser.send("[data-test=do]").await;
    let notice = browser.text("[data-test=notice]").await;
    assert_eq!(notice, said);
}

/// What the page after an action says, in three numbers.
async fn result(browser: &Browser) -> [String; 3] {
    let done = browser.text("[data-test=result-done]").await;
    [
        done,
        browser.text("[data-test=result-running]").await,
        browser.text("[data-test=result-passed-over]").await,
    ]
}

pub(crate) async fn on_one_call(browser: &Browser, site: &Site) {
    let [moved, hurried, cancelled, back, ..] = site.known.pending[..] else { panic!("there are five") };

    open_call(browser, site, moved).await;
    ask(browser, "reschedule", "Reschedule 1 call?").await;
    let now = site.pod.inspect().now().await.unwrap();
    browser.fill("[data-test=after]", "3h").await;
    confirm(browser, "1 call rescheduled.").await;
    let due = site.pod.inspect().call(moved).await.unwrap().unwrap().due.saturating_since(now);
    assert!(due >= Duration::from_hours(3) && due < Duration::from_mins(181), "{due:?}");

    open_call(browser, site, hurried).await;
    ask(browser, "run_now", "Run 1 call now?").await;
    confirm(browser, "1 call due now.").await;
    // With script the page hears of it by itself.
    browser.wait_for_text("h1", "succeeded").await;

    open_call(browser, site, cancelled).await;
    ask(browser, "cancel", "Cancel 1 call?").await;
    confirm(browser, "1 call cancelled.").await;
    assert!(browser.text("h1").await.contains("cancelled"));
    ask(browser, "run_again", "Run 1 call again?").await;
    confirm(browser, "1 call scheduled again.").await;
    assert!(!browser.url().await.contains(&cancelled.to_string()), "the new call's page is shown");
    browser.wait_for_text("h1", "succeeded").await;

    open_call(browser, site, cancelled).await;
    ask(browser, "delete", "Delete 1 call?").await;
    browser.click("[data-test=do]").await;
    assert_eq!(result(browser).await, ["1", "0", "0"]);
    assert!(site.pod.inspect().call(cancelled).await.unwrap().is_none());

    open_call(browser, site, back).await;
    ask(browser, "cancel", "Cancel 1 call?").await;
    browser.click("[data-test=back]").await;
    browser.wait("[data-test=facts]").await;
    assert_eq!(site.pod.inspect().call(back).await.unwrap().unwrap().state, CallState::Scheduled);

    open_call(browser, site, site.known.running).await;
    ask(browser, "cancel", "Cancel 1 call?").await;
    browser.send("[data-test=do]").await;
    assert!(browser.text("[data-test=notice]").await.contains("1 running and asked to stop"));
    // It listens, and ends by itself.
    site.until(site.known.running, CallState::Succeeded).await;
    complains_of_nothing(browser, "acting on one call").await;
}

async fn waiting(site: &Site) -> u64 {
    let digests = CallFilter::new().name("mail.digest").state(CallState::Scheduled);
    site.pod.inspect().count(&digests, 1_000).await.unwrap()
}

pub(crate) async fn on_many_calls(browser: &Browser, site: &Site) {
    let all = DIGESTS as u64;
    let list = format!("{}/calls?name=mail.digest&state=scheduled", site.url);
    browser.open(&list).await;
    assert_eq!(browser.count("input[name=id]").await, 50, "a page holds fewer than there are");
    for row in [1, 2, 3] {
        browser.click(&format!("tbody tr:nth-child({row}) input[name=id]")).await;
    }
    ask(browser, "cancel", "Cancel 3 calls?").await;
    assert_eq!(waiting(site).await, all, "a question changes nothing");
    browser.click("[data-test=do]").await;
    assert_eq!(result(browser).await, ["3", "0", "0"]);
    assert_eq!(waiting(site).await, all - 3);

    browser.open(&list).await;
    browser.click("[data-test=all-matching]").await;
    ask(browser, "reschedule", &format!("Reschedule {} calls?", all - 3)).await;
    browser.fill("[data-test=after]", "7d").await;
    browser.click("[data-test=do]").await;
    assert_eq!(result(browser).await, [(all - 3).to_string().as_str(), "0", "0"]);

    // One more than was asked about: nothing is done, and the question comes again.
    browser.open(&list).await;
    browser.click("[data-test=all-matching]").await;
    ask(browser, "cancel", &format!("Cancel {} calls?", all - 3)).await;
    let late = site.pod.future_call_with_delay("mail.digest", None::<&()>, Duration::from_hours(1));
    late.await.unwrap();
    browser.click("[data-test=do]").await;
    browser.wait("[data-test=changed]").await;
    assert_eq!(browser.text("h1").await, format!("Cancel {} calls?", all - 2));
    look(browser, "the question that comes again").await;
    assert_eq!(waiting(site).await, all - 2, "nothing was done");
    browser.click("[data-test=do]").await;
    assert_eq!(result(browser).await, [(all - 2).to_string().as_str(), "0", "0"]);
    look(browser, "what came of it").await;
    assert_eq!(waiting(site).await, 0);

    browser.open(&format!("{}/calls?name=mail.digest&state=cancelled", site.url)).await;
    browser.click("[data-test=all-matching]").await;
    ask(browser, "delete", &format!("Delete {} calls?", all + 1)).await;
    browser.click("[data-test=do]").await;
    assert_eq!(result(browser).await, [(all + 1).to_string().as_str(), "0", "0"]);
    complains_of_nothing(browser, "acting on many calls").await;
}

pub(crate) async fn on_a_schedule(browser: &Browser, site: &Site) {
    let id = site.known.schedule;
    let schedule = || async {
        let all = site.pod.inspect().schedules().await.unwrap();
        all.into_iter().find(|one| one.id == id).unwrap()
    };
    browser.open(&format!("{}/schedules/{id}", site.url)).await;
    browser.send("[data-test=trigger]").await;
    assert!(browser.text("[data-test=notice]").await.contains("due now"));
    browser.wait_for_text("[data-test=calls]", "succeeded").await;

    browser.click("[data-test=pause-open]").await;
    browser.fill("#control-pause [name=reason]", "<b>holidays</b>").await;
    browser.send("[data-test=pause]").await;
    assert_eq!(browser.text("[data-test=notice]").await, "Paused.");
    look(browser, "a paused schedule").await;
    assert_eq!(schedule().await.state, ScheduleState::Paused);
    browser.send("[data-test=resume]").await;
    browser.wait("[data-test=pause-open]").await;
    assert_eq!(browser.text("[data-test=notice]").await, "Resumed.");

    browser.click("[data-test=edit-open]").await;
    look(browser, "the editor of a schedule").await;
    browser.fill("[data-test=edit-form] [name=cron]", "").await;
    browser.fill("[data-test=edit-form] [name=zone]", "").await;
    browser.fill("[data-test=edit-form] [name=every]", "45m").await;
    browser.send("[data-test=edit]").await;
    assert_eq!(browser.text("[data-test=notice]").await, "Rule changed.");
    assert!(browser.text("[data-test=rule]").await.contains("45"));
    look(browser, "an edited schedule").await;

    browser.click("[data-test=end-open]").await;
    browser.send("[data-test=end]").await;
    browser.wait_for_text("[data-test=notice]", "Ended.").await;
    assert_eq!(schedule().await.state, ScheduleState::Ended);
    browser.open(&format!("{}/schedules?state=ended", site.url)).await;
    look(browser, "ended schedules").await;
}

pub(crate) async fn on_a_call_type(browser: &Browser, site: &Site) {
    browser.open(&format!("{}/type?name=mail.welcome", site.url)).await;
    browser.click("[data-test=pause-open]").await;
    browser.fill("#control-pause [name=reason]", "<b>the template</b>").await;
    browser.send("[data-test=pause]").await;
    assert_eq!(browser.text("[data-test=notice]").await, "Paused.");
    look(browser, "a paused call type").await;
    let paused = site.pod.inspect().paused_names().await.unwrap();
    assert_eq!(paused[0].reason, "<b>the template</b>");
    browser.send("[data-test=resume]").await;
    browser.wait("[data-test=pause-open]").await;
    assert_eq!(browser.text("[data-test=notice]").await, "Resumed.");
    assert!(site.pod.inspect().paused_names().await.unwrap().is_empty());
    complains_of_nothing(browser, "acting on a call type").await;
}
