//! Captures everything that the process logs through `tracing`, and searches it for a word.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry;

/// All listeners. One list for the whole process: `tracing` takes one subscriber, and background threads report to no
/// other.
static LISTENING: Mutex<Vec<Arc<Inner>>> = Mutex::new(Vec::new());

/// How many listeners there are. With none, nothing is formatted, and other tests are not slowed down.
static LISTENERS: AtomicUsize = AtomicUsize::new(0);

static SUBSCRIBED: Once = Once::new();

/// Records every span, event and field of any level and target that contains its word, until it is dropped.
#[derive(Debug)]
pub struct Overheard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    word: String,
    said: Mutex<Vec<String>>,
}

impl Overheard {
    /// Listens for this word from now on.
    ///
    /// # Panics
    ///
    /// If there is another subscriber for the process.
    pub fn word(word: &str) -> Self {
        SUBSCRIBED.call_once(|| {
            let subscriber = registry().with(Ear);
            tracing::subscriber::set_global_default(subscriber).expect("no other subscriber in this process");
        });
        let inner = Arc::new(Inner { word: word.to_owned(), said: Mutex::default() });
        lock(&LISTENING).push(Arc::clone(&inner));
        LISTENERS.fetch_add(1, Ordering::SeqCst);
        Self(inner)
    }

    /// Returns what was logged with the word in it.
    pub fn said(&self) -> Vec<String> {
        lock(&self.0.said).clone()
    }
}

impl Drop for Overheard {
    fn drop(&mut self) {
        LISTENERS.fetch_sub(1, Ordering::SeqCst);
        lock(&LISTENING).retain(|listening| !Arc::ptr_eq(listening, &self.0));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Ear;

impl<S: Subscriber> Layer<S> for Ear {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // Asked each time: whether anybody listens changes.
        Interest::sometimes()
    }

    fn enabled(&self, _: &Metadata<'_>, _: Context<'_, S>) -> bool {
        LISTENERS.load(Ordering::SeqCst) > 0
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let mut line = Line::of(attributes.metadata());
        attributes.record(&mut line);
        line.hear();
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut line = Line(String::new());
        values.record(&mut line);
        line.hear();
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::of(event.metadata());
        event.record(&mut line);
        line.hear();
    }
}

/// Formats one span or event.
struct Line(String);

impl Line {
    fn of(metadata: &Metadata<'_>) -> Self {
        Self(format!("{} {} {}", metadata.level(), metadata.target(), metadata.name()))
    }

    fn hear(self) {
        for listening in lock(&LISTENING).iter() {
            if self.0.contains(&listening.word) {
                lock(&listening.said).push(self.0.clone());
            }
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, " {field}={value}");
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        // As the most talkative of subscribers would show it.
        let _ = write!(self.0, " {field}={value} {value:?}");
        let mut source = value.source();
        while let Some(cause) = source {
            let _ = write!(self.0, " {cause} {cause:?}");
            source = cause.source();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_messages_and_spans_are_heard() {
        tracing::error!("overheard-tattle, before anybody listens");
        let overheard = Overheard::word("overheard-tattle");
        tracing::trace!("a message of overheard-tattle");
        tracing::info!(field = "overheard-tattle");
        let _in_span = tracing::debug_span!("span", field = ?"overheard-tattle").entered();
        tracing::error!("nothing of it");
        assert_eq!(overheard.said().len(), 3, "{:?}", overheard.said());
    }
}
