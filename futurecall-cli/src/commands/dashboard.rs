mod login;
mod serving;
mod throttle;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use clap::Args;
use futurecall_dashboard::{Arguments, dashboard};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

use self::login::{Login, authorize, require_password};
use self::serving::Limits;
use crate::arguments::Policy;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Answer, Record};

/// Serves the dashboard until Ctrl-C
#[derive(Debug, Args)]
#[command(
    after_help = "Listens on this machine only, unless --bind is given, which requires --password-env. Without it, a \
                        random password\nis generated and printed. Any user name works; actions are recorded under it. Not \
                        encrypted: use a proxy with TLS."
)]
pub(crate) struct Dashboard {
    /// Address to listen on; port 0 picks a free port
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:3111",
        env = "FUTURECALL_DASHBOARD_BIND",
        hide_env = true
    )]
    bind: SocketAddr,
    /// Environment variable with the password
    #[arg(long, value_name = "VARIABLE")]
    password_env: Option<String>,
    /// Disable all changes
    #[arg(long)]
    read_only: bool,
    /// Title of the pages
    #[arg(long, value_name = "TEXT", default_value = "Futurecall")]
    title: String,
}

pub(crate) async fn run(context: &mut Context<'_>, options: Dashboard) -> Result<Exit, Failure> {
    let local = options.bind.ip().is_loopback();
    let (password, made) = match &options.password_env {
        Some(name) => (named(name)?, false),
        None if local => (uuid::Uuid::new_v4().simple().to_string(), true),
        None => {
            let text =
                "this address is reachable from other machines: set a password with --password-env VARIABLE";
            return Err(Failure::usage(text));
        }
    };
    let pod = context.pod().await?;
    let arguments = match context.globals.arguments {
        Policy::Hidden => Arguments::Hidden,
        Policy::Redacted => Arguments::Redacted,
        Policy::Shown => Arguments::Shown,
    };
    let mut pages = dashboard(&pod).authorize(authorize).arguments(arguments).title(options.title);
    if local {
        pages = pages.loopback_only();
    }
    if options.read_only {
        pages = pages.read_only();
    }
    let login = Arc::new(Login::new(password.clone(), context.globals.actor()));
    let app: Router = pages.into_router().layer(from_fn_with_state(Arc::clone(&login), require_password));
    let listener = tokio::net::TcpListener::bind(options.bind)
        .await
        .map_err(|error| Failure::failed(format!("could not listen on {}: {error}", options.bind)))?;
    let address = listener
        .local_addr()
        .map_err(|error| Failure::failed(format!("could not listen on {}: {error}", options.bind)))?;
    let record = Record::new()
        .with("url", format!("http://{address}/"))
        .with("user", login.actor())
        .with("password", made.then_some(password));
    context.printer.print(&Answer::new(record).note("Serving the dashboard until Ctrl-C"))?;
    log_to_stderr();
    let stop = pod.shutdown_signal();
    let serving = tokio::spawn(serving::serve(listener, app, Limits::default()));
    stop.await;
    // The event streams of open pages never end by themselves.
    serving.abort();
    pod.shutdown().await;
    Ok(Exit::Done)
}

/// Reads the password from the environment.
fn named(variable: &str) -> Result<String, Failure> {
    match std::env::var(variable) {
        Ok(password) if password.len() >= 8 => Ok(password),
        Ok(_) => Err(Failure::usage(format!("the password in {variable} is shorter than 8 characters"))),
        Err(_) => Err(Failure::usage(format!("the environment variable {variable} is not set"))),
    }
}

/// Logs warnings, or what `RUST_LOG` asks for, to the standard error.
fn log_to_stderr() {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).from_env_lossy();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Fails where a subscriber is set already, which then gets the events.
    let _ = subscriber.with_ansi(std::io::stderr().is_terminal()).try_init();
}
