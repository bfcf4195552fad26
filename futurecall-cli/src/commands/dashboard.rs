use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use futurecall_dashboard::{Access, Arguments, dashboard};

use crate::Context;
use crate::arguments::Policy;
use crate::exit::{Exit, Failure};
use crate::output::{Answer, Record};

/// Serves the dashboard until Ctrl-C
#[derive(Debug, Args)]
#[command(
    after_help = "On this machine alone unless --bind says otherwise, which needs --password-env. Without that, a \
                        random password is\nmade and printed once. Any user name will do: actions are recorded in it. Not \
                        encrypted: put a proxy with TLS in front."
)]
pub(crate) struct Dashboard {
    /// Where to listen; port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:3111",
        env = "FUTURECALL_DASHBOARD_BIND",
        hide_env = true
    )]
    bind: SocketAddr,
    /// The environment variable that holds the password
    #[arg(long, value_name = "VARIABLE")]
    password_env: Option<String>,
    /// Lets nobody change anything
    #[arg(long)]
    read_only: bool,
    /// What stands at the top of each page
    #[arg(long, value_name = "TEXT", default_value = "Futurecall")]
    title: String,
}

/// Whom a visitor says to be, who knows the password.
#[derive(Clone, Debug)]
struct Visitor(String);

/// What the door asks for.
struct Door {
    password: String,
    /// In whose name visitors without one act.
    actor: String,
}

pub(crate) async fn run(context: &mut Context<'_>, options: Dashboard) -> Result<Exit, Failure> {
    let local = options.bind.ip().is_loopback();
    let (password, made) = match &options.password_env {
        Some(name) => (named(name)?, false),
        None if local => (uuid::Uuid::new_v4().simple().to_string(), true),
        None => {
            let text = "others can reach that address: say who may come in by --password-env VARIABLE";
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
    let door = Arc::new(Door { password: password.clone(), actor: context.globals.actor() });
    let app: Router = pages.into_router().layer(from_fn_with_state(Arc::clone(&door), knock));
    let listener = tokio::net::TcpListener::bind(options.bind)
        .await
        .map_err(|error| Failure::failed(format!("could not listen on {}: {error}", options.bind)))?;
    let address = listener
        .local_addr()
        .map_err(|error| Failure::failed(format!("could not listen on {}: {error}", options.bind)))?;
    let record = Record::new()
        .with("url", format!("http://{address}/"))
        .with("user", door.actor.as_str())
        .with("password", made.then_some(password));
    context.printer.print(&Answer::new(record).note("Serving the dashboard until Ctrl-C"))?;
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let stop = pod.shutdown_signal();
    let serving = tokio::spawn(async move { axum::serve(listener, service).await });
    stop.await;
    // Pages that are open hear of changes without end: nobody waits for them.
    serving.abort();
    pod.shutdown().await;
    Ok(Exit::Done)
}

/// The password that stands in the environment.
fn named(variable: &str) -> Result<String, Failure> {
    match std::env::var(variable) {
        Ok(password) if password.len() >= 8 => Ok(password),
        Ok(_) => Err(Failure::usage(format!("the password in {variable} is shorter than 8 characters"))),
        Err(_) => Err(Failure::usage(format!("there is no variable {variable} to take the password from"))),
    }
}

/// Lets pass who knows the password, and what probes ask, to the letter.
async fn knock(State(door): State<Arc<Door>>, mut request: Request, next: Next) -> Response {
    if matches!(request.uri().path(), "/health/live" | "/health/ready") {
        return next.run(request).await;
    }
    if let Some(visitor) = visitor(request.headers(), &door) {
        request.extensions_mut().insert(visitor);
        return next.run(request).await;
    }
    let basic = HeaderValue::from_static("Basic realm=\"futurecall\", charset=\"UTF-8\"");
    let headers = [(WWW_AUTHENTICATE, basic), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (StatusCode::UNAUTHORIZED, headers, "The password is needed.\n").into_response()
}

fn authorize(request: &Parts) -> Access {
    match request.extensions.get::<Visitor>() {
        Some(Visitor(name)) => Access::operator(name),
        None => Access::refused(),
    }
}

fn visitor(headers: &HeaderMap, door: &Door) -> Option<Visitor> {
    let given = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, code) = given.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(code.trim()).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    let name = if name.trim().is_empty() { &door.actor } else { name };
    same(password.as_bytes(), door.password.as_bytes()).then(|| Visitor(name.to_owned()))
}

/// Compares in a time that tells nothing of where two texts differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(header: &str) -> Option<String> {
        let door = Door { password: "pass:word".to_owned(), actor: "ada".to_owned() };
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(header).unwrap());
        visitor(&headers, &door).map(|Visitor(name)| name)
    }

    #[test]
    fn only_the_password_opens() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(seen(&basic("bob:pass:word")).as_deref(), Some("bob"));
        assert_eq!(seen(&basic(":pass:word")).as_deref(), Some("ada"));
        for refused in ["bob:pass:wore", "bob:pass", "bob:", "pass:word", "bob:pass:word2"] {
            assert_eq!(seen(&basic(refused)), None, "{refused}");
        }
        for refused in ["Bearer pass:word", "Basic", "Basic !!!", "basic"] {
            assert_eq!(seen(refused), None, "{refused}");
        }
    }
}
