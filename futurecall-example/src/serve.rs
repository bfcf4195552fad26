//! `serve`: the HTTP service, until Ctrl-C.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use futurecall_runtime::BoxError;
use tokio::net::TcpListener;

use crate::app::{App, DigestRule, parse_day};
use crate::database::Database;
use crate::mailer::Mailer;
use crate::web;

/// The options of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:3000")]
    pub listen: SocketAddr,
    /// `sqlite:…` (a file, created if missing) or `postgres://…`.
    #[arg(long, env = "DATABASE_URL", default_value = "sqlite:drip.db", hide_env_values = true)]
    pub database_url: String,
    /// The folder for the mails, unless they go out by SMTP.
    #[arg(long, default_value = "outbox")]
    pub outbox: PathBuf,
    /// `smtp://host[:port]`: send the mails there.
    #[arg(long, env = "SMTP_URL", hide_env_values = true)]
    pub smtp_url: Option<String>,
    /// How long a day of the campaign takes, such as `24h` or `1s`.
    #[arg(long, default_value = "24h", value_parser = parse_day)]
    pub day: Duration,
    /// When the operator's digest is sent: a cron expression, in UTC.
    #[arg(long, default_value = "0 7 * * *")]
    pub digest: String,
}

/// Runs the service. Several of these processes on one database share the work.
///
/// # Errors
///
/// If it cannot start or listen.
pub async fn run(args: ServeArgs) -> Result<(), BoxError> {
    let listener =
        TcpListener::bind(args.listen).await.map_err(|error| format!("{}: {error}", args.listen))?;
    let database = Database::connect(&args.database_url).await?;
    let mailer = match &args.smtp_url {
        Some(url) => Mailer::smtp(url)?,
        None => Mailer::outbox(&args.outbox)?,
    };
    println!("mails: {mailer}");
    let app = App::start(database, mailer, "futurecall", args.day, DigestRule::Cron(args.digest)).await?;
    let pod = app.pod.clone();

    let address = listener.local_addr()?;
    println!("listening on http://{address}");
    println!("dashboard: http://localhost:{}/futurecalls (from this machine only)", address.port());
    // First the requests end, then the calls: the last requests may still schedule.
    // The dashboard needs the client's address: it only accepts requests from this machine.
    let service = web::router(app).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(pod.shutdown_signal()).await?;
    let summary = pod.shutdown().await;
    println!(
        "stopped in {:.1?}: {} calls were running, {} of them ended, {} were interrupted",
        summary.took, summary.running, summary.finished, summary.interrupted
    );
    Ok(())
}
