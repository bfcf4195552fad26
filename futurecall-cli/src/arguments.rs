//! What is shown of arguments: they may hold what only the service is to know.

use clap::ValueEnum;
use futurecall_runtime::inspect::PodRecord;
use futurecall_runtime::inspect::Redaction;

use crate::output::Value;

/// What is shown of the arguments of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    /// Nothing
    Hidden,
    /// All but what the code of the pods marks `#[future_call(redact)]`; nothing of names that no pod has run for a day
    #[default]
    Redacted,
    /// Everything
    Shown,
}

/// The policy, with what pods have said of their calls.
#[derive(Debug)]
pub(crate) struct Arguments {
    policy: Policy,
    redaction: Redaction,
}

impl Arguments {
    pub(crate) fn new(policy: Policy, pods: &[PodRecord]) -> Self {
        Self { policy, redaction: Redaction::of(pods) }
    }

    /// The arguments of a call as they may be seen: JSON, or a text that says why not.
    pub(crate) fn shown(&self, name: &str, args: &str) -> Value {
        if args.is_empty() {
            return "[not readable with this database user's rights]".into();
        }
        let shown = match self.policy {
            Policy::Hidden => return "[hidden]".into(),
            Policy::Redacted if !self.redaction.knows(name) => {
                return "[hidden: no pod of the last day knows the name; --arguments shown shows them]"
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
