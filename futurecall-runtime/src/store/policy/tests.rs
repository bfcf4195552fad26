use std::time::Duration;

use super::reasons::{MISSED, NO_FURTHER_RUN, SCHEDULE_UNDECLARED, STILL_RUNNING, UNDECLARED};
use super::{Changes, Ending, Phase, Run, Schedule, Timetable, Turn, Vanished, can_be_read, ending_of};
use crate::id::{CallId, PodId, ScheduleId};
use crate::moment::Moment;
use crate::recurring::{Missed, Overlap, Recurrence, Rule, RuleError};
use crate::store::{
    CallState, NewSchedule, OnVanish, ScheduleChange, ScheduleChanged, ScheduleOrigin, ScheduleState,
};

fn at(seconds: u64) -> Moment {
    Moment::from_micros(1_000_000_000_000).unwrap().checked_add(Duration::from_secs(seconds)).unwrap()
}

fn every(seconds: u64) -> Rule {
    Rule::every(Duration::from_secs(seconds)).unwrap()
}

fn with(rule: Rule, missed: Missed, overlap: Overlap) -> Rule {
    Rule { missed, overlap, ..rule }
}

fn declaration(rule: Rule) -> NewSchedule {
    NewSchedule {
        id: ScheduleId::new(),
        key: "key".to_owned(),
        former_keys: Vec::new(),
        name: "mail.digest".to_owned(),
        identifier: None,
        args: "{}".to_owned(),
        format: 1,
        priority: 0,
        rule,
        origin: ScheduleOrigin::Code,
    }
}

/// An active schedule whose first run is due at `first`.
fn schedule(rule: Rule, first: Moment) -> Schedule {
    Schedule::new(&declaration(rule), first)
}

fn waiting(due: Moment) -> Run {
    Run { id: CallId::new(), due, phase: Phase::Waiting, has_successor: false }
}

fn running(due: Moment) -> Run {
    Run { phase: Phase::Running, ..waiting(due) }
}

fn timetable(now: Moment, schedule: &Schedule, runs: &[Run]) -> Timetable {
    Timetable::new(now, [schedule.clone()], runs.iter().map(|run| (schedule.id, *run)))
}

/// When the runs that are stored are due.
fn stored(changes: &Changes) -> Vec<Moment> {
    changes.stored.iter().map(|run| run.due).collect()
}

/// The state and the reason of the one schedule that changes.
fn state(changes: &Changes) -> Option<(ScheduleState, Option<&str>)> {
    match changes.schedules.as_slice() {
        [] => None,
        [row] => Some((row.state, row.reason.as_deref())),
        rows => panic!("{} schedules change", rows.len()),
    }
}

#[test]
fn a_due_run_starts_and_is_followed_by_the_next() {
    let schedule = schedule(every(60), at(60));
    let run = waiting(at(60));
    let mut timetable = timetable(at(61), &schedule, &[run]);
    assert_eq!(timetable.turn(schedule.id, run.id), Turn::Run);
    assert_eq!(timetable.turn(schedule.id, run.id), Turn::Gone, "it was claimed");
    let changes = timetable.into_changes();
    assert_eq!(stored(&changes), [at(120)]);
    assert_eq!(changes.earliest(), Some(at(120)));
    assert!(changes.schedules.is_empty() && changes.removed.is_empty() && changes.cancelled.is_empty());
}

#[test]
fn of_several_runs_only_the_last_is_followed() {
    let schedule = schedule(with(every(60), Missed::RunOnce, Overlap::Allow), at(60));
    let (first, last) = (waiting(at(60)), waiting(at(120)));
    let mut timetable = timetable(at(121), &schedule, &[first, last]);
    assert_eq!(timetable.turn(schedule.id, first.id), Turn::Run);
    assert_eq!(timetable.turn(schedule.id, last.id), Turn::Run);
    assert_eq!(stored(&timetable.into_changes()), [at(180)]);
}

#[test]
fn a_run_that_is_run_again_is_not_followed_and_keeps_none_from_being_last() {
    let schedule = schedule(with(every(60), Missed::RunOnce, Overlap::Allow), at(60));
    let again = Run { has_successor: true, ..waiting(at(200)) };
    let last = waiting(at(60));
    let mut timetable = timetable(at(201), &schedule, &[again, last]);
    assert_eq!(timetable.turn(schedule.id, again.id), Turn::Run);
    assert_eq!(timetable.turn(schedule.id, last.id), Turn::Run);
    assert_eq!(stored(&timetable.into_changes()), [at(240)]);
}

