//! What pods have counted.

use super::SqliteStore;
use crate::error::StoreError;
use crate::id::PodId;
use crate::moment::Moment;
use crate::store::Statistics;

pub(super) async fn put_statistics(
    store: &SqliteStore,
    pod: PodId,
    counted: &[Statistics],
) -> Result<(), StoreError> {
    let _ = (store, pod, counted);
    Err(StoreError::permanent("store statistics", "not built yet"))
}

pub(super) async fn statistics(
    store: &SqliteStore,
    since: Moment,
    name: Option<&str>,
) -> Result<Vec<Statistics>, StoreError> {
    let _ = (store, since, name);
    Err(StoreError::permanent("read statistics", "not built yet"))
}
