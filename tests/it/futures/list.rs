//! Every public future of the library, each with what it stores if it returns `Ok`.

use std::time::Duration;

use futurecall_runtime::inspect::{CallFilter, Span};
use futurecall_runtime::operate::{ActionFilter, Selection};
use futurecall_runtime::{BoxError, CallId, Moment, Pod, Role};
use futurecall_tests::backend::Backend;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::handlers::NOTE;
use super::stage::{ELSEWHERE, GROUP, Stage, another_rule, declare};

/// What has happened once a future has said `Ok`. Of one that has not, this or nothing.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// Nothing to check.
    None,
    /// These calls are stored, and are due at once.
    Runs(Vec<CallId>),
    /// These calls are stored, and stay.
    Stored(Vec<CallId>),
    /// These calls are cancelled.
    Cancelled(Vec<CallId>),
    /// These calls have the same new due time.
    Moved(Vec<CallId>),
    /// These calls are gone.
    Deleted(Vec<CallId>),
    /// Each of these has one call that repeats it.
    Again(Vec<CallId>),
    /// There is one schedule of that identifier.
    Declared(String),
}

/// One future.
pub(crate) struct Item {
    /// Its name, as `twins` reads it in the sources.
    pub(crate) name: &'static str,
    pub(crate) future: BoxFuture<'static, Result<(), BoxError>>,
    pub(crate) effect: Effect,
    /// It has the application's own transaction open, which holds the lock of a SQLite file.
    pub(crate) holds_the_file: bool,
}

pub(crate) struct List(pub(crate) Vec<Item>);

impl List {
    fn add<T, E: Into<BoxError>>(
        &mut self,
        name: &'static str,
        effect: Effect,
        future: impl Future<Output = Result<T, E>> + Send + 'static,
    ) {
        let future = Box::pin(async move { future.await.map(drop).map_err(Into::into) });
        self.0.push(Item { name, future, effect, holds_the_file: false });
    }

    fn quiet<T: 'static>(&mut self, name: &'static str, future: impl Future<Output = T> + Send + 'static) {
        self.add(name, Effect::None, future.map(Ok::<T, BoxError>));
    }
}

/// Those in the application's own transactions, which the same futures commit.
macro_rules! in_transactions {
    ($stage:expr, $list:expr, $pool:expr, $begin:literal) => {{
        let (pod, calls) = (&$stage.pod, $stage.pod.future_calls());
        macro_rules! within {
            ($name:literal, $pending:expr, $effect:expr) => {
                let (pending, pool) = ($pending, $pool.clone());
                $list.add($name, $effect, async move {
                    let mut transaction = pool.begin_with($begin).await?;
                    pending.in_transaction(&mut transaction).await?;
                    Ok::<_, BoxError>(transaction.commit().await?)
                });
            };
        }
        let call = note(pod, Duration::ZERO);
        let ids = vec![call.id()];
        within!("PendingCall::in_transaction", call, Effect::Runs(ids));
        let all = calls.schedule_all((0..GROUP).map(|_| note(pod, Duration::ZERO)));
        let ids = all.ids();
        within!("ScheduleAll::in_transaction", all, Effect::Runs(ids));
        let group = $stage.identified("within").await;
        within!("CancelRequest::in_transaction", calls.cancel("within"), Effect::Cancelled(group));
    }};
}

/// All of them, except those of a handler's session.
pub(crate) async fn all(stage: &Stage<'_>) -> List {
    let mut list = List(Vec::new());
    schedule(stage, &mut list).await;
    inspect(stage, &mut list).await;
    operate(stage, &mut list).await;
    pods(stage, &mut list);
    match stage.backend {
        Backend::Memory(_) => {}
        Backend::Sqlite(file) => {
            let (first, pool) = (list.0.len(), file.pool().await);
            in_transactions!(stage, list, pool, "BEGIN IMMEDIATE");
            list.0.iter_mut().skip(first).for_each(|item| item.holds_the_file = true);
        }
        Backend::Postgres(database) => in_transactions!(stage, list, database.pool, "BEGIN"),
    }
    list
}

fn note(pod: &Pod, delay: Duration) -> futurecall_runtime::PendingCall {
    pod.future_call_with_delay(NOTE, None::<&CallId>, delay)
}