#[test]
fn a_missed_run_is_skipped_where_the_rule_says_so() {
    let schedule = schedule(with(every(600), Missed::Skip, Overlap::Allow), at(600));
    let run = waiting(at(600));
    let mut late = timetable(at(660), &schedule, &[run]);
    assert_eq!(late.turn(schedule.id, run.id), Turn::Skip(MISSED));
    assert_eq!(stored(&late.into_changes()), [at(1_200)]);
    let mut in_time = timetable(at(659), &schedule, &[run]);
    assert_eq!(in_time.turn(schedule.id, run.id), Turn::Run);
}

#[test]
fn a_run_is_skipped_while_the_one_before_is_running() {
    let schedule = schedule(every(60), at(60));
    let (before, run) = (running(at(60)), waiting(at(120)));
    let mut timetable = timetable(at(121), &schedule, &[before, run]);
    assert!(!timetable.waits(schedule.id, run.id));
    assert_eq!(timetable.turn(schedule.id, run.id), Turn::Skip(STILL_RUNNING));
    assert_eq!(stored(&timetable.into_changes()), [at(180)]);
}

#[test]
fn an_abandoned_run_is_no_running_one() {
    let schedule = schedule(every(60), at(60));
    let before = Run { phase: Phase::Abandoned, ..waiting(at(60)) };
    let run = waiting(at(120));
    let mut timetable = timetable(at(121), &schedule, &[before, run]);
    assert_eq!(timetable.turn(schedule.id, run.id), Turn::Run);
}

#[test]
fn a_run_waits_where_all_are_to_run_or_where_it_has_been_followed() {
    let all = schedule(with(every(60), Missed::RunAll, Overlap::Skip), at(60));
    let run = waiting(at(120));
    let mut waits = timetable(at(121), &all, &[running(at(60)), run]);
    assert!(waits.waits(all.id, run.id));
    assert_eq!(waits.turn(all.id, run.id), Turn::Wait);
    assert!(stored(&waits.into_changes()).is_empty());

    let once = schedule(every(60), at(60));
    let mut waits = timetable(at(121), &once, &[running(at(60)), run, waiting(at(180))]);
    assert_eq!(waits.turn(once.id, run.id), Turn::Wait);
}

#[test]
fn runs_that_may_overlap_neither_wait_nor_are_skipped() {
    let schedule = schedule(with(every(60), Missed::RunAll, Overlap::Allow), at(60));
    let run = waiting(at(120));
    let mut timetable = timetable(at(500), &schedule, &[running(at(60)), run]);
    assert_eq!(timetable.turn(schedule.id, run.id), Turn::Run);
    assert_eq!(stored(&timetable.into_changes()), [at(180)], "all are made up for");
}

#[test]
fn runs_of_a_paused_or_ended_schedule_are_not_followed() {
    for ended in [ScheduleState::Paused, ScheduleState::Ended] {
        let schedule = Schedule { state: Some(ended), ..schedule(every(60), at(60)) };
        let again = Run { has_successor: true, ..waiting(at(60)) };
        for run in [again, waiting(at(60))] {
            let mut timetable = timetable(at(61), &schedule, &[run]);
            assert_eq!(timetable.turn(schedule.id, run.id), Turn::Run, "{ended:?}");
            assert!(stored(&timetable.into_changes()).is_empty(), "{ended:?}");
        }
    }
}

#[test]
fn a_schedule_ends_with_the_last_moment_of_its_rule() {
    let century = Rule::every(Rule::LONGEST_INTERVAL).unwrap();
    let schedule = schedule(century, Moment::MAX);
    let run = waiting(Moment::MAX);
    let mut timetable = timetable(Moment::MAX, &schedule, &[run]);
    assert_eq!(timetable.turn(schedule.id, run.id), Turn::Run);
    let changes = timetable.into_changes();
    assert!(stored(&changes).is_empty());
    assert_eq!(state(&changes), Some((ScheduleState::Ended, Some(NO_FURTHER_RUN))));
}

