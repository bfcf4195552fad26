//! Redaction of arguments in the output.

use clap::ValueEnum;
use futurecall_runtime::inspect::PodRecord;
use futurecall_runtime::inspect::Redaction;

use crate::output::Value;

/// Which arguments are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    /// None
    Hidden,
    /// All except parameters marked `#[future_call(redact)]`, and none of names that no pod has run for a day
    #[default]
    Redacted,
    /// All
    Shown,
}

/// The policy, with the redacted parameters that pods have published.
#[derive(Debug)]
pub(crate) struct Arguments {
    policy: Policy,
    redaction: Redaction,
}

impl Arguments {
    pub(crate) fn new(policy: Policy, pods: &[PodRecord]) -> Self {
        Self { policy, redaction: Redaction::of(pods) }
    }

    /// Returns the arguments of a call as JSON, or the reason why they are hidden.
    pub(crate) fn shown(&self, name: &str, args: &str) -> Value {
        if args.is_empty() {
            return "[not readable by this database user]".into();
        }
        let shown = match self.policy {
            Policy::Hidden => return "[hidden]".into(),
            Policy::Redacted if !self.redaction.knows(name) => {
                return "[hidden: no pod of the last day runs this name; use --arguments shown to show them]"
                    .into();
            }
            Policy::Redacted => self.redaction.hide(name, args),
            Policy::Shown => args.into(),
        };
        match serde_json::from_str::<serde::de::IgnoredAny>(&shown) {
            Ok(_) => Value::Json(shown.into_owned()),
            Err(_) => "[not JSON]".into(),
        }
    }
}
