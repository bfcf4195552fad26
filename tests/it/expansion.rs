//! The code that `#[future_call]` generates for a block, as seen by its users.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use futurecall_runtime::inspect::ScheduleOrigin;
use futurecall_runtime::prelude::*;
use futurecall_runtime::schedule::RecurringCallRef;
use futurecall_runtime::{CallState, FutureCall, Role};
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::Journal;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Starts a pod that runs due calls on request.
async fn pod(journal: &Journal) -> Pod {
    Backend::memory()
        .builder()
        .role(Role::Maintenance)
        .state(journal.clone())
        .register(Evolving)
        .register(Named)
        .register(Lent)
        .register(Returning)
        .register(Generic { suffix: "!" })
        .register(Twins)
        .start()
        .await
        .unwrap()
}

/// Schedules by stored name with raw arguments, as an older version would have stored them, and runs them.
async fn run_stored(name: &str, args: &serde_json::Value) -> (Vec<String>, Option<String>) {
    let journal = Journal::new();
    let pod = pod(&journal).await;
    let id = pod.future_call_with_delay(name, Some(args), std::time::Duration::ZERO).await.unwrap();
    pod.run_due().await.unwrap();
    let call = pod.inspect().call(id).await.unwrap().unwrap();
    pod.shutdown().await;
    (journal.lines(), call.error)
}

pub(crate) struct Evolving;

impl Evolving {
    const LIMIT: u64 = 1_000;
    const NAME: &'static str = "own";
}

const KIND: &str = "kind";

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Options {
    loud: bool,
}

#[future_call]
impl Evolving {
    #[expect(clippy::too_many_arguments, reason = "every way for a parameter to be added at once")]
    pub(crate) async fn report(
        _session: &Session,
        #[future_call(alias = "user", alias = "customer")] account: u64,
        #[future_call(default)] options: Options,
        #[future_call(default = Self::LIMIT)] limit: u64,
        #[future_call(default = "en")] language: &str,
        #[future_call(default = [1, 2])] days: &[u8],
        note: Option<String>,
        #[future_call(state)] journal: &Journal,
    ) {
        journal.write(format!("{account} {options:?} {limit} {language} {days:?} {note:?}"));
    }

    /// Every way to write a default, for types that are made from it and types that are inferred.
    #[expect(clippy::too_many_arguments, reason = "one for each way")]
    pub(crate) async fn defaults(
        _session: &Session,
        #[future_call(default = "text")] text: String,
        #[future_call(default = KIND)] constant: String,
        #[future_call(default = Self::NAME)] own_constant: String,
        #[future_call(default = concat!("a", "b"))] concatenated: String,
        #[future_call(default = "converted".into())] converted: String,
        #[future_call(default = String::from("made"))] made: String,
        #[future_call(default = Default::default())] empty: String,
        #[future_call(default = "path")] path: std::path::PathBuf,
        #[future_call(default = KIND)] lent: &str,
        #[future_call(default = 5)] number: u8,
        #[future_call(default = vec![])] list: Vec<u8>,
        #[future_call(default = None)] nothing: Option<u8>,
        #[future_call(default = ("x".to_owned(), 1))] pair: (String, u8),
        #[future_call(state)] journal: &Journal,
    ) {
        journal.write(format!(
            "{text} {constant} {own_constant} {concatenated} {converted} {made} {empty:?} {} {lent} {number} \
             {list:?} {nothing:?} {pair:?}",
            path.display()
        ));
    }
}

#[tokio::test]
async fn parameters_may_be_added_and_renamed_while_old_calls_are_pending() {
    let (lines, error) = run_stored("evolving.report", &json!({ "customer": 7, "removed": [] })).await;
    assert_eq!((lines, error), (vec!["7 Options { loud: false } 1000 en [1, 2] None".to_owned()], None));

    let all = json!({
        "account": 7, "options": { "loud": true }, "limit": 1, "language": "de", "days": [], "note": "x"
    });
    let (lines, _) = run_stored("evolving.report", &all).await;
    assert_eq!(lines, ["7 Options { loud: true } 1 de [] Some(\"x\")"]);
}

