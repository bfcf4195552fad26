//! Tells open pages that something has changed, with small numbers; the pages then load themselves anew.

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

/// The most pages that listen at once.
const MOST: usize = 256;
/// How often the database is asked while anybody listens, however many do.
const PERIOD: Duration = Duration::from_secs(2);
/// Counting stops here: what is beyond changes too often to be told.
const CAP: u64 = 1_000;

/// What was counted last: due, running, scheduled, failed, other ended ones.
type Seen = [u64; 5];

/// One look at the database for all pages that are open.
pub(crate) struct Live {
    pod: Pod,
    /// `None` while nobody listens.
    sender: Mutex<Option<watch::Sender<Option<Seen>>>>,
}

impl Live {
    pub(crate) fn new(pod: Pod) -> Arc<Self> {
        Arc::new(Self { pod, sender: Mutex::new(None) })
    }

    /// An endless answer, which ends with the pod: it would hold up the server's own end.
    pub(crate) fn listen(self: &Arc<Self>) -> Result<Response, Failure> {
        let receiver = self.subscribe()?;
        let changes = stream::unfold(receiver, |mut receiver| async move {
            receiver.changed().await.ok()?;
            let event = receiver.borrow_and_update().map_or_else(Event::default, |seen| {
                let [due, running, scheduled, failed, ended] = seen;
                let figures = json!({ "due": due, "running": running, "scheduled": scheduled, "failed": failed, "ended": ended });
                Event::default().event("changed").data(figures.to_string())
            });
            Some((Ok::<_, Infallible>(event), receiver))
        });
        let answer = Sse::new(changes).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)));
        Ok(([(CACHE_CONTROL, "no-store")], answer).into_response())
    }

    fn subscribe(self: &Arc<Self>) -> Result<watch::Receiver<Option<Seen>>, Failure> {
        let mut sender = self.sender();
        if let Some(sender) = &*sender {
            return if sender.receiver_count() < MOST { Ok(sender.subscribe()) } else { Err(Failure::Busy) };
        }
        let (new, receiver) = watch::channel(None);
        *sender = Some(new);
        drop(sender);
        let live = Arc::clone(self);
        tokio::spawn(async move { live.look().await });
        Ok(receiver)
    }

    /// Looks until nobody listens any more, or the pod ends.
    async fn look(self: Arc<Self>) {
        let mut end = Box::pin(self.pod.shutdown_signal());
        loop {
            let counts = self.pod.inspect().counts_up_to(CAP).await;
            if let Ok(counts) = counts {
                let ended =
                    [counts.succeeded, counts.interrupted, counts.cancelled, counts.expired, counts.skipped];
                let ended = ended.into_iter().fold(0, u64::saturating_add);
                self.tell([counts.due, counts.running, counts.scheduled, counts.failed, ended]);
            }
            let over = tokio::select! {
                () = &mut end => true,
                () = tokio::time::sleep(PERIOD) => false,
            };
            let mut sender = self.sender();
            if over || sender.as_ref().is_none_or(|sender| sender.receiver_count() == 0) {
                // Dropping it ends the answers of those who listen.
                *sender = None;
                return;
            }
        }
    }

    fn tell(&self, seen: Seen) {
        if let Some(sender) = &*self.sender() {
            sender.send_if_modified(|last| last.replace(seen) != Some(seen));
        }
    }

    fn sender(&self) -> MutexGuard<'_, Option<watch::Sender<Option<Seen>>>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
