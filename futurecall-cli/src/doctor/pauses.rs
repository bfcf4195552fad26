//! What somebody has stopped, and perhaps forgotten.

use std::time::Duration;

use futurecall_runtime::{ActionFilter, ScheduleState};

use super::{Finding, Patient, some_of};
use crate::exit::Failure;
use crate::output::roughly;

/// Whoever stops something for so long has forgotten it.
const FORGOTTEN: Duration = Duration::from_hours(7 * 24);

pub(super) async fn examine(patient: &Patient) -> Result<Vec<Finding>, Failure> {
    Ok(vec![names(patient).await?, schedules(patient).await?])
}

async fn names(patient: &Patient) -> Result<Finding, Failure> {
    let paused = patient.pod.inspect().paused_names().await?;
    let since = |age| patient.now.saturating_since(age);
    let found: Vec<(String, Duration)> = paused
        .iter()
        .map(|paused| (format!("{} by {}", paused.name, paused.actor), since(paused.since)))
        .collect();
    Ok(verdict("paused names", &found, "Resume them: `futurecall names resume NAME`."))
}

async fn schedules(patient: &Patient) -> Result<Finding, Failure> {
    let inspect = patient.pod.inspect();
    let mut found = Vec::new();
    for schedule in
        inspect.schedules().await?.iter().filter(|schedule| schedule.state == ScheduleState::Paused)
    {
        let actions = inspect.actions(&ActionFilter::new().schedule(schedule.id)).await?;
        let pause = actions.iter().find(|action| action.verb == "pause_schedule");
        // Actions are kept for 90 days: a pause without one is older than that.
        let age = pause.map_or(FORGOTTEN * 13, |action| patient.now.saturating_since(action.at));
        let by = pause.map(|action| format!(" by {}", action.actor)).unwrap_or_default();
        found.push((format!("{}{by}", schedule.name), age));
    }
    Ok(verdict("paused schedules", &found, "Resume them: `futurecall recurring resume ID`; or end them."))
}

fn verdict(check: &'static str, paused: &[(String, Duration)], todo: &'static str) -> Finding {
    let shown: Vec<String> =
        paused.iter().map(|(name, age)| format!("{name} for {}", roughly(*age))).collect();
    let shown = some_of(shown.iter().map(String::as_str));
    match paused.iter().map(|(_, age)| *age).max() {
        None => Finding::fine(check, "none"),
        Some(age) if age > FORGOTTEN => Finding::warning(
            check,
            shown,
            "Paused for more than a week: perhaps somebody has forgotten it.",
            todo,
        ),
        Some(_) => Finding::fine(check, shown),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn only_old_pauses_are_doubted() {
        let paused = |days: u32| vec![("a by ada".to_owned(), Duration::from_hours(24) * days)];
        assert_eq!(verdict("x", &paused(1), "").status, Status::Fine);
        assert_eq!(verdict("x", &paused(8), "").found, "a by ada for 8 d 0 h");
        assert_eq!(verdict("x", &paused(8), "").status, Status::Warning);
        assert_eq!(verdict("x", &[], "").found, "none");
    }
}
