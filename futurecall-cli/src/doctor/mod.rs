//! What `doctor` looks at: each file knows one kind of thing, and says of it what was found, what that means, what to do.

mod calls;
mod clock;
mod database;
mod disk;
mod history;
mod listen;
mod pauses;
mod pods;
mod schema;

use std::fmt::Write;

use futurecall_runtime::store::Store;
use futurecall_runtime::{Moment, Pod, PodRecord};

use crate::connect;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::safe::escaped;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Fine,
    Warning,
    Problem,
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) status: Status,
    /// What was looked at, in a word or two.
    pub(crate) check: &'static str,
    /// What was found.
    pub(crate) found: String,
    /// What that means.
    pub(crate) means: Option<&'static str>,
    /// What to do.
    pub(crate) todo: Option<&'static str>,
}

impl Status {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

impl Finding {
    fn fine(check: &'static str, found: impl Into<String>) -> Self {
        Self { status: Status::Fine, check, found: found.into(), means: None, todo: None }
    }

    fn warning(
        check: &'static str,
        found: impl Into<String>,
        means: &'static str,
        todo: &'static str,
    ) -> Self {
        Self { status: Status::Warning, check, found: found.into(), means: Some(means), todo: Some(todo) }
    }

    fn problem(
        check: &'static str,
        found: impl Into<String>,
        means: &'static str,
        todo: &'static str,
    ) -> Self {
        Self { status: Status::Problem, ..Self::warning(check, found, means, todo) }
    }
}

/// What the checks of calls and pods are given.
#[derive(Debug)]
struct Patient {
    pod: Pod,
    now: Moment,
    pods: Vec<PodRecord>,
}

impl Patient {
    /// Pods that live and run calls.
    fn runners(&self) -> impl Iterator<Item = &PodRecord> {
        self.pods.iter().filter(|pod| pod.live && pod.runs())
    }

    fn knows(&self, name: &str) -> bool {
        self.runners().any(|pod| pod.names.iter().any(|known| known == name))
    }
}

/// Everything, as far as one can get: without a database nothing else, without tables nothing of calls.
pub(crate) async fn examine(context: &Context<'_>) -> Result<Vec<Finding>, Failure> {
    let url = connect::url(context.globals)?;
    let store = match connect::store(context.globals, false).await {
        Ok(store) => store,
        Err(failure) if failure.exit == Exit::Usage => return Err(failure),
        Err(failure) => return Ok(vec![unreachable(&failure)]),
    };
    let findings = look(context, &url, &*store).await;
    store.close().await;
    Ok(findings)
}

async fn look(context: &Context<'_>, url: &str, store: &dyn Store) -> Vec<Finding> {
    let mut findings = vec![Finding::fine("connection", store.kind())];
    findings.extend(database::examine(store).await);
    findings.extend(disk::examine(url));
    findings.extend(clock::examine(store).await);
    if store.kind() == "postgres" {
        findings.push(listen::examine(url).await);
    }
    let (schema, usable) = schema::examine(store).await;
    findings.push(schema);
    if !usable {
        return findings;
    }
    let pod = match connect::pod(context.globals).await {
        Ok(pod) => pod,
        Err(failure) => {
            findings.push(unreachable(&failure));
            return findings;
        }
    };
    let found = looked(pod.clone()).await;
    pod.shutdown().await;
    match found {
        Ok(found) => findings.extend(found),
        Err(failure) => findings.push(Finding::problem(
            "tables",
            failure.to_string(),
            "The tables cannot be read.",
            "See what the database says; compare the user's rights with migrations/roles.sql.",
        )),
    }
    findings
}

async fn looked(pod: Pod) -> Result<Vec<Finding>, Failure> {
    let inspect = pod.inspect();
    let patient = Patient { now: inspect.now().await?, pods: inspect.pods().await?, pod: pod.clone() };
    let mut findings = pods::examine(&patient);
    findings.extend(calls::examine(&patient).await?);
    findings.extend(pauses::examine(&patient).await?);
    findings.extend(history::examine(&patient).await?);
    Ok(findings)
}

fn unreachable(failure: &Failure) -> Finding {
    Finding::problem(
        "connection",
        failure.to_string(),
        "The database cannot be reached or opened.",
        "Check the URL, the network, the user's rights, and that the server is up.",
    )
}

/// A few names of many, for people.
fn some_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 5;
    let names: Vec<&str> = names.into_iter().collect();
    let mut text = names.iter().take(SHOWN).map(|name| escaped(name)).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        let _ = write!(text, " and {} more", names.len() - SHOWN);
    }
    text
}
