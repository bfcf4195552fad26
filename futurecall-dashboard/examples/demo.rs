//! A database full of life, and the dashboard on it:
//!
//! ```text
//! cargo run -p futurecall-dashboard --example demo                 # http://127.0.0.1:3111/futurecalls
//! cargo run -p futurecall-dashboard --example demo -- 3112 memory: # another port, another database
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use futurecall_dashboard::dashboard;
use futurecall_runtime::operate::Selection;
use futurecall_runtime::prelude::*;
use futurecall_runtime::recurring::{Overlap, Rule};
use futurecall_runtime::{CallError, Config, Role};
use tokio::time::sleep;

/// Texts of the kind that people put where nobody expects them.
const HOSTILE: &str = "<script>alert('x')</script> \u{202e}gnp.exe\u{202c} & \"quotes\"\u{7}";

/// Mails to customers.
#[derive(Debug)]
pub struct MailFutureCall;

#[future_call]
impl MailFutureCall {
    /// Ends well. The link in it is nobody's business.
    pub async fn welcome(_session: &Session, _account: i64, #[future_call(redact)] _link: &str) {
        sleep(Duration::from_millis(30)).await;
    }

    /// Is paused.
    pub async fn newsletter(_session: &Session, _edition: u64) {}

    /// Fails now and then, and is tried again.
    #[future_call(retry(max_attempts = 3, backoff = exponential("20s", max = "1h", jitter)))]
    pub async fn digest(_session: &Session, account: i64) -> Result<(), BoxError> {
        sleep(Duration::from_millis(12)).await;
        match account % 7 {
            0 => Err(format!("the mail server refused account {account}: 421 try again later").into()),
            1 => Err(CallError::give_up(format!("no mailbox for account {account}")).into()),
            _ => Ok(()),
        }
    }
}

/// Money.
#[derive(Debug)]
pub struct InvoiceFutureCall;

#[future_call]
impl InvoiceFutureCall {
    /// Fails for large sums.
    pub async fn collect(_session: &Session, invoice: u64, cents: i128) -> Result<(), BoxError> {
        sleep(Duration::from_millis(80)).await;
        if cents > 1_000_000 {
            return Err(
                format!("invoice {invoice}: the bank says the limit of this account is exceeded").into()
            );
        }
        Ok(())
    }

    /// Says something that nobody should print unescaped.
    pub async fn remind(_session: &Session, text: String) -> Result<(), BoxError> {
        Err(format!("cannot remind of {text}\nsecond line of the error").into())
    }
}

/// Work that takes long.
#[derive(Debug)]
pub struct ReportFutureCall;

#[future_call]
impl ReportFutureCall {
    /// Runs for minutes.
    pub async fn build(session: &Session, _year: i32) {
        tokio::select! { () = session.cancelled() => {}, () = sleep(Duration::from_mins(10)) => {} }
    }

    /// Runs for minutes, and listens to nobody.
    pub async fn archive(_session: &Session, _year: i32) {
        sleep(Duration::from_mins(10)).await;
    }

    /// Recurs.
    pub async fn nightly(_session: &Session) {
        sleep(Duration::from_millis(200)).await;
    }

    /// Recurs often.
    pub async fn refresh(_session: &Session) -> Result<(), BoxError> {
        sleep(Duration::from_millis(9)).await;
        Ok(())
    }

    /// Stops in the middle.
    ///
    /// # Panics
    ///
    /// Always.
    pub async fn crash(_session: &Session, of: String) {
        assert!(of.is_empty(), "the template {of} has no such field");
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut words = std::env::args().skip(1);
    let port: u16 = words.next().map_or(Ok(3_111), |port| port.parse())?;
    let folder = tempfile::tempdir()?;
    let url = words.next().unwrap_or_else(|| format!("sqlite:{}", folder.path().join("demo.db").display()));

    if url != "memory:" {
        interrupt(&url).await?;
    }
    let pod = Pod::builder().database_url(&url).start().await?;
    fill(&pod).await?;
    let busy = tokio::spawn(keep_busy(pod.clone()));

    let app = Router::new()
        .route("/", get(|| async { Redirect::to("/futurecalls") }))
        .nest("/futurecalls", dashboard(&pod).title("Acme shop").loopback_only().into_router());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}/futurecalls", listener.local_addr()?);
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(pod.shutdown_signal())
        .await?;
    busy.abort();
    pod.shutdown().await;
    Ok(())
}

