use super::{CallFilter, Duration, Moment, Now, PodId, Retention, Store, on_runtime};
use futurecall_runtime::store::prelude::*;
use std::cell::OnceCell;

use futurecall_runtime::store::{ClaimRequest, Finish, Held, KeysLook, OnVanish, Outcome, SqliteStore};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use tempfile::TempDir;

/// A SQLite file with its store, and another way to it.
struct Place {
    store: SqliteStore,
    pool: SqlitePool,
    _folder: TempDir,
}

thread_local! {
    static PLACE: OnceCell<Place> = const { OnceCell::new() };
}

const INSERT_CALL: &str = "INSERT OR IGNORE INTO futurecall_call (id, name, priority, due_at, first_due_at, expires_at, \
    identifier, args, format, schedule_id, traceparent, created_at, claimed_by, claim_no, claimed_at, lease_until, \
    on_vanish, vanish_after, attempt, failures, vanished, attempts, started, cancel_requested, error) \
    VALUES (?, 'work', ?, ?, ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, CAST(? AS TEXT), ?, ?, ?, ?, ?, ?, ?, ?, ?, \
    ?, CAST(? AS TEXT), ?, ?, CAST(? AS TEXT))";

const INSERT_SCHEDULE: &str = "INSERT OR IGNORE INTO futurecall_schedule (id, key, name, identifier, args, format, \
    priority, declared, effective, anchor, origin, state, reason, known_at, missed_from, created_at, updated_at) \
    VALUES (?, 'key', 'work', CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, ?, \
    CAST(? AS TEXT), 0, -1, ?, ?)";

/// Rows as a slip by hand, or another version, may have left them: whatever the tables' own checks let in, no operation
/// panics over it.
pub(super) fn rows(input: &[u8]) {
    PLACE.with(|place| {
        let place = place.get_or_init(|| on_runtime(open()));
        on_runtime(walk(place, &mut Source(input)));
    });
}

async fn open() -> Place {
    let memory = std::path::Path::new("/dev/shm");
    let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    let folder = folder.expect("a folder");
    let path = folder.path().join("rows.db");
    let store = SqliteStore::open(&format!("sqlite://{}", path.display()), "futurecall_").await;
    let store = store.expect("a store");
    store.migrate().await.expect("the tables");
    let options = SqliteConnectOptions::new().filename(&path).synchronous(SqliteSynchronous::Off);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.expect("the file");
    Place { store, pool, _folder: folder }
}

async fn walk(place: &Place, source: &mut Source<'_>) {
    let Place { store, pool, .. } = place;
    let empty =
        "DELETE FROM futurecall_call; DELETE FROM futurecall_finished; DELETE FROM futurecall_schedule";
    sqlx::raw_sql(empty).execute(pool).await.expect("the tables are emptied");
    let (id, schedule, pod) = ([7_u8; 16], [8_u8; 16], PodId::new());
    put_schedule(pool, source, schedule).await;
    put_call(pool, source, id, schedule, pod).await;
    let now = Now::At(source.moment());
    let keep = Retention::default();
    let call = uuid::Uuid::from_bytes(id);
    let call = futurecall_runtime::CallId::from_uuid(call);

    let look = async |what: &str| {
        let page = store.calls(now, &CallFilter::new()).await;
        let one = store.call(now, call).await;
        // What can be listed can be looked up.
        if let (Ok(page), Ok(one)) = (&page, &one) {
            assert_eq!(page.calls.iter().any(|listed| listed.id == call), one.is_some(), "{what}");
        }
        let _ =
            (store.schedules().await, store.counts(now, u64::MAX).await, store.pending_names(now, 10).await);
        let names = vec!["work".to_owned()];
        let _ = store.pending_keys(now, &KeysLook { names, from: None, calls: 10, first: 10 }).await;
    };
    look("as it was written").await;
    let held = [Held { id: call, claim_no: 1, started: true }];
    let _ = store.renew(now, pod, &held, Duration::from_secs(1)).await;
    let request = ClaimRequest {
        pod: PodId::new(),
        claim_no: 2,
        names: vec![("work".to_owned(), OnVanish::Keep)],
        shapes: std::sync::Arc::default(),
        limit: 10,
        lease: Duration::from_secs(30),
        until: None,
        ahead: Duration::ZERO,
        sweep: true,
        retention: keep,
    };
    let claimed = store.claim(now, &request).await.map(|claim| claim.calls).unwrap_or_default();
    look("after a claim").await;
    let _ = store.find_claim(request.pod, 2).await;
    for claimed in claimed {
        let (started_after, ran_for) = (Some(Duration::ZERO), Duration::from_secs(1));
        let outcome = Outcome::Failed { error: "so it goes".to_owned() };
        let end = Finish { id: claimed.id, claim_no: claimed.claim_no, outcome, started_after, ran_for };
        let _ = store.finish(now, request.pod, &[end], &keep).await;
    }
    let _ = store.rescue(now, 10, &keep).await;
    look("at the end").await;
    let _ = store.prune(Now::At(Moment::MAX), &keep, 10).await;
}

