use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, Subcommand};
use futurecall_runtime::Pod;

use crate::context::Context;
use crate::exit::Failure;
use crate::output::{Answer, Record, Rows, Tone};

/// Counting the pending calls of a name stops here.
const CAP: u64 = 100_000;

/// The names of calls.
#[derive(Debug, Subcommand)]
pub(crate) enum Names {
    /// Names with calls that wait, names that live pods know, and names that are paused
    List,
    /// Lets no pod claim calls of a name until it is resumed; what runs goes on
    Pause(Pause),
    /// Ends the pause of a name
    Resume(Resume),
}

#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// The stored name
    name: String,
    /// Why, for whoever looks at it
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
            Ok(answer(pause.name, "paused", paused, "It was paused already"))
        }
        Names::Resume(resume) => {
            let resumed = operator.resume_name(&resume.name).await?;
            Ok(answer(resume.name, "resumed", resumed, "It was not paused"))
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
    let rows = Rows::new(columns, "no names: nothing waits, and no pod lives", rows);
    let capped = pending.values().any(|count| *count >= CAP);
    let answer = Answer::list("names", rows);
    Ok(if capped { answer.note(format!("{CAP} pending calls mean that many or more")) } else { answer })
}
