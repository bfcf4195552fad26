//! Pages beside scrollbars that take room, as on most desktops: none stands where nothing is to be scrolled.

use futurecall_browser::browser::{Scrollbars, with_scrollbars};
use futurecall_browser::site::Site;
use futurecall_tests::database;
use serde_json::json;

/// A phone's window, one between the layouts, and a small desktop's.
const WIDTHS: [u32; 3] = [360, 1100, 1280];

/// Names the elements that have a scrollbar and should not. Long texts scroll as they like. Rows of links may be wider than a
/// narrow window, and are never higher than themselves.
const SCROLLBARS: &str = "
    const scrolls = way => way === 'auto' || way === 'scroll';
    const told = (element, way) => `${element.tagName.toLowerCase()}.${element.className} ${way}: `
        + `${element.scrollWidth}x${element.scrollHeight} in ${element.clientWidth}x${element.clientHeight}`;
    return [...document.body.querySelectorAll('*:not(pre, textarea)')].flatMap(element => {
        const style = getComputedStyle(element);
        const narrow = innerWidth < 1180 && element.matches('main, nav, .tabs');
        return [
            ...scrolls(style.overflowY) && element.scrollHeight > element.clientHeight ? [told(element, 'upright')] : [],
            ...scrolls(style.overflowX) && element.scrollWidth > element.clientWidth && !narrow ? [told(element, 'level')] : [],
        ];
    });";

#[tokio::test(flavor = "multi_thread")]
async fn scrollbars_stand_only_where_there_is_something_to_scroll() {
    let file = database::sqlite();
    let site = Site::start(&file.url, "futurecall").await;
    with_scrollbars(Scrollbars::Classic, |browser| async move {
        let (mut wrong, mut seen) = (Vec::new(), false);
        for page in site.pages() {
            browser.open(&format!("{}{page}", site.url)).await;
            for width in WIDTHS {
                browser.resize(width, 900).await;
                let found = browser.evaluate(SCROLLBARS).await;
                if found != json!([]) {
                    wrong.push(format!("{page} at {width} px: {found}"));
                }
                // The page's own takes room; where none did, nothing would be found.
                let taken =
                    browser.evaluate("return innerWidth - document.documentElement.clientWidth").await;
                seen |= taken.as_i64().is_some_and(|taken| taken > 0);
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(seen, "no page had a scrollbar that takes room");
        site.stop().await;
    })
    .await;
}