/// A pod that vanishes under its calls leaves interrupted ones behind; what waits for longer than it may, expired ones.
async fn interrupt(url: &str) -> Result<(), BoxError> {
    let config = Config::new().shutdown_grace(Duration::ZERO);
    let pod = Pod::builder().database_url(url).config(config).start().await?;
    for year in 2021..2024 {
        pod.future_calls().call_now().identifier(format!("archive:{year}")).report().archive(year).await?;
    }
    sleep(Duration::from_millis(500)).await;
    pod.shutdown().await;

    let pod = Pod::builder().database_url(url).role(Role::Serverless).start().await?;
    for account in 0..4 {
        let welcome = pod.future_calls().call_now().expires_after(Duration::from_millis(1));
        welcome.mail().welcome(account, "https://acme.example/start?key=s3cret").await?;
    }
    sleep(Duration::from_millis(100)).await;
    pod.shutdown().await;
    Ok(())
}

async fn fill(pod: &Pod) -> Result<(), BoxError> {
    let calls = pod.future_calls();
    let minutes = Duration::from_mins;
    for account in 0_u32..60 {
        calls
            .call_now()
            .identifier(format!("account:{account}"))
            .mail()
            .welcome(account.into(), "https://acme.example/start?key=s3cret")
            .await?;
        calls
            .call_with_delay(minutes((7 * account + 2).into()))
            .identifier(format!("account:{account}"))
            .mail()
            .digest(account.into())
            .await?;
        calls
            .call_with_delay(minutes((account * account).into()))
            .invoice()
            .collect(account.into(), 1_999)
            .await?;
    }
    for account in 0_u32..24 {
        calls.call_now().mail().digest(account.into()).await?;
        calls
            .call_now()
            .invoice()
            .collect((4_711 + account).into(), 18_446_744_073_709_551_617 * i128::from(account % 5 == 0))
            .await?;
    }
    for text in [HOSTILE, "{{constructor.constructor('x')()}}", "' OR 1=1 --"] {
        calls
            .call_now()
            .identifier(format!("x:{}", text.replace(char::is_control, "")))
            .invoice()
            .remind(text.to_owned())
            .await?;
        calls.call_now().report().crash(text.to_owned()).await?;
    }
    for year in 2024..2027 {
        calls.call_now().identifier(format!("report:{year}")).report().build(year).await?;
    }
    let cancelled = calls
        .call_with_delay(minutes(90))
        .identifier("vip")
        .mail()
        .welcome(7, "https://acme.example/start?key=s3cret")
        .await?;
    pod.operate("ada@example.org").cancel(Selection::call(cancelled)).await?;

    // Late for ever: nobody knows its name. Late on purpose: its name is paused.
    pod.future_call_with_delay("warehouse.count", Some(&3), Duration::ZERO).await?;
    pod.operate("grace").pause_name("mail.newsletter", "the new template is not approved yet").await?;
    for n in 0..9 {
        calls.call_with_delay(minutes(n)).mail().newsletter(n).await?;
    }
    fill_schedules(pod).await
}

async fn fill_schedules(pod: &Pod) -> Result<(), BoxError> {
    let calls = pod.future_calls();
    calls
        .call_recurring()
        .identifier("nightly")
        .cron("30 2 * * *")
        .time_zone("Europe/Berlin")
        .report()
        .nightly()
        .await?;
    calls
        .call_recurring()
        .identifier("weekdays")
        .cron("0 7 * * MON-FRI")
        .time_zone("America/New_York")
        .report()
        .nightly()
        .await?;
    // Longer than its interval: while it runs, the next ones are skipped.
    calls.call_recurring().identifier("slow").every(Duration::from_secs(30)).report().archive(2025).await?;
    calls.call_recurring().identifier("often").every(Duration::from_secs(20)).report().refresh().await?;
    calls.call_recurring().identifier("hourly").every(Duration::from_hours(1)).report().refresh().await?;
    let schedules = pod.inspect().schedules().await?;
    let find = |identifier| {
        schedules.iter().find(|one| one.identifier.as_deref() == Some(identifier)).map(|one| one.id)
    };
    if let Some(id) = find("weekdays") {
        pod.operate("grace").pause_schedule(id, "holidays").await?;
    }
    if let Some(id) = find("hourly") {
        let mut rule = Rule::every(Duration::from_mins(45))?;
        rule.overlap = Overlap::Allow;
        pod.operate("ada@example.org").edit_schedule(id, rule).await?;
    }
    Ok(())
}

/// Something new every second, so that the pages live.
async fn keep_busy(pod: Pod) {
    for n in 0_i64.. {
        sleep(Duration::from_secs(1)).await;
        let calls = pod.future_calls();
        let stored = async {
            calls.call_now().mail().welcome(n, "https://acme.example/start?key=s3cret").await?;
            calls.call_with_delay(Duration::from_secs(5)).mail().digest(n).await?;
            calls.call_now().expires_after(Duration::from_secs(1)).invoice().collect(1, n.into()).await
        };
        if stored.await.is_err() {
            return;
        }
    }
}
