//! The demonstration: the whole campaign with scaled time, and a check of the result.

mod check;
mod people;
mod play;
mod report;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use futurecall_runtime::{BoxError, Role};
use uuid::Uuid;

pub use self::check::{Participant, Records, Unsubscribed, check};
use crate::app::{App, DigestRule, parse_day};
use crate::database::Database;
use crate::mail_log::{MailRun, now};
use crate::mailer::{Mailer, letter_ids};

/// The options of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// `sqlite:…` or `postgres://…` [default: a fresh SQLite file in a temporary folder]
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// How long a day of the campaign takes, such as `1s` or `20ms`; the campaign takes 33 of them.
    #[arg(long, default_value = "1s", value_parser = parse_day)]
    pub day: Duration,
    /// How many of the 300 people sign up.
    #[arg(long, default_value_t = 300)]
    pub accounts: usize,
    /// The folder for the mails, empty or not there yet [default: a fresh temporary one]
    #[arg(long)]
    pub outbox: Option<PathBuf>,
    /// `smtp://host[:port]`: send the mails there, instead of writing them to files.
    #[arg(long, env = "SMTP_URL", hide_env_values = true)]
    pub smtp_url: Option<String>,
}

/// Runs the demonstration. Returns whether the check passed.
///
/// # Errors
///
/// If it could not be completed.
pub async fn run(args: DemoArgs) -> Result<bool, BoxError> {
    let folder = std::env::temp_dir().join(format!("futurecall-demo-{}", Uuid::now_v7()));
    std::fs::create_dir_all(&folder)?;
    let url = args.database_url.unwrap_or_else(|| format!("sqlite:{}", folder.join("drip.db").display()));
    let mailer = match &args.smtp_url {
        Some(url) => Mailer::smtp(url)?,
        None => Mailer::outbox(&fresh(args.outbox.unwrap_or_else(|| folder.join("outbox")))?)?,
    };
    let outbox = mailer.folder().map(Path::to_owned);

    let began = now();
    let database = Database::connect(&url).await?;
    // A space of its own: a `serve` on the same database must not run the calls of the demonstration.
    let app = App::start(database, mailer, "futurecall_demo", args.day, DigestRule::Every(args.day)).await?;
    let participants = play::campaign(&app, people::read(args.accounts)?, began).await?;
    app.pod.future_calls().cancel("digest").await?;
    // What has run is counted as soon as its outcome is stored, which a shutdown waits for; it also closes the pod's
    // connections, so that another pod, which runs nothing, looks afterwards.
    app.pod.shutdown().await;
    let looking = app.database.pod().schema("futurecall_demo").table_prefix("futurecall_demo_");
    let looking = looking.role(Role::Serverless).start().await?;
    let counts = looking.inspect().counts().await?;
    looking.shutdown().await;

    let runs = MailRun::since(&app.database, began).await?;
    let written = outbox.as_deref().map(letter_ids).transpose()?;
    let records = Records { day: args.day, participants, runs, outbox: written };
    let problems = check(&records);
    report::print(&records, &counts, &problems, outbox.as_deref());
    Ok(problems.is_empty())
}

/// Returns the folder if it is empty, because the check counts the files in it.
fn fresh(folder: PathBuf) -> Result<PathBuf, BoxError> {
    let used = std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
    if used {
        return Err(
            format!("{} is not empty: the demonstration counts the mails in it", folder.display()).into()
        );
    }
    Ok(folder)
}
