//! Schedules declared by attributes: `#[future_call(every = "1h")]`.

use std::sync::Arc;
use std::time::Duration;

use crate::error::StartError;
use crate::id::ScheduleId;
use crate::recurring::Rule;
use crate::registry::{DeclaredRule, Handler, Registry};
use crate::store::{NewSchedule, ScheduleOrigin};

/// Returns the schedules that this pod's calls declare.
pub(super) fn by_attribute(registry: &Registry) -> Result<Vec<NewSchedule>, StartError> {
    registry.handlers().iter().filter_map(|handler| Some(schedule(handler, handler.recurring?))).collect()
}

fn schedule(handler: &Arc<Handler>, rule: DeclaredRule) -> Result<NewSchedule, StartError> {
    let rule = match rule {
        DeclaredRule::Every { interval_us } => Rule::every(Duration::from_micros(interval_us)),
        DeclaredRule::Cron { expression, time_zone } => Rule::cron(expression, time_zone),
    };
    let name = handler.name.to_string();
    let rule =
        rule.map_err(|error| StartError::Schedule { name: name.clone(), source: Box::new(error.into()) })?;
    Ok(NewSchedule {
        id: ScheduleId::new(),
        key: key(&name),
        former_keys: handler.aliases.iter().map(|alias| key(alias)).collect(),
        name,
        identifier: None,
        args: "{}".to_owned(),
        format: crate::args::FORMAT,
        priority: handler.priority,
        rule,
        origin: ScheduleOrigin::Attribute,
    })
}

/// Returns the key of such a schedule; there is one per call.
fn key(name: &str) -> String {
    format!("{name}\nattribute")
}
