//! Wake-ups between pods: NOTIFY after a commit, LISTEN on a connection of its own.
//!
//! All of it is optional. Where nothing is heard (a transaction pooler, a lost connection), the engine's own poll finds
//! everything a little later. A session that others may use as well is never listened on: see [`session`](super::session).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use uuid::Uuid;

use super::PostgresStore;
use super::claim_cursors::Lanes;
use super::connect::Link;
use super::session::{Kept, is_shared};
use crate::store::{NewCall, Now};

/// The first and the longest pause before LISTEN is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// How long after that a pod looks again whether it may listen, where sessions are shared: a pooler is seldom replaced.
const PAUSE_WHERE_SHARED: Duration = Duration::from_mins(5);

/// How long a notification may take from the server to the connection that listens.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(5);

/// Twice what a claim takes that has a processor to itself.
const FIRST_TRY: Duration = Duration::from_millis(2);

/// Stands for the moment in a notification that tells of no call.
const NOTHING: &str = "-";

const NOTIFY: &str = "SELECT pg_notify($1::text, $2::text)::text";

/// What one store hears of others.
#[derive(Debug)]
pub(super) struct Wake {
    channel: Arc<str>,
    /// Marks this store's own notifications, which are no news to it.
    tag: Arc<str>,
    /// Grows with every notification of another store.
    news: Arc<watch::Sender<u64>>,
    /// Up to where `changed` has told.
    told: AtomicU64,
    listening: Once,
    /// Whether this store hears its own notifications, and so those of others: a connection that listens through a pooler
    /// looks as if it did.
    hears: Arc<AtomicBool>,
    /// How often the connection that listens was lost and made anew.
    reconnections: Arc<AtomicU64>,
    /// Ends the listening task.
    stop: CancellationToken,
    /// What news is news about.
    lanes: Arc<Lanes>,
    /// How long this store has to claim a due call that it has stored itself before others hear of it.
    pub(super) first_try: Duration,
    unsaid: Arc<Mutex<Unsaid>>,
    /// The task that tells it.
    saying: TaskTracker,
    /// The listening task.
    hearing: TaskTracker,
}

impl Wake {
    pub(super) fn new(schema: &str, lanes: Arc<Lanes>) -> Self {
        Self {
            channel: format!("{schema}_wake").into(),
            tag: Uuid::new_v4().to_string().into(),
            news: Arc::new(watch::Sender::new(0)),
            told: AtomicU64::new(0),
            listening: Once::new(),
            hears: Arc::default(),
            reconnections: Arc::default(),
            stop: CancellationToken::new(),
            lanes,
            first_try: FIRST_TRY,
            unsaid: Arc::default(),
            saying: TaskTracker::new(),
            hearing: TaskTracker::new(),
        }
    }

    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    /// Waits until everything is told that was to be told.
    pub(super) async fn said(&self) {
        self.saying.close();
        self.saying.wait().await;
    }