async fn schedule(stage: &Stage<'_>, list: &mut List) {
    let (pod, calls) = (&stage.pod, stage.pod.future_calls());
    for _ in 0..4 {
        let call = note(pod, Duration::ZERO);
        list.add("PendingCall", Effect::Runs(vec![call.id()]), call.into_future());
        let call = pod.future_call_with_delay(ELSEWHERE, None::<&()>, Duration::from_hours(1));
        list.add("PendingCall", Effect::Stored(vec![call.id()]), call.into_future());
    }
    for _ in 0..2 {
        let all = calls.schedule_all((0..GROUP).map(|_| note(pod, Duration::ZERO)));
        list.add("ScheduleAll", Effect::Runs(all.ids()), all.into_future());
    }
    let group = stage.identified("cancelled").await;
    list.add("CancelRequest", Effect::Cancelled(group), calls.cancel("cancelled").into_future());
    let group = stage.identified("moved").await;
    let hour = Duration::from_hours(1);
    list.add("RescheduleRequest", Effect::Moved(group), calls.reschedule("moved", hour).into_future());
    let group = stage.identified("now").await;
    list.add("RescheduleRequest", Effect::Moved(group), calls.run_now("now").into_future());
    for id in stage.over().await {
        let calls = calls.clone();
        list.add("FutureCalls::run_again", Effect::Again(vec![id]), async move { calls.run_again(id).await });
        let calls = stage.pod.future_calls();
        list.add("FutureCalls::status", Effect::None, async move { calls.status(id).await });
    }
    for identifier in ["one", "two"] {
        let declared = Effect::Declared(identifier.to_owned());
        list.add("PendingSchedule", declared, declare(pod, identifier).into_future());
    }
}

async fn inspect(stage: &Stage<'_>, list: &mut List) {
    let id = stage.group().await.first().copied().expect("a group is not empty");
    macro_rules! look {
        ($($method:ident($($argument:expr),*);)*) => {$(
            let inspector = stage.pod.inspect();
            let name = concat!("Inspector::", stringify!($method));
            list.add(name, Effect::None, async move { inspector.$method($($argument),*).await });
        )*};
    }
    look! {
        calls(CallFilter::new());
        call(id);
        logs(id);
        schedules();
        pods();
        counts();
        counts_up_to(10);
        count(&CallFilter::new(), 10);
        timeline(&[Moment::MIN, Moment::MAX], 10);
        pending_names(10);
        statistics(Span::Minute, Moment::MIN, None);
        paused_names();
        actions(&ActionFilter::new());
        settings();
        migrations();
        now();
        why(id);
        diagnose();
        alerts();
    }
}

async fn operate(stage: &Stage<'_>, list: &mut List) {
    macro_rules! act {
        ($($method:ident($($argument:expr),*) => $effect:expr;)*) => {$(
            let operator = stage.pod.operate("kept");
            let name = concat!("Operator::", stringify!($method));
            list.add(name, $effect, async move { operator.$method($($argument),*).await });
        )*};
    }
    let chosen = |ids: &[CallId]| Selection::Calls(ids.to_vec());
    let groups = [stage.group().await, stage.group().await, stage.group().await];
    let [cancelled, moved, now] = groups;
    let [deleted, again] = [stage.over().await, stage.over().await];
    let selections = [&cancelled, &moved, &now, &deleted, &again].map(|group| chosen(group));
    let [cancel, reschedule, run_now, delete, run_again] = selections;
    let mut schedules = Vec::new();
    for number in 0..5 {
        schedules.push(stage.schedule(&format!("schedule {number}")).await);
    }
    let [pause, resume, edit, end, trigger] = schedules[..] else { unreachable!("there are five") };
    act! {
        cancel(cancel) => Effect::Cancelled(cancelled);
        reschedule(reschedule, Duration::from_hours(1)) => Effect::Moved(moved);
        run_now(run_now) => Effect::Moved(now);
        delete(delete) => Effect::Deleted(deleted);
        run_again(run_again) => Effect::Again(again);
        pause_schedule(pause, "kept") => Effect::None;
        resume_schedule(resume) => Effect::None;
        edit_schedule(edit, another_rule()) => Effect::None;
        end_schedule(end, "kept") => Effect::None;
        trigger(trigger) => Effect::None;
        pause_name("nobody", "kept") => Effect::None;
        resume_name("somebody") => Effect::None;
    }
}

fn pods(stage: &Stage<'_>, list: &mut List) {
    let builder = stage.backend.builder().role(Role::Serverless);
    list.add("PodBuilder::start", Effect::None, async move { builder.start().await });
    for _ in 0..2 {
        let pod = stage.pod.clone();
        list.quiet("Pod::health", async move { pod.health().await });
        let pod = stage.side.clone();
        list.add("Pod::run_due", Effect::None, async move { pod.run_due().await });
    }
    list.quiet("Pod::shutdown_signal", stage.ending.shutdown_signal());
    let pod = stage.ending.clone();
    list.quiet("Pod::run_until_signal", async move { pod.run_until_signal().await });
    let pod = stage.ending.clone();
    list.quiet("Pod::shutdown", async move { pod.shutdown().await });
}
