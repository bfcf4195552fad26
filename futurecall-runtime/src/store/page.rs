//! A page of the listing, and where it ends.

use super::CallRecord;
use super::cursor::Cursor;
use crate::id::CallId;

/// A page of calls. It may contain fewer calls than the limit, or none, although more follow: if a filter has no
/// index (`pod` and `error`; with `identifier` or `schedule` everything else), a page searches 10,000 calls and
/// returns where to continue.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CallPage {
    /// The calls, without their attempts.
    pub calls: Vec<CallRecord>,
    /// The argument of [`CallFilter::after`](super::CallFilter::after) for the next page; `None` on the last page.
    pub next: Option<CallId>,
    /// The position where it ends, if another page follows; valid even if the call there moves or is deleted.
    pub(crate) end: Option<Cursor>,
}

impl CallPage {
    /// Creates a page.
    pub const fn new(calls: Vec<CallRecord>, next: Option<CallId>) -> Self {
        Self { calls, next, end: None }
    }

    /// Creates a page that ends at `end`; `None` if it is the last.
    pub(super) fn ending_at(calls: Vec<CallRecord>, end: Option<Cursor>) -> Self {
        Self { calls, next: end.map(|place| CallId::from_uuid(place.id)), end }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::super::{
        CallFilter, CallState, CancelTarget, Due, MemoryStore, NewCall, Now, Retention, Store,
    };
    use crate::id::CallId;

    const HOUR: Duration = Duration::from_hours(1);

    /// All calls that follow a page of two, whatever has become of its last call.
    async fn rest(store: &dyn Store, state: Option<CallState>, first: &super::CallPage) -> Vec<CallId> {
        let beyond = first.end;
        let filter = CallFilter { state, beyond, limit: 9, ..CallFilter::new() };
        let page = store.calls(Now::Database, &filter).await.expect("read");
        assert_eq!((page.next, page.end), (None, None));
        page.calls.iter().map(|call| call.id).collect()
    }

    pub(in crate::store) async fn pages_go_on_from_their_place(store: &dyn Store) {
        let new = |hours: u32| NewCall {
            id: CallId::new(),
            name: "a.b".to_owned(),
            identifier: None,
            args: "{}".to_owned(),
            format: 1,
            priority: 0,
            due: Due::After(HOUR * hours),
            expires_after: None,
            traceparent: None,
        };
        let calls: Vec<NewCall> = (1..=6).map(new).collect();
        let id = |at: usize| calls[at].id;
        store.insert(Now::Database, &calls, false, HOUR).await.expect("stored");
        let scheduled = CallFilter::new().state(CallState::Scheduled).limit(2);
        let first = store.calls(Now::Database, &scheduled).await.expect("read");
        let whole = store.calls(Now::Database, &CallFilter::new().limit(2)).await.expect("read");
        assert_eq!((first.next, whole.next), (Some(id(1)), Some(id(1))));
        assert_eq!(rest(store, Some(CallState::Scheduled), &first).await, [id(2), id(3), id(4), id(5)]);

        // Moved behind all others.
        let target = CancelTarget::Call(id(1));
        store.reschedule(Now::Database, &target, Due::After(HOUR * 9), HOUR).await.expect("moved");
        for (state, page) in [(Some(CallState::Scheduled), &first), (None, &whole)] {
            assert_eq!(rest(store, state, page).await, [id(2), id(3), id(4), id(5), id(1)]);
        }
        // Over.
        store.cancel(Now::Database, &target, &Retention::default()).await.expect("cancelled");
        assert_eq!(rest(store, Some(CallState::Scheduled), &first).await, [id(2), id(3), id(4), id(5)]);
        assert_eq!(rest(store, None, &whole).await, [id(2), id(3), id(4), id(5), id(1)]);
        // Gone.
        assert_eq!(store.delete(Now::Database, &[id(1)]).await.expect("deleted"), 1);
        assert_eq!(rest(store, None, &whole).await, [id(2), id(3), id(4), id(5)]);

        // The same of the history, the newest first.
        for one in [id(0), id(2), id(3), id(4)] {
            let target = CancelTarget::Call(one);
            store.cancel(Now::Database, &target, &Retention::default()).await.expect("cancelled");
        }
        let cancelled = CallFilter::new().state(CallState::Cancelled).limit(2);
        let first = store.calls(Now::Database, &cancelled).await.expect("read");
        assert_eq!(first.next, Some(id(3)));
        assert_eq!(store.delete(Now::Database, &[id(3)]).await.expect("deleted"), 1);
        assert_eq!(rest(store, Some(CallState::Cancelled), &first).await, [id(2), id(0)]);
    }

    #[tokio::test]
    async fn on_memory() {
        pages_go_on_from_their_place(&MemoryStore::new()).await;
    }

    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn on_sqlite() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let url = format!("sqlite:{}", folder.path().join("calls.db").display());
        let store = super::super::SqliteStore::open(&url, "futurecall_").await.expect("opens");
        store.migrate().await.expect("migrated");
        pages_go_on_from_their_place(&store).await;
        store.close().await;
    }
}