#[test]
fn what_a_newer_release_has_written_is_left_alone() {
    let readable = schedule(every(60), at(60));
    let unknown_zone = Rule {
        recurrence: Recurrence::Cron {
            expression: "0 2 * * *".to_owned(),
            time_zone: "Mars/Olympus".to_owned(),
            starting_at: None,
        },
        ..every(60)
    };
    let unreadable = [
        Schedule { effective: None, ..readable.clone() },
        Schedule { state: None, ..readable.clone() },
        Schedule { effective: Some(unknown_zone), ..readable.clone() },
    ];
    let run = waiting(at(60));
    for (case, schedule) in unreadable.iter().enumerate() {
        assert!(!can_be_read(schedule.state, schedule.effective.as_ref(), at(60), at(60)), "{case}");
        let mut timetable = timetable(at(61), schedule, &[run]);
        assert_eq!(timetable.turn(schedule.id, run.id), Turn::Unreadable, "{case}");
        drop(timetable.succeed(schedule.id, run.id));
        let changes = timetable.into_changes();
        assert!(changes.stored.is_empty() && changes.schedules.is_empty(), "{case}");
    }
    assert!(can_be_read(readable.state, readable.effective.as_ref(), at(60), at(60)));
    // A paused schedule has no successor to be told.
    assert!(can_be_read(Some(ScheduleState::Paused), None, at(60), at(60)));

    let newer = Schedule { state: None, ..readable };
    let mut timetable = timetable(at(61), &newer, &[]);
    let declared = timetable.declare(&declaration(every(5))).unwrap();
    assert_eq!((declared.created, declared.changed), (false, false));
    assert_eq!(timetable.change(newer.id, &ScheduleChange::Resume).unwrap(), ScheduleChanged::Unreadable);
    assert!(!timetable.end_undeclared(newer.id));
    let changes = timetable.into_changes();
    assert!(changes.stored.is_empty() && changes.schedules.is_empty());
}

#[test]
fn a_run_whose_schedule_is_gone_starts_and_one_whose_schedule_is_locked_is_left() {
    let run = waiting(at(60));
    let unknown = ScheduleId::new();
    let mut timetable = Timetable::new(at(61), [], [(unknown, run)]);
    assert_eq!(timetable.turn(unknown, run.id), Turn::Taken);
    assert!(!timetable.waits(unknown, run.id));
    timetable.missing([unknown]);
    assert_eq!(timetable.turn(unknown, run.id), Turn::Run);
    assert!(stored(&timetable.into_changes()).is_empty());
}

#[test]
fn a_new_schedule_gets_its_first_run() {
    let new = declaration(every(60));
    let mut timetable = Timetable::new(at(0), [], []);
    assert_eq!(timetable.declare(&new), Err(RuleError::NoFurtherRun), "it was not stored");
    timetable.add_new(Schedule::new(&new, at(60)));
    let declared = timetable.declare(&new).unwrap();
    assert_eq!((declared.id, declared.created, declared.changed), (new.id, true, false));
    let same = timetable.declare(&new).unwrap();
    assert_eq!((same.id, same.created, same.changed), (new.id, false, false));
    let other = timetable.declare(&declaration(every(10))).unwrap();
    assert_eq!((other.id, other.created, other.changed), (new.id, false, true));
    let changes = timetable.into_changes();
    assert_eq!(stored(&changes), [at(10)], "the run that was yet to be stored is not");
    assert!(changes.removed.is_empty());
}

#[test]
fn a_declaration_that_says_the_same_changes_nothing_and_restores_a_missing_run() {
    let schedule = schedule(every(60), at(60));
    let same = declaration(every(60));
    let mut kept = timetable(at(61), &schedule, &[waiting(at(60))]);
    let declared = kept.declare(&same).unwrap();
    assert_eq!((declared.id, declared.created, declared.changed), (schedule.id, false, false));
    let changes = kept.into_changes();
    assert!(changes.stored.is_empty() && changes.schedules.is_empty());

    // One that is run again is none of the next ones.
    let again = Run { has_successor: true, ..waiting(at(60)) };
    let mut restored = timetable(at(61), &schedule, &[running(at(60)), again]);
    restored.declare(&same).unwrap();
    assert_eq!(stored(&restored.into_changes()), [at(120)]);

    let paused = Schedule { state: Some(ScheduleState::Paused), ..schedule };
    let mut timetable = timetable(at(61), &paused, &[]);
    assert!(!timetable.declare(&same).unwrap().changed);
    assert!(stored(&timetable.into_changes()).is_empty());
}

