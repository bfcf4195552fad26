use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, Subcommand};
use futurecall_runtime::Pod;

use crate::context::Context;
use crate::exit::Failure;
use crate::output::{Answer, Record, Rows, Tone};

/// Counting the pending calls of a name stops here.
const CAP: u64 = 100_000;

/// Call types by name.
#[derive(Debug, Subcommand)]
pub(crate) enum Names {
    /// Lists names with pending calls, names that live pods run, and paused names
    List,
    /// Pauses a name: no pod runs its calls until it is resumed; running calls continue
    Pause(Pause),
    /// Resumes a name
    Resume(Resume),
}

#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// The stored name
    name: String,
    /// The reason, which is shown with the pause
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// The stored name
    name: String,
}

pub(crate) async fn run(context: &mut Context<'_>, names: Names) -> Result<Answer, Failure> {
    let pod = context.pod().await?;
    let operator = pod.operate(context.globals.actor());
    match names {
        Names::List => list(&pod).await,
        Names::Pause(pause) => {
            let paused =
                operator.pause_name(&pause.name, pause.reason.as_deref().unwrap_or_default()).await?;
            Ok(answer(pause.name, "paused", paused, "Already paused"))
        }
        Names::Resume(resume) => {
            let resumed = operator.resume_name(&resume.name).await?;
            Ok(answer(resume.name, "resumed", resumed, "Not paused"))
        }
    }
}

fn answer(name: String, what: &'static str, done: bool, otherwise: &str) -> Answer {
    let answer = Answer::new(Record::new().with("name", name).with(what, done));
    if done { answer } else { answer.note(otherwise) }
}

async fn list(pod: &Pod) -> Result<Answer, Failure> {
    let inspect = pod.inspect();
    let pending: BTreeMap<String, u64> =
        inspect.pending_names(CAP).await?.into_iter().map(|pending| (pending.name, pending.calls)).collect();
    let paused = inspect.paused_names().await?;
    let mut pods: BTreeMap<String, u64> = BTreeMap::new();
    for pod in inspect.pods().await?.iter().filter(|pod| pod.live && pod.runs()) {
        for name in &pod.names {
            *pods.entry(name.clone()).or_default() += 1;
        }
    }
    let paused_names = paused.iter().map(|paused| &paused.name);
    let names: BTreeSet<&String> = pending.keys().chain(pods.keys()).chain(paused_names).collect();
    let rows = names.into_iter().map(|name| {
        let pause = paused.iter().find(|paused| paused.name == *name);
        let waiting = pending.get(name).copied().unwrap_or_default();
        let known_by = pods.get(name).copied().unwrap_or_default();
        let tone = match (pause, known_by) {
            (Some(_), _) => Tone::Doubtful,
            (None, 0) => Tone::Bad,
            (None, _) => Tone::Plain,
        };
        Record::new()
            .with("name", name.as_str())
            .with("pending", waiting)
            .with("live_pods", known_by)
            .with("paused", pause.is_some())
            .with("since", pause.map(|pause| pause.since))
            .with("actor", pause.map(|pause| pause.actor.clone()))
            .with("reason", pause.map(|pause| pause.reason.clone()))
            .tone(tone)
    });
    let columns = &["name", "pending", "live_pods", "paused", "since", "actor", "reason"];
    let rows = Rows::new(columns, "no names: no pending calls and no live pods", rows);
    let capped = pending.values().any(|count| *count >= CAP);
    let answer = Answer::list("names", rows);
    Ok(if capped { answer.note(format!("{CAP} pending calls means that many or more")) } else { answer })
}
