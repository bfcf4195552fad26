//! Calls the command.

use clap::CommandFactory;

use crate::cli::{Cli, Command};
#[cfg(feature = "dashboard")]
use crate::commands::dashboard;
use crate::commands::{
    act, actions, completions, doctor, list, migrate, names, pods, prune, recurring, schedule, show, stats,
    watch, why,
};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Answer, Printer};

/// Runs the command and prints its answer.
pub(crate) async fn run(cli: Cli, printer: &mut Printer) -> Result<Exit, Failure> {
    let Cli { command, globals } = cli;
    let mut context = Context { globals: &globals, printer, pod: None };
    let done = carry_out(&mut context, command).await;
    if let Some(pod) = context.pod {
        // Checkpoints the WAL of a SQLite file.
        pod.shutdown().await;
    }
    done
}

async fn carry_out(context: &mut Context<'_>, command: Command) -> Result<Exit, Failure> {
    let answer = match command {
        // These write their output themselves.
        Command::List(list) => return list::run(context, list).await,
        Command::Watch(watch) => return watch::run(context, watch).await,
        #[cfg(feature = "dashboard")]
        Command::Dashboard(dashboard) => return dashboard::run(context, dashboard).await,
        Command::Completions(completions) => return completions::run(context, &completions, Cli::command()),
        Command::Migrate(migrate) => match migrate::run(context, migrate).await? {
            Some(answer) => answer,
            None => return Ok(Exit::Done),
        },
        command => answer(context, command).await?,
    };
    match context.printer.print(&answer) {
        // The reader has closed the pipe; the exit code still counts.
        Err(failure) if failure.is_silent() => {}
        printed => printed?,
    }
    Ok(answer.exit)
}

async fn answer(context: &mut Context<'_>, command: Command) -> Result<Answer, Failure> {
    match command {
        Command::Show(show) => show::run(context, show).await,
        Command::Why(why) => why::run(context, why).await,
        Command::Schedule(schedule) => schedule::run(context, schedule).await,
        Command::Cancel(cancel) => act::cancel(context, cancel).await,
        Command::Reschedule(reschedule) => act::reschedule(context, reschedule).await,
        Command::RunNow(run_now) => act::run_now(context, run_now).await,
        Command::RunAgain(run_again) => act::run_again(context, run_again).await,
        Command::Delete(delete) => act::delete(context, delete).await,
        Command::Recurring(recurring) => recurring::run(context, recurring).await,
        Command::Names(names) => names::run(context, names).await,
        Command::Stats(stats) => stats::run(context, stats).await,
        Command::Pods(pods) => pods::run(context, pods).await,
        Command::Actions(actions) => actions::run(context, actions).await,
        Command::Prune(prune) => prune::run(context, prune).await,
        Command::Doctor(doctor) => doctor::run(context, doctor).await,
        // Handled above.
        _ => Err(Failure::usage("this command writes its own output")),
    }
}