    /// Stops listening for good, and waits until the connection that listened is closed.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.hearing.close();
        self.hearing.wait().await;
    }

    /// Whether what others tell is heard at present.
    pub(super) fn hears(&self) -> bool {
        self.hears.load(Ordering::Acquire)
    }

    /// Returns how often the connection that listens was lost and made anew.
    pub(super) fn reconnections(&self) -> u64 {
        self.reconnections.load(Ordering::Relaxed)
    }

    /// Waits for news. Those that came while nobody waited are remembered as one.
    pub(super) async fn changed(&self, options: PgConnectOptions, link: &Arc<Link>) {
        self.listening.call_once(|| {
            let ear = Ear {
                channel: Arc::clone(&self.channel),
                tag: Arc::clone(&self.tag),
                news: Arc::clone(&self.news),
                hears: Arc::clone(&self.hears),
                reconnections: Arc::clone(&self.reconnections),
                lanes: Arc::clone(&self.lanes),
                link: Arc::clone(link),
            };
            self.hearing.spawn(listen(options, ear, self.stop.clone()));
        });
        let mut news = self.news.subscribe();
        let latest = *news.borrow_and_update();
        if self.told.swap(latest, Ordering::AcqRel) != latest {
            return;
        }
        if news.changed().await.is_err() {
            // The sender lives as long as this store does.
            std::future::pending::<()>().await;
        }
        self.told.store(*news.borrow(), Ordering::Release);
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl PostgresStore {
    /// Wakes the other pods, in a task of its own: nobody here has to wait for that. What is to be told while one
    /// notification is on its way is told with the next. One that cannot be sent is no error of what was stored before it.
    pub(super) fn notify(&self, earliest: Option<i64>) {
        self.voice().say(earliest.unwrap_or(0));
    }

    /// As [`notify`](Self::notify), of one call that is due, unless this store has claimed it a moment later. What claims
    /// such calls itself mostly does: then nobody else has to be woken to find that there is nothing, and what tells them
    /// does not take the processor from the claim.
    pub(super) fn notify_unless_taken(&self, now: Now, call: &NewCall, due: i64) {
        if !self.lanes.know(&BTreeSet::from([call.name.as_str()])) {
            return self.notify(Some(due));
        }
        let (voice, lanes) = (self.voice(), Arc::clone(&self.lanes));
        let (name, priority, first_try) = (call.name.clone(), call.priority, self.wake.first_try);
        self.wake.saying.spawn(async move {
            tokio::time::sleep(first_try).await;
            if lanes.is_due(now, &name, priority) {
                voice.say(due);
            }
        });
    }

    fn voice(&self) -> Voice {
        Voice {
            link: Arc::clone(&self.link),
            channel: Arc::clone(&self.wake.channel),
            tag: Arc::clone(&self.wake.tag),
            unsaid: Arc::clone(&self.wake.unsaid),
            saying: self.wake.saying.clone(),
        }
    }
}

/// What tells the other pods.
struct Voice {
    link: Arc<Link>,
    channel: Arc<str>,
    tag: Arc<str>,
    unsaid: Arc<Mutex<Unsaid>>,
    saying: TaskTracker,
}

impl Voice {
    fn say(self, due: i64) {
        let mut unsaid = self.unsaid.lock().unwrap_or_else(PoisonError::into_inner);
        unsaid.earliest = Some(unsaid.earliest.map_or(due, |earliest| earliest.min(due)));
        if std::mem::replace(&mut unsaid.is_being_said, true) {
            return;
        }
        drop(unsaid);
        let Self { link, channel, tag, unsaid, saying } = self;
        saying.spawn(async move {
            while let Some(earliest) = next(&unsaid) {
                let query = link.fixed(NOTIFY).bind(channel.to_string()).bind(format!("{earliest} {tag}"));
                if let Err(error) = link.write("wake the other pods", query).await {
                    tracing::debug!(%error, "other pods find the call by their own poll");
                }
            }
        });
    }
}

/// What has not been told to the other pods.
#[derive(Debug, Default)]
struct Unsaid {
    earliest: Option<i64>,
    is_being_said: bool,
}

/// What to tell next; `None` ends the telling.
fn next(unsaid: &Mutex<Unsaid>) -> Option<i64> {
    let mut unsaid = unsaid.lock().unwrap_or_else(PoisonError::into_inner);
    let next = unsaid.earliest.take();
    unsaid.is_being_said = next.is_some();
    next
}

/// What the listening task hears with.
struct Ear {
    channel: Arc<str>,
    tag: Arc<str>,
    news: Arc<watch::Sender<u64>>,
    hears: Arc<AtomicBool>,
    reconnections: Arc<AtomicU64>,
    lanes: Arc<Lanes>,
    /// By which it tells itself something.
    link: Arc<Link>,
}

/// How listening on one connection ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// The connection was lost.
    Lost,
    /// The server session is not this connection's own: nothing listens on it.
    Shared,
    /// It looked like a session of its own, but the store's own notification did not come: nothing listens on it any more.
    Unheard,
}

