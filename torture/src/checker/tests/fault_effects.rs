//! Faults that are just too short, or too early or late, and such as can have caused what is found. A lease lasts 2 s.

use super::{Told, rerun};
use crate::acks::Kind;
use crate::checker::{State, Violation};
use crate::fault::{self, Effect};
use crate::ledger::What;

const NONE: [Violation; 0] = [];
const UNEXPLAINED: [Violation; 1] = [Violation::DuplicateWithoutFault];
const HOLD: [fault::Kind; 14] = [
    fault::Kind::Pause,
    fault::Kind::Cut,
    fault::Kind::Stall,
    fault::Kind::Mute,
    fault::Kind::Crash,
    fault::Kind::Terminate,
    fault::Kind::Exhaust,
    fault::Kind::Lock,
    fault::Kind::Full,
    fault::Kind::FullLog,
    fault::Kind::Denied,
    fault::Kind::LockedOut,
    fault::Kind::Slow,
    fault::Kind::Busy,
];

/// A call that ended as interrupted at second 14; its pod has written nothing down.
fn kept() -> Told {
    Told::new(Kind::Keep).ended(State::Interrupted, 0, 1, 14)
}

#[test]
fn what_is_shorter_than_what_is_left_of_a_lease_explains_nothing() {
    for kind in HOLD {
        assert_eq!(kind.effect(), Effect::Holds, "{kind:?}");
        let rerun = |until| rerun().fault_within(kind, 0, 11_000, until).violates();
        assert_eq!((rerun(11_800), rerun(11_900)), (UNEXPLAINED.to_vec(), vec![]), "{kind:?}");
        let kept = |until| kept().fault_within(kind, 0, 11_000, until).violates();
        assert_eq!((kept(11_800), kept(11_900)), (UNEXPLAINED.to_vec(), vec![]), "{kind:?}");
    }
}

#[test]
fn short_troubles_count_as_one_where_no_renewal_fits_between_them() {
    let two = |told: Told, from| {
        let told = told.fault_within(fault::Kind::Cut, 0, 11_000, 11_400);
        told.fault_within(fault::Kind::Denied, 0, from, from + 400).violates()
    };
    let told = || {
        let told = Told::new(Kind::Rerun).ran_and(What::Stopped, 0, 1, 10, 13);
        told.ran(1, 2, 14, 15).ended(State::Succeeded, 1, 2, 15)
    };
    assert_eq!((two(told(), 11_700), two(told(), 11_701)), (vec![], UNEXPLAINED.to_vec()));
    // What was being claimed is looked for again after as long as the first has lasted.
    assert_eq!((two(kept(), 11_800), two(kept(), 11_801)), (vec![], UNEXPLAINED.to_vec()));
}

#[test]
fn an_outcome_that_could_be_stored_between_is_not_lost_to_what_came_later() {
    let lost = |ended| {
        let told = Told::new(Kind::Keep).ran(0, 1, 10, ended).ended(State::Interrupted, 0, 1, 14);
        told.fault_within(fault::Kind::Denied, 0, 11_300, 14_000).violates()
    };
    assert_eq!((lost(11), lost(10)), (vec![], UNEXPLAINED.to_vec()));
}

#[test]
fn no_lease_is_over_as_soon_as_a_trouble_begins() {
    // It was lost at second 13.
    let lasting = |from| rerun().fault_within(fault::Kind::Stall, 0, from, 20_000).violates();
    assert_eq!((lasting(11_800), lasting(11_900)), (vec![], UNEXPLAINED.to_vec()));
    let killed = |at| kept().fault_within(fault::Kind::Kill, 0, at, at).violates();
    assert_eq!((killed(12_800), killed(12_900)), (vec![], UNEXPLAINED.to_vec()));
}

#[test]
fn what_is_long_over_explains_nothing() {
    let lost = |at| Told::new(Kind::Keep).ended(State::Interrupted, 0, 1, at);
    let cut = |at| lost(at).fault(fault::Kind::Cut, 0, 10, 12).violates();
    assert_eq!((cut(18), cut(19)), (vec![], UNEXPLAINED.to_vec()));
    // Faults before its claim did not affect it.
    assert_eq!(rerun().fault(fault::Kind::Cut, 0, 7, 8).violates(), UNEXPLAINED);
}

#[test]
fn a_kill_explains_what_became_of_the_process_that_it_ended() {
    assert_eq!(rerun().fault(fault::Kind::Kill, 0, 11, 13).violates(), NONE);
    // That process was alive after it.
    assert_eq!(rerun().fault(fault::Kind::Kill, 0, 11, 12).violates(), UNEXPLAINED);
}

