//! What is looked at on every page: that it is there, complains of nothing, shuts nobody out, and runs nothing of others.

use futurecall_browser::browser::Browser;
use futurecall_browser::site::Site;
use serde_json::json;

/// The narrowest and the usual window.
const WIDTHS: [u32; 2] = [360, 1440];

/// What hostile texts would have left behind.
const STRANGE: &str = "return [typeof window.ran, document.querySelectorAll('main script, main img, main b > b, main i').length]";

/// Walks all pages, narrow and wide, light and dark, and names everything that is wrong with any of them.
pub(crate) async fn pages(browser: &Browser, site: &Site) {
    let mut wrong = Vec::new();
    for page in site.pages() {
        browser.open(&format!("{}{page}", site.url)).await;
        wrong.extend(faults(browser, &page).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    browser.open(&format!("{}/no-such-page", site.url)).await;
    let complaints = browser.complaints().await;
    assert!(complaints.iter().all(|one| one.contains("404")), "/no-such-page: {complaints:?}");
    assert!(browser.text("main").await.contains("This page does not exist."));
}

/// Looks at the page that is open.
pub(crate) async fn look(browser: &Browser, page: &str) {
    let wrong = faults(browser, page).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn faults(browser: &Browser, page: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if browser.text("h1").await.is_empty() {
        wrong.push("it has no heading".to_owned());
    }
    if browser.evaluate(STRANGE).await != json!(["undefined", 0]) {
        wrong.push("a hostile text was taken for markup".to_owned());
    }
    for width in WIDTHS {
        browser.resize(width, 900).await;
        let taken = browser.evaluate("return document.documentElement.scrollWidth").await;
        if taken != json!(width) {
            wrong.push(format!("it takes {taken} px of a window of {width} px"));
        }
    }
    // The other theme has other colours, and is the same else.
    for (theme, rules) in [("light", &[][..]), ("dark", &["color-contrast", "link-in-text-block"])] {
        browser.evaluate(&format!("document.documentElement.dataset.theme = '{theme}'")).await;
        wrong.extend(browser.barriers(rules).await.into_iter().map(|barrier| format!("{theme}: {barrier}")));
    }
    wrong.extend(browser.complaints().await);
    wrong.into_iter().map(|fault| format!("{page}: {fault}")).collect()
}

pub(crate) async fn complains_of_nothing(browser: &Browser, page: &str) {
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{page}:\n{}", complaints.join("\n"));
}

/// The switches at the top, which are there with script alone, and the keys.
pub(crate) async fn tools(browser: &Browser, site: &Site) {
    browser.open(&format!("{}/calls?state=scheduled", site.url)).await;
    browser.wait_for_text("#live", "Live").await;
    browser.click("#live").await;
    browser.wait_for_text("#live", "Paused").await;
    press(browser, "p").await;
    browser.wait_for_text("#live", "Live").await;
    browser.click("#zone").await;
    browser.wait_for_text("#zone", "Local").await;
    press(browser, "u").await;
    browser.wait_for_text("#zone-note", "times in UTC").await;
    for theme in ["light", "dark"] {
        press(browser, "t").await;
        browser.wait(&format!("html[data-theme={theme}]")).await;
    }
    // The server draws it so from then on.
    browser.client.refresh().await.unwrap();
    browser.wait("html[data-theme=dark]").await;
    browser.click("#theme").await;
    browser.wait("html:not([data-theme])").await;
    press(browser, "?").await;
    browser.wait("dialog[open]").await;
    let barriers = browser.barriers(&[]).await;
    assert!(barriers.is_empty(), "the list of keys:\n{}", barriers.join("\n"));
    browser.click("dialog button").await;
    browser.wait("dialog:not([open])").await;
    press(browser, "j").await;
    press(browser, "x").await;
    browser.wait("tr.at:has(input:checked)").await;
    browser.click("#choose-all").await;
    assert_eq!(browser.count("input[name=id]:checked").await, 50);
    press(browser, "/").await;
    browser.wait("#filter-name:focus").await;
    complains_of_nothing(browser, "the tools").await;
}

async fn press(browser: &Browser, key: &str) {
    // Where the focus is, which is nowhere at first.
    let focus = browser.wait(":focus, body").await;
    let focus = browser.client.active_element().await.unwrap_or(focus);
    focus.send_keys(key).await.unwrap();
}

/// The record of actions names everything that was done, and who did it.
pub(crate) async fn the_record(browser: &Browser, site: &Site) {
    browser.open(&format!("{}/actions", site.url)).await;
    let record = browser.text("[data-test=actions]").await;
    for verb in [
        "cancel",
        "reschedule",
        "run now",
        "run again",
        "delete",
        "pause schedule",
        "resume schedule",
        "trigger",
        "edit schedule",
        "end schedule",
        "pause name",
        "resume name",
    ] {
        assert!(record.contains(verb), "no {verb} in the record:\n{record}");
    }
    assert_eq!(record.matches("ada <b>").count(), browser.count("[data-test=actions] tbody tr").await);
    look(browser, "/actions, at the end").await;
}
