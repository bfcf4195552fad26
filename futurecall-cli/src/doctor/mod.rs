//! The findings of `doctor`: the diagnosis of the library, and checks of this machine's connection (the file system of a
//! SQLite file, delivery of notifications).

mod disk;
mod listen;

use futurecall_runtime::inspect::{Finding, Severity};
use futurecall_runtime::store::Store;

use crate::connect;
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// Runs all checks that are possible: without tables only those of the database, without a database none.
pub(crate) async fn examine(context: &Context<'_>) -> Result<Vec<Finding>, Failure> {
    let url = connect::url(context.globals)?;
    let store = match connect::store(context.globals, false).await {
        Ok(store) => store,
        Err(failure) if failure.exit == Exit::Usage => return Err(failure),
        Err(failure) => return Ok(vec![unreachable(&failure)]),
    };
    let schema = schema(&*store).await;
    let mut findings = if schema.severity == Severity::Problem {
        without_tables(&*store, schema).await
    } else {
        with_pod(context).await
    };
    findings.extend(disk::examine(&url));
    if store.kind() == "postgres" {
        findings.push(listen::examine(&url).await);
    }
    store.close().await;
    Ok(findings)
}

async fn schema(store: &dyn Store) -> Finding {
    match store.migrations().await {
        Ok(steps) => Finding::of_schema(&steps),
        Err(error) => problem(
            "schema",
            &error.into(),
            "The migrations cannot be read.",
            "Check the database's error, and --schema or --table-prefix.",
        ),
    }
}

async fn without_tables(store: &dyn Store, schema: Finding) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("connection", store.kind())];
    findings.extend(Finding::of_settings(store.kind(), store.settings().await.as_deref()));
    findings.push(schema);
    findings
}

async fn with_pod(context: &Context<'_>) -> Vec<Finding> {
    let pod = match connect::pod(context.globals).await {
        Ok(pod) => pod,
        Err(failure) => return vec![unreachable(&failure)],
    };
    let diagnosis = pod.inspect().diagnose().await;
    pod.shutdown().await;
    match diagnosis {
        Ok(diagnosis) => diagnosis.findings,
        Err(error) => vec![problem(
            "tables",
            &error.into(),
            "The tables cannot be read.",
            "Check the database's error; compare the user's rights with migrations/roles.sql.",
        )],
    }
}

fn unreachable(failure: &Failure) -> Finding {
    problem(
        "connection",
        failure,
        "The database cannot be reached or opened.",
        "Check the URL, the network, the user's rights, and that the server is running.",
    )
}

fn problem(code: &'static str, failure: &Failure, means: &'static str, todo: &'static str) -> Finding {
    Finding::new(Severity::Problem, code, failure.to_string(), means, todo)
}
