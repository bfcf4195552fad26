use clap::Args;
use futurecall_runtime::{CallId, Reason};

use crate::context::Context;
use crate::exit::Failure;
use crate::output::{Answer, Record, Rows};

/// Says why a call has not run, or what became of it
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// Which call
    id: CallId,
}

pub(crate) async fn run(context: &mut Context<'_>, why: Why) -> Result<Answer, Failure> {
    let pod = context.pod().await?;
    let why = pod.inspect().why(why.id).await?.ok_or_else(|| super::show::unknown(why.id))?;
    let reasons = Rows::new(&["reason", "says!"], "none", why.reasons.iter().map(reason));
    let record = Record::new().with("id", why.id).with("state", why.state.as_str());
    Ok(Answer::new(record.with("reasons", reasons)))
}

/// A reason in one word, in words, and in its parts.
fn reason(reason: &Reason) -> Record {
    let record = |word: &'static str| Record::new().with("reason", word).with("says", reason.to_string());
    match reason {
        Reason::NotDue { due, left } => record("not_due").with("due", *due).with("left", *left),
        Reason::WaitsForRetry { attempt, at, error } => {
            record("waits_for_retry").with("attempt", *attempt).with("at", *at).with("error", error.clone())
        }
        Reason::NoPod => record("no_pod"),
        Reason::NoPodKnowsName { name, pods } => {
            record("no_pod_knows_name").with("name", name.as_str()).with("pods", *pods)
        }
        Reason::Paused { name, actor, reason, since } => record("paused")
            .with("name", name.as_str())
            .with("actor", actor.as_str())
            .with("because", reason.as_str())
            .with("since", *since),
        Reason::Waiting { ahead, slots, running } => {
            record("waiting").with("ahead", *ahead).with("slots", *slots).with("running", *running)
        }
        Reason::RunBefore { id } => record("run_before").with("call", *id),
        Reason::Due { late } => record("due").with("late", *late),
        Reason::Broken { reason } => record("broken").with("because", reason.as_str()),
        Reason::Running { pod, started, lease_until } => {
            record("running").with("pod", *pod).with("started", *started).with("lease_until", *lease_until)
        }
        Reason::CancelRequested => record("cancel_requested"),
        Reason::Finished { at, error } => record("finished").with("at", *at).with("error", error.clone()),
        Reason::Action { actor, verb, at } => {
            record("action").with("actor", actor.as_str()).with("verb", verb.as_str()).with("at", *at)
        }
        _ => record("other"),
    }
}