#[tokio::test]
async fn a_default_is_what_its_parameter_can_be_made_from() {
    let (lines, error) = run_stored("evolving.defaults", &json!({})).await;
    let expected = r#"text kind own ab converted made "" path kind 5 [] None ("x", 1)"#;
    assert_eq!((lines, error), (vec![expected.to_owned()], None));
}

#[tokio::test]
async fn a_call_that_does_not_decode_never_runs_and_says_why() {
    let (lines, error) = run_stored("evolving.report", &json!({ "account": "secret" })).await;
    assert!(lines.is_empty());
    let error = error.unwrap();
    assert_eq!(error, "argument `account` of `evolving.report`: invalid type: string, expected u64");

    let (_, error) = run_stored("evolving.report", &json!({})).await;
    assert!(error.unwrap().starts_with("missing argument `account` of `evolving.report`: "));
}

pub(crate) struct Named;

#[future_call(name = "chosen", alias = "older", priority = 7)]
impl Named {
    #[future_call(name = "first", alias = "zeroth", alias = "elsewhere.first")]
    pub(crate) async fn one(_session: &Session, #[future_call(state)] journal: &Journal) {
        journal.write("one");
    }

    #[future_call(priority = -3)]
    pub(crate) async fn two(_session: &Session) {}

    #[future_call(skip)]
    pub(crate) fn three() -> &'static str {
        "not a call"
    }
}

#[tokio::test]
async fn old_names_go_on_running_and_new_calls_take_the_new_one() {
    for name in ["chosen.first", "chosen.zeroth", "older.first", "older.zeroth", "elsewhere.first"] {
        assert_eq!(run_stored(name, &json!({})).await, (vec!["one".to_owned()], None), "{name}");
    }
    assert_eq!((Named::NAME, Named::three()), ("chosen", "not a call"));

    let pod = pod(&Journal::new()).await;
    let calls = pod.future_calls();
    let one = calls.call_now().chosen().one().await.unwrap();
    let two = calls.call_now().chosen().two().await.unwrap();
    let three = calls.call_now().priority(1).chosen().two().await.unwrap();
    let mut stored = Vec::new();
    for id in [one, two, three] {
        let call = pod.inspect().call(id).await.unwrap().unwrap();
        stored.push((call.name, call.args, call.priority));
    }
    let expected = [("chosen.first", 7), ("chosen.two", -3), ("chosen.two", 1)];
    assert_eq!(stored, expected.map(|(name, priority)| (name.to_owned(), "{}".to_owned(), priority)));
    pod.shutdown().await;
}

pub(crate) struct Lent;

#[future_call]
impl Lent {
    pub(crate) async fn all_kinds(
        _session: &Session,
        text: &str,
        slice: &[(u8, String)],
        map: &BTreeMap<String, Vec<Option<f64>>>,
        mut owned: Vec<Self>,
        #[future_call(state)] journal: &Journal,
    ) {
        owned.clear();
        journal.write(format!("{text} {slice:?} {map:?} {}", owned.len()));
    }
}

impl Serialize for Lent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Lent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <()>::deserialize(deserializer).map(|()| Self)
    }
}

#[tokio::test]
async fn what_is_lent_to_the_facade_is_lent_to_the_handler() {
    let journal = Journal::new();
    let pod = pod(&journal).await;
    let call = {
        let (text, slice) = (String::from("x"), vec![(1, String::new())]);
        let map = BTreeMap::from([("k".to_owned(), vec![Some(0.1 + 0.2), None])]);
        // The facade's value borrows nothing: it outlives what it was made from.
        pod.future_calls().call_now().lent().all_kinds(&text, &slice, &map, vec![Lent])
    };
    tokio::spawn(async move { call.await.unwrap() }).await.unwrap();
    pod.run_due().await.unwrap();
    assert_eq!(journal.lines(), ["x [(1, \"\")] {\"k\": [Some(0.30000000000000004), None]} 0"]);
    pod.shutdown().await;
}

