use clap::Args;
use futurecall_runtime::inspect::Severity;

use crate::context::Context;
use crate::doctor;
use crate::exit::{Exit, Failure};
use crate::output::{Answer, Record, Rows, Tone};

/// Checks the database, pods and calls, and suggests fixes
#[derive(Debug, Args)]
#[command(after_help = "Exits with 4 if there is a problem, or with --strict a warning.")]
pub(crate) struct Doctor {
    /// Exit with 4 for warnings as well
    #[arg(long, env = "FUTURECALL_STRICT", hide_env = true, value_parser = clap::builder::BoolishValueParser::new())]
    strict: bool,
}

pub(crate) async fn run(context: &mut Context<'_>, doctor: Doctor) -> Result<Answer, Failure> {
    let spinner = crate::progress::spinner(context.globals.quiet, "checking");
    let findings = doctor::examine(context).await?;
    spinner.finish_and_clear();
    let worst = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok);
    let unhealthy = worst == Severity::Problem || (doctor.strict && worst == Severity::Warning);
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (problems, warnings) = (count(Severity::Problem), count(Severity::Warning));
    let rows = findings.iter().map(|finding| {
        let tone = match finding.severity {
            Severity::Ok => Tone::Good,
            Severity::Warning => Tone::Doubtful,
            Severity::Problem => Tone::Bad,
            _ => Tone::Plain,
        };
        Record::of(finding).tone(tone)
    });
    let columns = &["severity", "code", "found!"];
    let rows = Rows::new(columns, "no findings", rows).under(&["means", "todo"]);
    let mut answer = Answer::list("findings", rows);
    answer.record =
        answer.record.with("healthy", !unhealthy).with("problems", problems).with("warnings", warnings);
    Ok(answer.exit(if unhealthy { Exit::Unhealthy } else { Exit::Done }))
}
