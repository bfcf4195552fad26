use clap::Args;

use crate::context::Context;
use crate::doctor::{self, Status};
use crate::exit::{Exit, Failure};
use crate::output::{Answer, Record, Rows, Tone};

/// Checks the database, the pods and the calls, and says what to do
#[derive(Debug, Args)]
#[command(after_help = "Ends with 4 where there is a problem; warnings alone end with 0, unless --strict.")]
pub(crate) struct Doctor {
    /// Ends with 4 where there are warnings, too
    #[arg(long, env = "FUTURECALL_STRICT", hide_env = true, value_parser = clap::builder::BoolishValueParser::new())]
    strict: bool,
}

pub(crate) async fn run(context: &mut Context<'_>, doctor: Doctor) -> Result<Answer, Failure> {
    let spinner = crate::progress::spinner(context.globals.quiet, "looking");
    let findings = doctor::examine(context).await?;
    spinner.finish_and_clear();
    let worst = findings.iter().map(|finding| finding.status).max().unwrap_or(Status::Fine);
    let unhealthy = worst == Status::Problem || (doctor.strict && worst == Status::Warning);
    let count = |status| findings.iter().filter(|finding| finding.status == status).count();
    let (problems, warnings) = (count(Status::Problem), count(Status::Warning));
    let rows = findings.iter().map(|finding| {
        let tone = match finding.status {
            Status::Fine => Tone::Good,
            Status::Warning => Tone::Doubtful,
            Status::Problem => Tone::Bad,
        };
        Record::new()
            .with("status", finding.status.as_str())
            .with("check", finding.check)
            .with("found", finding.found.as_str())
            .with("means", finding.means)
            .with("todo", finding.todo)
            .tone(tone)
    });
    let rows =
        Rows::new(&["status", "check", "found!"], "nothing was checked", rows).under(&["means", "todo"]);
    let mut answer = Answer::list("findings", rows);
    answer.record =
        answer.record.with("healthy", !unhealthy).with("problems", problems).with("warnings", warnings);
    Ok(answer.exit(if unhealthy { Exit::Unhealthy } else { Exit::Done }))
}
