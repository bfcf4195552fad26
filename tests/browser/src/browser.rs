//! A headless Chromium for one test, and what it has to complain about.

use std::env;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use axum::http::Method;
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use url::{ParseError, Url};

/// How long an event may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

const HINT: &str = "these tests need Chromium and its driver on the PATH: run scripts/test, which installs them where it can, or \
                    install them (Debian: apt-get install chromium chromium-driver)";

const AXE: &str = include_str!("../vendor/axe-core/axe.min.js");

/// Whether pages may run their script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// As browsers come.
    On,
    /// Switched off in the browser's settings.
    Off,
}

/// What scrollbars are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scrollbars {
    /// Not to be seen, so that widths and pictures are the same everywhere.
    Hidden,
    /// Beside what they scroll, as on most desktops.
    Classic,
}

/// A browser with one window.
#[derive(Clone, Debug)]
pub struct Browser {
    /// The session itself.
    pub client: Client,
    /// Whether pages may run their script.
    pub script: Script,
    /// Whether [`barriers`](Self::barriers) are looked for: they take most of the time.
    pub looks_for_barriers: bool,
}

/// Starts a browser, lets `run` use it, and ends it, also if that panics.
///
/// # Panics
///
/// If Chromium or its driver are missing or do not start; and if `run` panics.
pub async fn with_browser<F, R>(script: Script, run: F)
where
    F: FnOnce(Browser) -> R,
    R: Future<Output = ()> + Send + 'static,
{
    with(script, Scrollbars::Hidden, run).await;
}

/// Does the same with script, and with scrollbars of that kind.
///
/// # Panics
///
/// As [`with_browser`].
pub async fn with_scrollbars<F, R>(scrollbars: Scrollbars, run: F)
where
    F: FnOnce(Browser) -> R,
    R: Future<Output = ()> + Send + 'static,
{
    with(Script::On, scrollbars, run).await;
}

async fn with<F, R>(script: Script, scrollbars: Scrollbars, run: F)
where
    F: FnOnce(Browser) -> R,
    R: Future<Output = ()> + Send + 'static,
{
    let (mut driver, address) = start_driver().await;
    // The profile is the browser's own, and goes with it.
    let profile = tempfile::tempdir().expect("a temporary folder can be made");
    let mut arguments: Vec<String> = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--force-device-scale-factor=1",
        "--window-size=1440,900",
    ]
    .map(str::to_owned)
    .to_vec();
    if scrollbars == Scrollbars::Hidden {
        arguments.push("--hide-scrollbars".to_owned());
    }
    arguments.push(format!("--user-data-dir={}", profile.path().display()));
    let javascript = if script == Script::On { 1 } else { 2 };
    let wanted = json!({
        "goog:chromeOptions": {
            "binary": program("chromium"),
            "args": arguments,
            "prefs": { "profile.managed_default_content_settings.javascript": javascript },
        },
        "goog:loggingPrefs": { "browser": "ALL" },
    });
    let Value::Object(wanted) = wanted else { unreachable!("it is written as an object") };
    let capabilities: Capabilities = wanted.into_iter().collect();
    let client = ClientBuilder::new(HttpConnector::new())
        .capabilities(capabilities)
        .connect(&address)
        .await
        .expect("Chromium starts");
    let outcome = tokio::spawn(run(Browser {
        client: client.clone(),
        script,
        looks_for_barriers: script == Script::On,
    }))
    .await;
    let closed = client.close().await;
    driver.kill().await.expect("the driver ends");
    if let Err(error) = outcome {
        std::panic::resume_unwind(error.into_panic());
    }
    closed.expect("the browser ends");
}

/// The driver, and where it listens.
async fn start_driver() -> (Child, String) {
    let mut driver = Command::new(program("chromedriver"))
        .arg("--port=0")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error: io::Error| panic!("chromedriver does not start: {error}"));
    let mut lines = BufReader::new(driver.stdout.take().expect("it was asked for")).lines();
    while let Some(line) = lines.next_line().await.expect("the driver speaks in text") {
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            let address = format!("http://127.0.0.1:{}", port.trim_end_matches('.'));
            // What it says further on is read, so that it never waits for a reader.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (driver, address);
        }
    }
    panic!("chromedriver ended before it said where it listens");
}

/// Where a program stands on the `PATH`.
fn program(name: &str) -> PathBuf {
    let folders = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&folders).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} was not found: {HINT}"))
}

#[allow(
    clippy::missing_panics_doc,
    reason = "a test ends where a page is not as it needs it: `open` says so for all"
)]
impl Browser {
    /// Opens an address.
    ///
    /// # Panics
    ///
    /// If it cannot be opened. So do all methods here whose page is not as they need it.
    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// The element, once it is there.
    pub async fn wait(&self, css: &str) -> Element {
        match self.client.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await {
            Ok(element) => element,
            Err(error) => panic!("no {css} on {}: {error}\n{}", self.url().await, self.body().await),
        }
    }

    /// Does something with an element, once it is there: anew if the page was drawn anew in between.
    async fn with<T, F>(&self, css: &str, deed: impl Fn(Element) -> F) -> T
    where
        F: Future<Output = Result<T, CmdError>>,
    {
        loop {
            match deed(self.wait(css).await).await {
                Ok(done) => return done,
                Err(error) if error.is_stale_element_reference() => {}
                Err(error) => panic!("{css} on {}: {error}", self.url().await),
            }
        }
    }

