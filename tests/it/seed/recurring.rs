//! Page two: a recurring task, by a call that schedules its own successor, and by our own schedules.

use std::time::Duration;

use futurecall_runtime::prelude::*;
use futurecall_tests::backend::Backend;
use futurecall_tests::journal::Journal;
use futurecall_tests::on_all_stores;

pub(crate) struct RecurringFutureCall;

#[future_call]
impl RecurringFutureCall {
    pub(crate) async fn do_work(session: &Session, input: i32) -> Result<(), BoxError> {
        session.state::<Journal>()?.write(format!("{input}"));
        // The next one, from within this one.
        let next = session.future_calls().call_with_delay(Duration::from_millis(20)).identifier("chain");
        next.recurring().do_work(input + 1).await?;
        Ok(())
    }
}

on_all_stores! {
    async fn from_within_a_call(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend.builder().register(RecurringFutureCall).state(journal.clone()).start().await.unwrap();
        pod.future_calls().call_now().recurring().do_work(1).await.unwrap();
        let lines = journal.wait_for(4).await;
        assert_eq!(lines[..4], ["1", "2", "3", "4"]);
        pod.future_calls().cancel("chain").await.unwrap();
        pod.shutdown().await;
    }

    async fn by_a_schedule(backend: &Backend) {
        let journal = Journal::new();
        let pod = backend.builder().register(RecurringFutureCall).state(journal.clone()).start().await.unwrap();
        let every = pod.future_calls().call_recurring().identifier("every").every(Duration::from_millis(20));
        every.recurring().do_work(7).await.unwrap();
        journal.wait_for(3).await;
        assert_eq!(pod.future_calls().cancel("every").await.unwrap().schedules, 1);
        pod.future_calls().cancel("chain").await.unwrap();
        pod.shutdown().await;
    }
}
