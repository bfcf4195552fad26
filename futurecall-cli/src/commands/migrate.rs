use clap::{Args, Subcommand};
use futurecall_runtime::inspect::MigrationRecord;
use futurecall_runtime::store::Store;

use crate::connect;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Answer, Format, Record, Rows, Tone};
use crate::records::is_later;

/// The steps of the database's schema.
#[derive(Debug, Subcommand)]
pub(crate) enum Migrate {
    /// Which steps are applied, and which are missing
    Status(Status),
    /// Applies the missing steps, under a lock: safe beside running pods and other migrations
    Up,
    /// Writes the SQL of the missing steps, to be reviewed and run by hand
    Sql(Sql),
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Ends with 4 where a step is missing, or is of a later version than this program
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// The steps that are applied as well
    #[arg(long)]
    all: bool,
}

/// `None`: what was to be said is written.
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
    let spinner = crate::progress::spinner(context.globals.quiet, "applying the schema's steps");
    store.migrate().await?;
    spinner.finish_and_clear();
    let mut steps = store.migrations().await?;
    steps.retain(|step| before.contains(&step.version));
    let answer = Answer::list("applied", rows(&steps));
    Ok(if steps.is_empty() {
        answer.note("The schema is up to date: nothing was to be done")
    } else {
        answer
    })
}

fn write(context: &mut Context<'_>, steps: &[MigrationRecord]) -> Result<Option<Answer>, Failure> {
    if context.printer.format() != Format::Table {
        let with_sql = |step: &MigrationRecord| row(step).with("sql", step.sql.as_str());
        return Ok(Some(Answer::list("steps", Rows::new(COLUMNS, "none", steps.iter().map(with_sql)))));
    }
    if steps.is_empty() {
        context.printer.note("The schema is up to date: there is nothing to run; --all writes every step")?;
    }
    for step in steps {
        context.printer.write(&format!("-- {:04} {}\n{}\n", step.version, step.name, step.sql.trim_end()))?;
    }
    Ok(None)
}

const COLUMNS: &[&str] = &["version", "name", "state", "applied"];

fn rows(steps: &[MigrationRecord]) -> Rows {
    Rows::new(COLUMNS, "no steps", steps.iter().map(row))
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
        return Some("A later version of Futurecall has been here: use its `futurecall`".to_owned());
    }
    match steps.iter().filter(|step| step.applied.is_none()).count() {
        0 => None,
        1 => Some("One step is missing: `futurecall migrate up` applies it".to_owned()),
        missing => Some(format!("{missing} steps are missing: `futurecall migrate up` applies them")),
    }
}
