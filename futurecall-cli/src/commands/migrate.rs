use clap::{Args, Subcommand};
use futurecall_runtime::inspect::MigrationRecord;
use futurecall_runtime::store::Store;

use crate::connect;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Answer, Format, Record, Rows, Tone};
use crate::records::is_later;

/// Migrations of the database schema.
#[derive(Debug, Subcommand)]
pub(crate) enum Migrate {
    /// Shows which migrations are applied
    Status(Status),
    /// Applies the missing migrations, under a lock: safe while pods are running
    Up,
    /// Prints the SQL of the missing migrations, to review and run by hand
    Sql(Sql),
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Exit with 4 if a migration is missing or newer than this program
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// Include applied migrations
    #[arg(long)]
    all: bool,
}

/// Runs the command. Returns `None` if the output is written already.
pub(crate) async fn run(context: &mut Context<'_>, migrate: Migrate) -> Result<Option<Answer>, Failure> {
    match migrate {
        Migrate::Status(status) => {
            let steps = steps(context).await?;
            let healthy = steps.iter().all(|step| step.applied.is_some() && !is_later(step));
            let exit = if status.check && !healthy { Exit::Unhealthy } else { Exit::Done };
            let answer = Answer::list("steps", rows(&steps)).exit(exit);
            Ok(Some(match verdict(&steps) {
                Some(verdict) => answer.note(verdict),
                None => answer,
            }))
        }
        Migrate::Up => up(context).await.map(Some),
        Migrate::Sql(sql) => {
            let mut steps = steps(context).await?;
            steps.retain(|step| !is_later(step) && (sql.all || step.applied.is_none()));
            write(context, &steps)
        }
    }
}

async fn steps(context: &Context<'_>) -> Result<Vec<MigrationRecord>, Failure> {
    let store = connect::store(context.globals, false).await?;
    let steps = store.migrations().await;
    store.close().await;
    Ok(steps?)
}

async fn up(context: &Context<'_>) -> Result<Answer, Failure> {
    let store: Box<dyn Store> = connect::store(context.globals, true).await?;
    let answer = bring_up(context, &*store).await;
    store.close().await;
    answer
}

async fn bring_up(context: &Context<'_>, store: &dyn Store) -> Result<Answer, Failure> {
    let missing = |steps: &[MigrationRecord]| -> Vec<u32> {
        steps.iter().filter(|step| step.applied.is_none()).map(|step| step.version).collect()
    };
    let before = missing(&store.migrations().await?);
    let spinner = crate::progress::spinner(context.globals.quiet, "applying migrations");
    store.migrate().await?;
    spinner.finish_and_clear();
    let mut steps = store.migrations().await?;
    steps.retain(|step| before.contains(&step.version));
    let answer = Answer::list("applied", rows(&steps));
    Ok(if steps.is_empty() { answer.note("The schema is up to date") } else { answer })
}

fn write(context: &mut Context<'_>, steps: &[MigrationRecord]) -> Result<Option<Answer>, Failure> {
    if context.printer.format() != Format::Table {
        let with_sql = |step: &MigrationRecord| row(step).with("sql", step.sql.as_str());
        return Ok(Some(Answer::list("steps", Rows::new(COLUMNS, "none", steps.iter().map(with_sql)))));
    }
    if steps.is_empty() {
        context.printer.note("The schema is up to date; use --all to print all migrations")?;
    }
    for step in steps {
        context.printer.write(&format!("-- {:04} {}\n{}\n", step.version, step.name, step.sql.trim_end()))?;
    }
    Ok(None)
}

const COLUMNS: &[&str] = &["version", "name", "state", "applied"];

fn rows(steps: &[MigrationRecord]) -> Rows {
    Rows::new(COLUMNS, "no migrations", steps.iter().map(row))
}

fn row(step: &MigrationRecord) -> Record {
    let (state, tone) = match step.applied {
        _ if is_later(step) => ("later", Tone::Doubtful),
        Some(_) => ("applied", Tone::Plain),
        None => ("missing", Tone::Bad),
    };
    Record::of(step).with("state", state).tone(tone)
}

fn verdict(steps: &[MigrationRecord]) -> Option<String> {
    if steps.iter().any(is_later) {
        return Some("The schema is of a newer version of Futurecall: use its `futurecall`".to_owned());
    }
    match steps.iter().filter(|step| step.applied.is_none()).count() {
        0 => None,
        1 => Some("One migration is missing: run `futurecall migrate up`".to_owned()),
        missing => Some(format!("{missing} migrations are missing: run `futurecall migrate up`")),
    }
}