#[test]
fn a_declaration_with_other_arguments_keeps_the_moment_and_one_with_another_rule_does_not() {
    let schedule = schedule(every(60), at(60));
    let pending = waiting(at(600));
    let args = NewSchedule { args: "{\"a\":1}".to_owned(), ..declaration(every(60)) };
    let mut timetable_of_args = timetable(at(500), &schedule, &[pending]);
    assert!(timetable_of_args.declare(&args).unwrap().changed);
    let changes = timetable_of_args.into_changes();
    assert_eq!(stored(&changes), [at(600)]);
    assert!(changes.removed.contains(&pending.id));
    assert_eq!(changes.schedules[0].anchor, at(60));
    assert_eq!(changes.schedules[0].declaration.as_ref().unwrap().args, "{\"a\":1}");
    assert_eq!(changes.schedules[0].effective, Some(every(60)));

    let mut other = timetable(at(500), &schedule, &[pending]);
    assert!(other.declare(&declaration(every(90))).unwrap().changed);
    let changes = other.into_changes();
    assert_eq!(stored(&changes), [at(590)]);
    assert_eq!(changes.schedules[0].anchor, at(590));

    // Its operator had put another rule in effect: the code's own is another one than that.
    let edited = Schedule { effective: Some(every(7)), ..schedule };
    let mut timetable = timetable(at(500), &edited, &[pending]);
    assert!(timetable.declare(&args).unwrap().changed);
    assert_eq!(stored(&timetable.into_changes()), [at(560)]);
}

#[test]
fn a_paused_schedule_that_is_declared_otherwise_goes_on_from_now() {
    let paused = Schedule {
        state: Some(ScheduleState::Paused),
        reason: Some("too loud".to_owned()),
        ..schedule(every(60), at(60))
    };
    let args = NewSchedule { priority: 7, ..declaration(every(60)) };
    let mut timetable = timetable(at(500), &paused, &[]);
    assert!(timetable.declare(&args).unwrap().changed);
    let changes = timetable.into_changes();
    assert_eq!(stored(&changes), [at(560)]);
    assert_eq!(state(&changes), Some((ScheduleState::Active, None)));
}

#[test]
fn a_revived_schedule_goes_on_where_it_ended_unless_a_person_ended_it() {
    let same = declaration(every(60));
    for (missed_from, rule, next) in
        [(Some(at(120)), every(60), at(120)), (None, every(60), at(560)), (Some(at(120)), every(90), at(590))]
    {
        let ended =
            Schedule { state: Some(ScheduleState::Ended), missed_from, ..schedule(every(60), at(60)) };
        let mut timetable = timetable(at(500), &ended, &[]);
        let declared = timetable.declare(&NewSchedule { rule, ..same.clone() }).unwrap();
        assert_eq!((declared.created, declared.changed), (true, false));
        let changes = timetable.into_changes();
        assert_eq!(stored(&changes), [next]);
        assert_eq!(state(&changes), Some((ScheduleState::Active, None)));
        assert_eq!(changes.schedules[0].missed_from, None);
    }
}

#[test]
fn a_rule_without_a_first_run_changes_nothing() {
    let schedule = schedule(every(60), at(60));
    let century = declaration(Rule::every(Rule::LONGEST_INTERVAL).unwrap());
    let mut timetable = timetable(Moment::MAX, &schedule, &[waiting(at(60))]);
    assert_eq!(timetable.declare(&century), Err(RuleError::NoFurtherRun));
    let edit = ScheduleChange::Edit(century.rule.clone());
    assert_eq!(timetable.change(schedule.id, &edit), Err(RuleError::NoFurtherRun));
    let changes = timetable.into_changes();
    assert!(changes.schedules.is_empty() && changes.stored.is_empty() && changes.removed.is_empty());
}

#[test]
fn a_schedule_that_nobody_declares_ends_with_all_that_waits() {
    let schedule = schedule(every(60), at(60));
    let (next, again) = (waiting(at(120)), Run { has_successor: true, ..waiting(at(70)) });
    let busy = running(at(60));
    let mut timetable = timetable(at(100), &schedule, &[next, again, busy]);
    assert!(timetable.end_undeclared(schedule.id));
    let mut changes = timetable.into_changes();
    changes.cancelled.sort_unstable();
    let mut cancelled = vec![(next.id, SCHEDULE_UNDECLARED), (again.id, SCHEDULE_UNDECLARED)];
    cancelled.sort_unstable();
    assert_eq!(changes.cancelled, cancelled);
    assert_eq!(state(&changes), Some((ScheduleState::Ended, Some(UNDECLARED))));
    assert_eq!(changes.schedules[0].missed_from, Some(at(120)));
    assert!(changes.schedules[0].declaration.is_none() && changes.schedules[0].effective.is_none());
}

