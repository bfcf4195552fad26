//! A program with the README's `main`, which fails with `?` in the way that its argument names. Its output is all that
//! its user sees.

use std::time::Duration;

use futurecall_runtime::prelude::*;
use futurecall_runtime::recurring::Rule;
use futurecall_runtime::{CallId, Config, Moment, Role, ScheduleId};

/// Needs an instance.
#[derive(Debug)]
pub struct Clerk {
    /// Whose work it does.
    pub name: &'static str,
}

#[future_call]
impl Clerk {
    /// Writes to nobody.
    pub async fn write(&self, _session: &Session) {
        println!("{}", self.name);
    }
}

/// Needs state.
#[derive(Debug)]
pub struct Mail;

#[future_call]
impl Mail {
    /// Sends to nobody.
    pub async fn send(_session: &Session, #[future_call(state)] _server: &Clerk) {}
}

const HOUR: Duration = Duration::from_hours(1);

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).without_time().init();
    let way = std::env::args().nth(1).unwrap_or_default();
    let memory = || Pod::builder().database_url("memory:").without_discovery();
    match way.as_str() {
        "database" => drop(Pod::builder().without_discovery().start().await?),
        "url" => drop(memory().database_url("mysql://localhost/x").start().await?),
        "file" => drop(memory().database_url("sqlite:/no/such/folder/calls.db").start().await?),
        "setting" => drop(memory().config(Config::new().concurrency_limit(0)).start().await?),
        "environment" => drop(memory().override_from_env().start().await?),
        "instance" => drop(Pod::builder().database_url("memory:").register(Mail).start().await?),
        "state" => drop(memory().register(Mail).start().await?),
        "name" => drop(memory().register(Mail).register(Mail).start().await?),
        "rule" => drop(Rule::cron("0 25 * * *", "UTC")?),
        "id" => drop("abc".parse::<CallId>()?),
        "moment" => drop(Moment::try_from(chrono::DateTime::UNIX_EPOCH - chrono::TimeDelta::days(1))?),
        "schedule" => {
            let pod = memory().role(Role::Serverless).start().await?;
            pod.future_call_with_delay("elsewhere.run", Some(&7), HOUR).identifier("").await?;
        }
        "argument" => {
            let pod = memory().role(Role::Maintenance).start().await?;
            pod.future_call_with_delay("elsewhere.run", Some(&f64::NAN), HOUR).await?;
        }
        "operate" => {
            let pod = memory().config(Config::new().execution_enabled(false)).start().await?;
            pod.operate("ada").end_schedule(ScheduleId::from_uuid(uuid::Uuid::nil()), "over").await?;
        }
        "running" => {
            let _pod = memory().start().await?;
            Err("out of luck")?;
        }
        way => return Err(format!("no way to fail is called `{way}`").into()),
    }
    Ok(())
}