async fn put_schedule(pool: &SqlitePool, source: &mut Source<'_>, id: [u8; 16]) {
    let declared = source.text();
    let query = sqlx::query(INSERT_SCHEDULE).bind(id.to_vec()).bind(source.optional_text());
    let query = query.bind(source.text()).bind(source.small()).bind(source.small()).bind(declared.clone());
    let query = query.bind(if source.flag() { declared } else { source.text() });
    let query = query.bind(source.number()).bind(source.small()).bind(source.small());
    let query = query.bind(source.optional_text()).bind(source.number()).bind(source.number());
    // The tables' own checks may refuse it.
    let _ = query.execute(pool).await;
}

async fn put_call(pool: &SqlitePool, source: &mut Source<'_>, id: [u8; 16], schedule: [u8; 16], pod: PodId) {
    let query =
        sqlx::query(INSERT_CALL).bind(id.to_vec()).bind(source.small()).bind(source.moment().as_micros());
    let query = query.bind(source.optional_number()).bind(source.optional_number());
    let query = query.bind(source.optional_text()).bind(source.text()).bind(source.small());
    let query = query.bind(source.flag().then(|| schedule.to_vec())).bind(source.optional_text());
    let query = query.bind(source.number());
    let is_claimed = source.flag();
    let query = query.bind(is_claimed.then(|| pod.as_uuid().as_bytes().to_vec()));
    let query = query.bind(is_claimed.then_some(1_i64)).bind(source.optional_number());
    let query = query.bind(is_claimed.then(|| source.number()));
    let query = query.bind(source.number()).bind(source.number()).bind(source.number()).bind(source.number());
    let query = query.bind(source.number()).bind(source.optional_text()).bind(i64::from(source.flag()));
    let query = query.bind(i64::from(source.flag())).bind(source.optional_text());
    let _ = query.execute(pool).await;
}

/// The input, read as values; zeros once it has come to its end.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    fn small(&mut self) -> i64 {
        i64::from(i16::from_le_bytes([self.byte(), self.byte()]))
    }

    fn number(&mut self) -> i64 {
        match self.byte() % 8 {
            0 => 0,
            1 => i64::MAX,
            2 => i64::MIN,
            3 => -1,
            4 => Moment::MAX.as_micros(),
            5 => i64::from(i32::from_le_bytes(std::array::from_fn(|_| self.byte()))),
            _ => i64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    fn optional_number(&mut self) -> Option<i64> {
        self.flag().then(|| self.number())
    }

    fn moment(&mut self) -> Moment {
        Moment::from_micros(self.number().rem_euclid(Moment::MAX.as_micros())).expect("within the range")
    }

    fn text(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte()).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        text.to_vec()
    }

    fn optional_text(&mut self) -> Option<Vec<u8>> {
        self.flag().then(|| self.text())
    }
}