pub(crate) struct Returning;

type Outcome<E = BoxError> = Result<(), E>;

#[derive(Debug)]
pub(crate) struct Refused;

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Refused {}

#[future_call]
impl Returning {
    pub(crate) async fn nothing(_session: &Session) {}

    pub(crate) async fn unit(_session: &Session) -> () {}

    pub(crate) async fn alias(_session: &Session) -> Outcome {
        Err("by alias".into())
    }

    pub(crate) async fn text(_session: &Session) -> Result<(), String> {
        Err("as text".to_owned())
    }

    pub(crate) async fn own(_session: &Session) -> Outcome<Refused> {
        Err(Refused)
    }
}

#[tokio::test]
async fn results_of_all_forms_are_recorded() {
    for (name, state, error) in [
        ("returning.nothing", CallState::Succeeded, None),
        ("returning.unit", CallState::Succeeded, None),
        ("returning.alias", CallState::Failed, Some("by alias")),
        ("returning.text", CallState::Failed, Some("as text")),
        ("returning.own", CallState::Failed, Some("refused")),
    ] {
        let pod = pod(&Journal::new()).await;
        let id = pod.future_call_with_delay(name, None::<&()>, std::time::Duration::ZERO).await.unwrap();
        pod.run_due().await.unwrap();
        let call = pod.inspect().call(id).await.unwrap().unwrap();
        assert_eq!((call.state, call.error.as_deref()), (state, error), "{name}");
        pod.shutdown().await;
    }
}

pub(crate) struct Generic<T> {
    suffix: T,
}

#[future_call]
impl<T> Generic<T>
where
    T: std::fmt::Display,
{
    pub(crate) async fn say(
        &self,
        _session: &Session,
        word: String,
        #[future_call(state)] journal: &Journal,
    ) {
        journal.write(format!("{word}{}", self.suffix));
    }
}

#[tokio::test]
async fn a_generic_block_runs_on_the_value_that_was_registered() {
    let journal = Journal::new();
    let pod = pod(&journal).await;
    pod.future_calls().call_now().generic().say("hey".into()).await.unwrap();
    pod.future_calls().call_now().of::<Generic<&'static str>>().say("ho".into()).await.unwrap();
    pod.run_due().await.unwrap();
    assert_eq!(journal.lines(), ["hey!", "ho!"]);
    pod.shutdown().await;
}

pub(crate) struct Twins;

#[future_call]
impl Twins {
    /// One of these exists.
    #[cfg(unix)]
    pub(crate) async fn system(&self, _session: &Session, #[future_call(state)] journal: &Journal) {
        journal.write("unix");
    }

    /// The other one.
    #[cfg(not(unix))]
    pub(crate) async fn system(&self, _session: &Session, #[future_call(state)] journal: &Journal) {
        journal.write("not unix");
    }

    #[cfg(any())]
    pub(crate) async fn never(_session: &Session, thing: NoSuchType) {}

    #[deprecated = "say `system`"]
    pub(crate) async fn old(_session: &Session, #[future_call(state)] journal: &Journal) {
        journal.write("old");
    }
}

#[tokio::test]
async fn configuration_and_deprecation_travel_to_the_facade() {
    let journal = Journal::new();
    let pod = pod(&journal).await;
    pod.future_calls().call_now().twins().system().await.unwrap();
    #[expect(deprecated, reason = "the facade method of a deprecated call is deprecated")]
    pod.future_calls().call_now().twins().old().await.unwrap();
    pod.run_due().await.unwrap();
    assert_eq!(journal.lines(), [if cfg!(unix) { "unix" } else { "not unix" }, "old"]);
    const { assert!(Twins::NEEDS_INSTANCE) };
    const { assert!(!Named::NEEDS_INSTANCE) };
    pod.shutdown().await;
}

pub(crate) struct Periodic {
    runs: AtomicU32,
}