    /// Clicks on an element, once it is there.
    pub async fn click(&self, css: &str) {
        self.with(css, |element| async move { element.click().await }).await;
    }

    /// Clicks on what sends a form, and waits until the page that it stood on is gone: what is looked for next may stand on
    /// both.
    pub async fn send(&self, css: &str) {
        let page = self.wait("html").await;
        self.click(css).await;
        let gone = async { while page.tag_name().await.is_ok() {} };
        let went = tokio::time::timeout(PATIENCE, gone).await;
        assert!(went.is_ok(), "{css} led nowhere from {}:\n{}", self.url().await, self.body().await);
    }

    /// Types a text into a field, in place of what stands there.
    pub async fn fill(&self, css: &str, text: &str) {
        self.with(css, |field| async move {
            field.clear().await?;
            field.send_keys(text).await
        })
        .await;
    }

    /// The text of an element, once it is there.
    pub async fn text(&self, css: &str) -> String {
        self.with(css, |element| async move { element.text().await }).await
    }

    /// Waits until the element's text holds that; where no script brings news, by loading the page again.
    pub async fn wait_for_text(&self, css: &str, text: &str) {
        let look = async {
            loop {
                let found = self.client.find(Locator::Css(css)).await;
                // An element that a script has just replaced has no text any more.
                let said = match found {
                    Ok(element) => element.text().await.unwrap_or_default(),
                    Err(_) => String::new(),
                };
                if said.contains(text) {
                    return;
                }
                match self.script {
                    Script::On => tokio::time::sleep(Duration::from_millis(50)).await,
                    Script::Off => self.client.refresh().await.expect("a page can be loaded again"),
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, look).await;
        assert!(found.is_ok(), "no {text:?} in {css} on {}:\n{}", self.url().await, self.body().await);
    }

    /// How many elements there are.
    pub async fn count(&self, css: &str) -> usize {
        self.client.find_all(Locator::Css(css)).await.expect("elements can be looked for").len()
    }

    /// What a piece of script says in this page; the driver's own, which neither the page's policy nor the settings stop.
    pub async fn evaluate(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Gives the page that many pixels, also fewer than a window can have.
    pub async fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let command = DevTools { command: "Emulation.setDeviceMetricsOverride", parameters: size };
        self.client.issue_cmd(command).await.expect("a page can be resized");
    }

    /// Where it is.
    pub async fn url(&self) -> String {
        self.client.current_url().await.map_or_else(|error| error.to_string(), |url| url.to_string())
    }

    async fn body(&self) -> String {
        match self.client.find(Locator::Css("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(error) => error.to_string(),
        }
    }

    /// What has come to the console since the last look: errors of scripts, breaches of the policy, what was not found.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.client.issue_cmd(BrowserLog).await.expect("the driver has the browser's log");
        let entries = log.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .filter(|entry| entry["level"] != "INFO" && entry["level"] != "DEBUG")
            .map(|entry| format!("{}: {}", entry["source"], entry["message"]))
            .collect()
    }

    /// What axe-core finds wrong for people with disabilities, if it is serious or critical: by the given rules, or all.
    pub async fn barriers(&self, rules: &[&str]) -> Vec<String> {
        if !self.looks_for_barriers {
            return Vec::new();
        }
        if self.evaluate("return typeof axe").await == json!("undefined") {
            self.evaluate(AXE).await;
        }
        let found = self.client.execute_async(RUN_AXE, vec![json!(rules)]).await.expect("axe-core runs");
        let found = found.as_array().cloned().expect("it answers with a list");
        found.iter().map(|one| one.as_str().unwrap_or_default().to_owned()).collect()
    }
}

const RUN_AXE: &str = "
    const [rules, done] = arguments;
    const nodes = one => one.nodes.map(node => node.html.slice(0, 200) + ' ' + node.failureSummary).join('\\n  ');
    const options = { resultTypes: ['violations'], preload: false, ...(rules.length ? { runOnly: rules } : {}) };
    axe.run(document, options).then(
        found => done(found.violations
            .filter(one => one.impact === 'serious' || one.impact === 'critical')
            .map(one => `${one.impact}: ${one.id}: ${one.help}\\n  ${nodes(one)}`)),
        error => done([`axe-core failed: ${error}`]));";

/// Takes what has come to the console since it was taken last.
#[derive(Debug)]
struct BrowserLog;

impl WebDriverCompatibleCommand for BrowserLog {
    fn endpoint(&self, base_url: &Url, session_id: Option<&str>) -> Result<Url, ParseError> {
        base_url.join(&format!("session/{}/se/log", session_id.unwrap_or_default()))
    }

    fn method_and_body(&self, _request_url: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({ "type": "browser" }).to_string()))
    }
}

/// A command of the protocol below the driver.
#[derive(Debug)]
struct DevTools {
    command: &'static str,
    parameters: Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base_url: &Url, session_id: Option<&str>) -> Result<Url, ParseError> {
        base_url.join(&format!("session/{}/goog/cdp/execute", session_id.unwrap_or_default()))
    }

    fn method_and_body(&self, _request_url: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({ "cmd": self.command, "params": self.parameters }).to_string()))
    }
}
