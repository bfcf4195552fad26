use super::{CallId, Due, Duration, MemoryStore, NewCall, Now, Pod, Retention, Role, on_runtime};
use futurecall_runtime::store::prelude::*;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use futurecall_runtime::prelude::*;

/// Calls whose parameters are of every kind that serde tells apart.
#[derive(Debug)]
pub(crate) struct FuzzedFutureCall;

/// An argument of the user's own type.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) enum Shape {
    /// No value.
    Unit,
    /// One value.
    New(Option<u8>),
    /// Two.
    Pair(f64, String),
    /// Named ones, nested.
    Named {
        /// Large.
        a: i128,
        /// Deep.
        b: Vec<Self>,
    },
}

#[future_call]
impl FuzzedFutureCall {
    /// Text and what may be missing.
    pub(crate) async fn text(
        _session: &Session,
        text: &str,
        note: Option<char>,
        #[future_call(default)] more: u8,
    ) {
        std::hint::black_box((text, note, more));
    }

    /// Numbers, lists and maps.
    pub(crate) async fn numbers(_session: &Session, list: &[(i64, f32)], map: BTreeMap<u16, bool>) {
        std::hint::black_box((list, map));
    }

    /// Types of the user's own.
    pub(crate) async fn shapes(_session: &Session, #[future_call(alias = "old")] shape: Shape, unit: ()) {
        std::hint::black_box((shape, unit));
    }
}

struct ByName;

impl InvokableFutureCall for ByName {
    type Data = Vec<Shape>;

    async fn invoke(&self, _session: &Session, data: Option<Vec<Shape>>) -> Result<(), BoxError> {
        std::hint::black_box(data);
        Ok(())
    }
}

const NAMES: [&str; 4] = ["fuzzed.text", "fuzzed.numbers", "fuzzed.shapes", "by_name"];

thread_local! {
    static POD: OnceCell<(MemoryStore, Pod)> = const { OnceCell::new() };
}

/// Stored arguments, of whatever form: those that the check calls broken fail, all others run.
pub(super) fn arguments(input: &[u8]) {
    let Some((choice, text)) = input.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let (store, pod) = POD.with(|pod| pod.get_or_init(|| on_runtime(start())).clone());
    let call = NewCall {
        id: CallId::new(),
        name: NAMES[usize::from(choice % 4)].to_owned(),
        identifier: None,
        args: text.to_owned(),
        format: i16::from(choice / 4 % 4),
        priority: 0,
        due: Due::After(Duration::ZERO),
        expires_after: None,
        traceparent: None,
    };
    on_runtime(async {
        let id = call.id;
        if store.insert(Now::Database, &[call], false, Duration::ZERO).await.is_err() {
            return;
        }
        let record = pod.inspect().call(id).await.expect("a look").expect("the call is there");
        let summary = pod.run_due().await.expect("a run");
        assert_eq!(
            (summary.succeeded == 1, summary.failed == 1),
            match record.broken {
                None => (true, false),
                Some(_) => (false, true),
            }
        );
    });
}

async fn start() -> (MemoryStore, Pod) {
    let store = MemoryStore::new();
    let nothing = Retention {
        succeeded: Duration::ZERO,
        failed: Duration::ZERO,
        interrupted: Duration::ZERO,
        cancelled: Duration::ZERO,
        skipped: Duration::ZERO,
    };
    let pod = Pod::builder()
        .without_discovery()
        .store(store.clone())
        .role(Role::Maintenance)
        .config(futurecall_runtime::Config::new().retention(nothing))
        .register(FuzzedFutureCall)
        .register_future_call("by_name", ByName)
        .start()
        .await
        .expect("a pod");
    (store, pod)
}