#[test]
fn an_operator_pauses_resumes_edits_and_ends() {
    let pause = ScheduleChange::Pause { reason: "too loud".to_owned() };
    let end = ScheduleChange::End { reason: "enough".to_owned() };
    let schedule = schedule(every(60), at(60));
    let (next, again) = (waiting(at(120)), Run { has_successor: true, ..waiting(at(70)) });

    for (change, became, why, said) in [
        (&pause, ScheduleState::Paused, "its schedule was paused", "too loud"),
        (&end, ScheduleState::Ended, "its schedule was ended", "enough"),
    ] {
        let mut timetable = timetable(at(100), &schedule, &[next, again]);
        assert_eq!(timetable.change(schedule.id, change).unwrap(), ScheduleChanged::Changed);
        assert_eq!(timetable.change(schedule.id, change).unwrap(), ScheduleChanged::Unchanged);
        let changes = timetable.into_changes();
        assert_eq!(changes.cancelled, [(next.id, why)], "what is run again goes on");
        assert_eq!(state(&changes), Some((became, Some(said))));
        assert_eq!(changes.schedules[0].missed_from, None, "a person ended it");
    }

    let paused = Schedule {
        state: Some(ScheduleState::Paused),
        reason: Some("too loud".to_owned()),
        ..schedule.clone()
    };
    let mut resumed = timetable(at(100), &paused, &[again]);
    assert_eq!(resumed.change(paused.id, &ScheduleChange::Resume).unwrap(), ScheduleChanged::Changed);
    assert_eq!(resumed.change(paused.id, &ScheduleChange::Resume).unwrap(), ScheduleChanged::Unchanged);
    let changes = resumed.into_changes();
    assert_eq!(stored(&changes), [at(120)]);
    assert_eq!(state(&changes), Some((ScheduleState::Active, None)));

    let edit = ScheduleChange::Edit(every(7));
    let mut edited = timetable(at(100), &schedule, &[next, again]);
    assert_eq!(edited.change(schedule.id, &edit).unwrap(), ScheduleChanged::Changed);
    assert_eq!(edited.change(schedule.id, &edit).unwrap(), ScheduleChanged::Unchanged);
    let changes = edited.into_changes();
    assert_eq!(stored(&changes), [at(107)]);
    assert!(changes.removed.contains(&next.id) && !changes.removed.contains(&again.id));
    assert_eq!(changes.schedules[0].effective, Some(every(7)));
    assert!(changes.schedules[0].declaration.is_none());
    assert_eq!(changes.schedules[0].anchor, at(107));

    let mut edited = timetable(at(100), &paused, &[]);
    assert_eq!(edited.change(paused.id, &edit).unwrap(), ScheduleChanged::Changed);
    let changes = edited.into_changes();
    assert!(stored(&changes).is_empty());
    assert_eq!(state(&changes), Some((ScheduleState::Paused, Some("too loud"))));

    let ended = Schedule { state: Some(ScheduleState::Ended), ..schedule };
    let mut timetable = timetable(at(100), &ended, &[]);
    for change in [&pause, &ScheduleChange::Resume, &edit] {
        assert_eq!(timetable.change(ended.id, change).unwrap(), ScheduleChanged::Ended, "{change:?}");
    }
    assert_eq!(timetable.change(ended.id, &end).unwrap(), ScheduleChanged::Unchanged);
    assert_eq!(timetable.change(ScheduleId::new(), &end).unwrap(), ScheduleChanged::Unknown);
}

#[test]
fn what_becomes_of_a_call_whose_pod_vanished() {
    let vanished = Vanished {
        pod: PodId::new(),
        lease_until: at(30),
        started: true,
        cancel_requested: false,
        on_vanish: OnVanish::Keep,
        pods: 1,
    };
    let said = |proof| {
        let (pod, until) = (vanished.pod, vanished.lease_until);
        format!("pod {pod} vanished: its lease ended at {until}; the handler's start is {proof}")
    };
    let over = |state, error| Ending { state, error, again_after: None };
    assert_eq!(ending_of(&vanished), over(CallState::Interrupted, said("proven")));
    let unproven = Vanished { started: false, ..vanished };
    assert_eq!(ending_of(&unproven), over(CallState::Interrupted, said("not proven")));

    let after = Duration::from_secs(2);
    let rerun = Vanished { on_vanish: OnVanish::Rerun { budget: 3, after }, ..vanished };
    for (times, again_after) in [(1, Some(after)), (2, Some(after)), (3, None), (4, None)] {
        let ending = ending_of(&Vanished { pods: times, ..rerun });
        assert_eq!(ending.again_after, again_after, "{times}");
        let state = if times < 3 { CallState::Interrupted } else { CallState::Failed };
        assert_eq!(ending.state, state, "{times}");
    }
    let last = ending_of(&Vanished { pods: 3, ..rerun });
    assert_eq!(
        last.error,
        format!("3 of its pods vanished, so it is not run again; the last time, {}", said("proven"))
    );
    let cancelled = Vanished { cancel_requested: true, ..rerun };
    assert_eq!(ending_of(&cancelled), over(CallState::Cancelled, said("proven")));
}