#[future_call]
impl Periodic {
    #[future_call(every = "1h 30min", priority = 2)]
    pub(crate) async fn often(&self, _session: &Session) {
        self.runs.fetch_add(1, Ordering::Relaxed);
    }

    #[future_call(cron = "0 2 * * *", time_zone = "Europe/Berlin")]
    pub(crate) async fn nightly(_session: &Session) {}

    #[future_call(cron = "*/10 * * * * *")]
    pub(crate) async fn by_seconds(_session: &Session) {}
}

/// What compiles must start: the attribute and the runtime agree on the ends of what they take.
pub(crate) struct Extremes;

#[future_call]
impl Extremes {
    #[future_call(every = "1ms")]
    pub(crate) async fn shortest(_session: &Session) {}

    #[future_call(every = "100years")]
    pub(crate) async fn longest(_session: &Session) {}

    #[future_call(cron = "@daily")]
    pub(crate) async fn nickname(_session: &Session) {}

    #[future_call(cron = "0 0 29 2 *")]
    pub(crate) async fn leap_days(_session: &Session) {}
}

#[tokio::test]
async fn the_ends_of_what_an_attribute_takes_are_declared_too() {
    let pod = Backend::memory().builder().register(Extremes).start().await.unwrap();
    assert_eq!(pod.inspect().schedules().await.unwrap().len(), 4);
    pod.shutdown().await;
}

#[tokio::test]
async fn rules_in_attributes_are_declared_at_start() {
    let backend = Backend::memory();
    let start = || backend.builder().register(Periodic { runs: AtomicU32::new(0) }).start();
    let pod = start().await.unwrap();
    pod.shutdown().await;
    // Declaring them again makes no second one.
    let pod = start().await.unwrap();
    let mut schedules: Vec<_> = pod.inspect().schedules().await.unwrap();
    schedules.sort_by(|one, other| one.name.cmp(&other.name));
    let names: Vec<&str> = schedules.iter().map(|schedule| schedule.name.as_str()).collect();
    assert_eq!(names, ["periodic.by_seconds", "periodic.nightly", "periodic.often"]);
    assert!(schedules.iter().all(|schedule| schedule.origin == ScheduleOrigin::Attribute));
    let rules = schedules.iter().map(|schedule| format!("{:?}", schedule.declared.recurrence));
    let rules: Vec<String> = rules.collect();
    assert!(rules[0].contains("*/10 * * * * *") && rules[0].contains("UTC"), "{rules:?}");
    assert!(rules[1].contains("0 2 * * *") && rules[1].contains("Europe/Berlin"), "{rules:?}");
    assert!(rules[2].contains("5400"), "{rules:?}");
    pod.shutdown().await;
}

#[tokio::test]
async fn one_facade_serves_one_shot_and_recurring_calls() {
    fn often(at: RecurringCallRef) -> futurecall_runtime::schedule::PendingSchedule {
        at.chosen().two()
    }

    let pod = pod(&Journal::new()).await;
    let hour = std::time::Duration::from_hours(1);
    let id = often(pod.future_calls().call_recurring().identifier("x").every(hour)).await.unwrap();
    let schedules = pod.inspect().schedules().await.unwrap();
    assert_eq!(
        schedules.iter().map(|schedule| (schedule.id, schedule.name.as_str())).collect::<Vec<_>>(),
        [(id, "chosen.two")]
    );
    pod.shutdown().await;
}

#[tokio::test]
async fn an_argument_that_cannot_be_stored_is_an_error_when_the_call_is_sent() {
    let pod = pod(&Journal::new()).await;
    let map = BTreeMap::from([("k".to_owned(), vec![Some(f64::NAN)])]);
    let call = pod.future_calls().call_now().lent().all_kinds("", &[], &map, vec![]);
    let error = call.await.unwrap_err().to_string();
    assert_eq!(
        error,
        "argument `map` of `lent.all_kinds` holds NaN or an infinity, which cannot be stored as JSON"
    );
    pod.shutdown().await;
}
