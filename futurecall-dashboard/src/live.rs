//! Live updates: one database query every two seconds for all open pages, sent as server-sent events when figures change.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::header::CACHE_CONTROL;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futurecall_runtime::Pod;
use futures_util::stream;
use serde_json::json;
use tokio::sync::watch;

use crate::error_page::Failure;

/// Largest number of pages with live updates.
const MAX_PAGES: usize = 256;
/// Interval of the query while any page is open.
const PERIOD: Duration = Duration::from_secs(2);
/// Counting stops here.
const CAP: u64 = 1_000;

/// Counts of due, running, scheduled, failed and other finished calls.
type Figures = [u64; 5];

/// The shared source of live updates.
pub(crate) struct Live {
    pod: Pod,
    /// `None` while no page is open.
    sender: Mutex<Option<watch::Sender<Option<Figures>>>>,
}

impl Live {
    pub(crate) fn new(pod: Pod) -> Arc<Self> {
        Arc::new(Self { pod, sender: Mutex::new(None) })
    }

    /// Returns a stream of events. It ends when the pod shuts down, so that it does not block the server's graceful shutdown.
    pub(crate) fn listen(self: &Arc<Self>) -> Result<Response, Failure> {
        let receiver = self.subscribe()?;
        let changes = stream::unfold(receiver, |mut receiver| async move {
            receiver.changed().await.ok()?;
            let event = receiver.borrow_and_update().map_or_else(Event::default, |figures| {
                let [due, running, scheduled, failed, ended] = figures;
                let data = json!({ "due": due, "running": running, "scheduled": scheduled, "failed": failed, "ended": ended });
                Event::default().event("changed").data(data.to_string())
            });
            Some((Ok::<_, Infallible>(event), receiver))
        });
        let answer = Sse::new(changes).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)));
        Ok(([(CACHE_CONTROL, "no-store")], answer).into_response())
    }

    fn subscribe(self: &Arc<Self>) -> Result<watch::Receiver<Option<Figures>>, Failure> {
        let mut sender = self.sender();
        if let Some(sender) = &*sender {
            return if sender.receiver_count() < MAX_PAGES {
                Ok(sender.subscribe())
            } else {
                Err(Failure::Busy)
            };
        }
        let (new, receiver) = watch::channel(None);
        *sender = Some(new);
        drop(sender);
        let live = Arc::clone(self);
        tokio::spawn(async move { live.poll().await });
        Ok(receiver)
    }

    /// Polls the database until no page is open or the pod shuts down.
    async fn poll(self: Arc<Self>) {
        let mut end = Box::pin(self.pod.shutdown_signal());
        loop {
            let counts = self.pod.inspect().counts_up_to(CAP).await;
            if let Ok(counts) = counts {
                let ended =
                    [counts.succeeded, counts.interrupted, counts.cancelled, counts.expired, counts.skipped];
                let ended = ended.into_iter().fold(0, u64::saturating_add);
                self.send([counts.due, counts.running, counts.scheduled, counts.failed, ended]);
            }
            let over = tokio::select! {
                () = &mut end => true,
                () = tokio::time::sleep(PERIOD) => false,
            };
            let mut sender = self.sender();
            if over || sender.as_ref().is_none_or(|sender| sender.receiver_count() == 0) {
                // Dropping the sender ends the streams.
                *sender = None;
                return;
            }
        }
    }

    fn send(&self, figures: Figures) {
        if let Some(sender) = &*self.sender() {
            sender.send_if_modified(|last| last.replace(figures) != Some(figures));
        }
    }

    fn sender(&self) -> MutexGuard<'_, Option<watch::Sender<Option<Figures>>>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
