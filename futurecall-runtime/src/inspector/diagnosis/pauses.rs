//! What somebody has stopped, and perhaps forgotten.

use std::time::Duration;

use super::limits::FORGOTTEN;
use super::{Finding, Ground, Severity, some_of};
use crate::error::StoreError;
use crate::store::{ACTIONS_KEPT, ActionFilter, ActionRecord, ScheduleState};
use crate::text::duration;

pub(super) async fn names(ground: &Ground<'_>) -> Result<Finding, StoreError> {
    let paused = ground.inspector.paused_names().await?;
    let paused = paused.into_iter().map(|paused| {
        (format!("{} by {}", paused.name, paused.actor), ground.now.saturating_since(paused.since))
    });
    Ok(verdict("paused-names", &paused.collect::<Vec<_>>(), "Resume them: `futurecall names resume NAME`."))
}

pub(super) async fn schedules(ground: &Ground<'_>) -> Result<Finding, StoreError> {
    let inspector = ground.inspector;
    let mut paused = inspector.schedules().await?;
    paused.retain(|schedule| schedule.state == ScheduleState::Paused);
    let actions = if paused.is_empty() {
        Vec::new()
    } else {
        inspector.actions(&ActionFilter::new().limit(1_000)).await?
    };
    // A pause that is not among them is older than the oldest of them, or than actions are kept.
    let oldest = actions.last().filter(|_| actions.len() == 1_000);
    let older = oldest.map_or(ACTIONS_KEPT, |action| ground.now.saturating_since(action.at));
    let paused = paused.into_iter().map(|schedule| {
        let is_its =
            |action: &&ActionRecord| action.verb == "pause_schedule" && action.schedule == Some(schedule.id);
        let pause = actions.iter().find(is_its);
        let age = pause.map_or(older, |action| ground.now.saturating_since(action.at));
        let by = pause.map(|action| format!(" by {}", action.actor)).unwrap_or_default();
        (format!("{}{by}", schedule.name), age)
    });
    let todo = "Resume them: `futurecall recurring resume ID`; or end them.";
    Ok(verdict("paused-schedules", &paused.collect::<Vec<_>>(), todo))
}

fn verdict(code: &'static str, paused: &[(String, Duration)], todo: &'static str) -> Finding {
    let found = some_of(paused.iter().map(|(name, age)| format!("{name} for {}", duration(*age))));
    let oldest = paused.iter().map(|(_, age)| *age).max();
    let finding = match oldest {
        None => Finding::ok(code, "none"),
        Some(age) if age > FORGOTTEN => Finding::warning(
            code,
            found,
            "Paused for more than a week: perhaps somebody has forgotten it.",
            todo,
        ),
        Some(_) => {
            Finding::new(Severity::Note, code, found, "Nothing of them runs until they are resumed.", todo)
        }
    };
    finding.figure("paused", paused.len()).figure("oldest_seconds", oldest.map(|age| age.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_pauses_are_doubted() {
        let paused = |days: u32| vec![("a by ada".to_owned(), Duration::from_hours(24) * days)];
        assert_eq!(verdict("x", &paused(1), "").severity, Severity::Note);
        assert_eq!(verdict("x", &paused(8), "").found, "a by ada for 8 d 0 h");
        assert_eq!(verdict("x", &paused(8), "").severity, Severity::Warning);
        assert_eq!(verdict("x", &[], "").found, "none");
    }
}
