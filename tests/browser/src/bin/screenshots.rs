//! `cargo run -p futurecall-browser --bin screenshots`: makes the pictures in `docs/dashboard` anew, of the dashboard's
//! demonstration. It needs `pngquant`, which makes them a third as large. Look at each of them afterwards.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use axum::http::Uri;
use futurecall_browser::browser::{Browser, Script, with_browser};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// Pages by the names of their pictures. Where a selector stands, its first link is followed from there.
const PAGES: [(&str, &str, Option<&str>); 14] = [
    ("overview", "", None),
    ("calls", "/calls", None),
    ("calls-failed", "/calls?state=failed", None),
    ("call-retrying", "/calls?name=mail.digest&state=failed", Some("tbody a.call")),
    ("call-late", "/calls?name=warehouse.count", Some("tbody a.call")),
    ("call-hostile", "/calls?name=invoice.remind", Some("tbody a.call")),
    ("timeline", "/timeline", None),
    ("schedules", "/schedules", None),
    ("schedule", "/schedules?q=nightly", Some("tbody a.call")),
    ("types", "/types", None),
    ("type", "/type?name=mail.digest", None),
    ("pods", "/pods", None),
    ("health", "/health", None),
    ("actions", "/actions", None),
];

/// Width, and the height that a picture has at most.
const SIZES: [(u32, u64); 2] = [(1440, 1_300), (360, 1_500)];

#[tokio::main]
async fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/dashboard");
    std::fs::create_dir_all(&folder).expect("the folder of pictures can be made");
    let (mut demo, url) = start_demo().await;
    with_browser(Script::On, |browser| async move { walk(&browser, &url, &folder).await }).await;
    demo.kill().await.expect("the demonstration ends");
}

/// The demonstration on a fresh SQLite file, and where it stands.
async fn start_demo() -> (Child, String) {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let built =
        [cargo.as_str(), "build", "--quiet", "--package", "futurecall-dashboard", "--example", "demo"];
    let built = Command::new(built[0]).args(&built[1..]).status().await.expect("cargo is there");
    assert!(built.success(), "the demonstration does not build");
    // Beside this program; a `cargo run` in between would outlive the end of this one.
    let own = std::env::current_exe().expect("a program knows where it stands");
    let program: PathBuf = own.parent().expect("it stands in a folder").join("examples/demo");
    let mut demo =
        Command::new(program).arg("0").stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("it starts");
    let mut lines = BufReader::new(demo.stdout.take().expect("it was asked for")).lines();
    while let Some(line) = lines.next_line().await.expect("it speaks in text") {
        if line.parse::<Uri>().is_ok_and(|address| address.scheme_str() == Some("http")) {
            return (demo, line);
        }
    }
    panic!("the demonstration ended before it said where it stands");
}

async fn walk(browser: &Browser, url: &str, folder: &Path) {
    // Until its calls have come to where they belong, and are counted.
    for state in ["running", "succeeded", "failed", "interrupted", "cancelled", "expired"] {
        browser.open(&format!("{url}/calls?state={state}")).await;
        browser.wait("tbody tr").await;
    }
    browser.open(url).await;
    browser.wait(".chart .ok").await;
    for (name, page, link) in PAGES {
        for (width, highest) in SIZES {
            // Lower than any page, which then says how high it is.
            browser.resize(width, 400).await;
            browser.open(&format!("{url}{page}")).await;
            if let Some(link) = link {
                browser.click(link).await;
                browser.wait("[data-test=facts]").await;
            }
            browser.wait("#live[data-state=on]").await;
            let height = browser.evaluate("return document.documentElement.scrollHeight").await;
            let height = u32::try_from(height.as_u64().unwrap_or(highest).min(highest)).unwrap_or(900);
            browser.resize(width, height).await;
            for theme in ["light", "dark"] {
                browser
                    .evaluate(&format!("document.documentElement.dataset.theme = '{theme}'; scrollTo(0, 0)"))
                    .await;
                let picture = browser.client.screenshot().await.expect("a page can be drawn");
                let file = folder.join(format!("{name}-{width}-{theme}.png"));
                std::fs::write(&file, squeeze(picture).await).expect("a picture can be stored");
            }
        }
    }
}

async fn squeeze(picture: Vec<u8>) -> Vec<u8> {
    let mut pngquant = Command::new("pngquant")
        .args(["--quality", "60-92", "--speed", "1", "--strip", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("pngquant is needed (Debian: apt-get install pngquant)");
    let mut input = pngquant.stdin.take().expect("it was asked for");
    let written = tokio::spawn(async move { input.write_all(&picture).await });
    let output = pngquant.wait_with_output().await.expect("pngquant ends");
    written.await.expect("it does not panic").expect("pngquant reads the picture");
    assert!(output.status.success(), "pngquant failed: {}", output.status);
    output.stdout
}
