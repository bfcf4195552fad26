//! What pods have counted.

use super::PostgresStore;
use crate::error::StoreError;
use crate::id::PodId;
use crate::moment::Moment;
use crate::store::Statistics;

impl PostgresStore {
    pub(super) async fn write_statistics(
        &self,
        pod: PodId,
        counted: &[Statistics],
    ) -> Result<(), StoreError> {
        let _ = (pod, counted);
        Err(StoreError::permanent("store statistics", "not built yet"))
    }

    pub(super) async fn read_statistics(
        &self,
        since: Moment,
        name: Option<&str>,
    ) -> Result<Vec<Statistics>, StoreError> {
        let _ = (since, name);
        Err(StoreError::permanent("read statistics", "not built yet"))
    }
}