/// Listens until it is told to stop, through every loss of the connection.
async fn listen(options: PgConnectOptions, ear: Ear, stop: CancellationToken) {
    let (mut pause, mut is_first, mut was_unheard, mut is_told) = (PAUSES.0, true, false, false);
    while !stop.is_cancelled() {
        let mut heard = false;
        let own = PgPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let own = own.connect_lazy_with(options.clone());
        let ended = stop.run_until_cancelled(ear.hear(&own, &mut heard, is_first)).await;
        ear.hears.store(false, Ordering::Release);
        if ended.is_none() {
            return own.close().await;
        }
        if let Some(Err(error)) = &ended {
            tracing::debug!(%error, "not hearing of other pods' calls for now; the poll finds them");
        }
        is_first &= !heard;
        pause = match ended {
            Some(Ok(Ended::Shared)) => PAUSE_WHERE_SHARED,
            // A server that stood still is asked again soon, once.
            Some(Ok(Ended::Unheard)) if was_unheard => PAUSE_WHERE_SHARED,
            Some(Ok(Ended::Unheard)) => PAUSES.1,
            _ if heard => PAUSES.0,
            _ => pause.saturating_mul(2).min(PAUSES.1),
        };
        was_unheard = matches!(ended, Some(Ok(Ended::Unheard)));
        if pause == PAUSE_WHERE_SHARED && !std::mem::replace(&mut is_told, true) {
            tracing::info!(
                "a connection pooler shares its server sessions: this pod cannot listen, and finds the calls of other \
                 pods up to a scan interval later"
            );
        }
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}

impl Ear {
    /// Listens on one connection until it is lost, or turns out to share its session with others.
    async fn hear(&self, own: &PgPool, heard: &mut bool, is_first: bool) -> Result<Ended, sqlx::Error> {
        let mut listener = PgListener::connect_with(own).await?;
        listener.eager_reconnect(false);
        if is_shared(&mut listener, &self.link).await? {
            return Ok(Ended::Shared);
        }
        let kept = Kept::listen(&mut listener, &self.channel).await?;
        *heard = true;
        if !is_first {
            self.reconnections.fetch_add(1, Ordering::Relaxed);
        }
        // What was sent before is not heard any more.
        self.lanes.forget();
        self.tell();
        let mut doubt = Some(self.try_itself());
        loop {
            let received = match &mut doubt {
                None => listener.try_recv().await?,
                Some(doubt) => tokio::select! {
                    received = listener.try_recv() => received?,
                    _ = doubt => {
                        kept.withdraw(&mut listener, &self.channel).await?;
                        return Ok(Ended::Unheard);
                    }
                },
            };
            let Some(notification) = received else { return Ok(Ended::Lost) };
            let payload = notification.payload();
            let (earliest, sender) = payload.split_once(' ').unwrap_or((payload, ""));
            if sender == &*self.tag {
                // It came while this connection asked nothing: the session is kept for it.
                doubt = None;
                self.hears.store(true, Ordering::Release);
            } else if earliest != NOTHING {
                match earliest.parse() {
                    Ok(earliest) if earliest > 0 => self.lanes.lower(earliest),
                    // Whatever has changed is not said.
                    _ => self.lanes.forget(),
                }
                self.tell();
            }
        }
    }

    /// Notifies itself by another connection. The task ends when that should have been heard.
    fn try_itself(&self) -> AbortOnDropHandle<()> {
        let (link, channel, payload) =
            (Arc::clone(&self.link), self.channel.to_string(), format!("{NOTHING} {}", self.tag));
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let query = link.fixed(NOTIFY).bind(channel.clone()).bind(payload.clone());
                let sent = link.write("see whether notifications are heard", query).await;
                tokio::time::sleep(CONFIRMED_WITHIN).await;
                match sent {
                    Ok(_) => return,
                    Err(error) => tracing::debug!(%error, "could not see whether notifications are heard"),
                }
            }
        }))
    }

    fn tell(&self) {
        self.news.send_modify(|number| *number = number.wrapping_add(1));
    }
}