#[test]
fn a_standstill_explains_that_a_handler_goes_on_if_it_began_before() {
    let overlap = || {
        let told = Told::new(Kind::Rerun).ran(0, 1, 10, 15).ran(1, 2, 14, 16);
        told.ended(State::Succeeded, 1, 2, 16).fault(fault::Kind::Cut, 0, 10, 14)
    };
    let still = |from, until| overlap().fault_within(fault::Kind::Pause, 0, from, until).violates();
    assert_eq!(still(13_900, 14_500), NONE);
    for (from, until) in [(13_900, 14_400), (14_100, 14_600), (13_950, 14_040)] {
        assert_eq!(still(from, until), [Violation::OverlapWithoutFault], "{from} {until}");
    }
}

#[test]
fn who_stands_still_when_it_could_know_goes_on_until_shortly_after() {
    // The leases are over at second 12; their pod notices that within a lease.
    let overlap = || {
        let told = Told::new(Kind::Rerun).ran(0, 1, 10, 16).ran(1, 2, 13, 17).step(12, 3);
        told.ended(State::Succeeded, 1, 2, 20).ended_before(0, 1, false, 16)
    };
    let still = |from, until| overlap().fault_within(fault::Kind::Pause, 0, from, until).violates();
    assert_eq!(still(13_900, 15_500), NONE);
    for (from, until) in [(13_900, 15_400), (14_100, 15_900), (13_950, 14_040)] {
        assert_eq!(still(from, until), [Violation::OverlapWithoutFault], "{from} {until}");
    }
    let other = overlap().fault_within(fault::Kind::Pause, 1, 13_900, 15_500);
    assert_eq!(other.violates(), [Violation::OverlapWithoutFault]);
}

#[test]
fn a_claim_that_is_given_back_is_explained_by_a_clock_alone_and_explains_nothing() {
    let given_back = || {
        let told = Told::new(Kind::Rerun).ran(0, 1, 10, 11).ended(State::Succeeded, 0, 1, 11);
        told.fault(fault::Kind::GivenBack, 0, 12, 12)
    };
    assert_eq!(given_back().violates(), [Violation::FencedWithoutFault]);
    assert_eq!(given_back().fault(fault::Kind::Clock, 0, 11, 12).violates(), NONE);
    assert_eq!(given_back().fault(fault::Kind::Slow, 0, 11, 12).violates(), NONE);
    let other = given_back().fault(fault::Kind::Clock, 1, 11, 12);
    assert_eq!(other.violates(), [Violation::FencedWithoutFault]);
    let lost = rerun().fault(fault::Kind::GivenBack, 0, 12, 12).fault(fault::Kind::Clock, 0, 11, 12);
    assert_eq!(lost.fault(fault::Kind::Cut, 0, 12, 12).violates(), UNEXPLAINED);
}

#[test]
fn a_pod_that_gives_up_its_leases_needs_an_explanation_itself() {
    let stopped = || {
        let told = Told::new(Kind::Rerun).ran_and(What::Stopped, 0, 1, 10, 12);
        let told = told.ran(1, 2, 14, 15).ended(State::Succeeded, 1, 2, 15);
        told.fault(fault::Kind::Fenced, 0, 12, 12)
    };
    let unexplained = [Violation::DuplicateWithoutFault, Violation::FencedWithoutFault];
    assert_eq!(stopped().violates(), unexplained);
    assert_eq!(stopped().fault(fault::Kind::Slow, 1, 10, 12).violates(), unexplained);
    assert_eq!(stopped().fault(fault::Kind::Slow, 0, 11, 12).violates(), NONE);
    // The wall clock of its process explains nothing: a renewal is tried first.
    let set = || stopped().fault(fault::Kind::Clock, 0, 11, 12);
    assert_eq!(set().violates(), unexplained);
    assert_eq!(set().fault(fault::Kind::Cut, 0, 12, 12).violates(), NONE, "it failed");
    assert_eq!(set().fault(fault::Kind::Cut, 0, 11, 11).violates(), unexplained, "the next did not");
    assert_eq!(stopped().fault(fault::Kind::Cut, 0, 12, 12).violates(), unexplained);
    // Nothing says that the pod gave anything up.
    let set = rerun().fault(fault::Kind::Clock, 0, 11, 12).fault(fault::Kind::Cut, 0, 12, 12);
    assert_eq!(set.violates(), UNEXPLAINED);
}

#[test]
fn a_clock_that_is_set_forward_takes_that_much_from_each_lease() {
    let set = |by: i64| {
        rerun().ended_before(0, 1, false, 13 + by).step(12, by).but(|_, row| {
            row.unwrap().finished = Some((15 + by) * super::SECOND);
        })
    };
    assert_eq!(set(1).violates(), UNEXPLAINED);
    assert_eq!(set(2).violates(), NONE);
    // With a trouble that is too short by itself.
    let both = set(1).fault_within(fault::Kind::Cut, 0, 12_200, 12_700);
    assert_eq!(both.violates(), NONE);
    let renewed_between = set(1).fault_within(fault::Kind::Cut, 0, 12_900, 13_000);
    assert_eq!(renewed_between.violates(), UNEXPLAINED);
}
