use std::collections::BTreeMap;

use super::rows::{State, refuse_nul};
use crate::error::StoreError;
use crate::id::PodId;
use crate::moment::Moment;
use crate::store::Statistics;

impl State {
    pub(super) fn put_statistics(&mut self, pod: PodId, counted: &[Statistics]) -> Result<(), StoreError> {
        refuse_nul("store statistics", counted.iter().map(|row| row.name.as_str()))?;
        for row in counted {
            self.statistics.insert((row.minute, row.name.clone(), pod), row.clone());
        }
        Ok(())
    }

    pub(super) fn read_statistics(&self, since: Moment, name: Option<&str>) -> Vec<Statistics> {
        let mut sums: BTreeMap<(Moment, &str), Statistics> = BTreeMap::new();
        for ((minute, row_name, _), row) in &self.statistics {
            if *minute >= since && name.is_none_or(|name| name == row_name) {
                sums.entry((*minute, row_name))
                    .or_insert_with(|| Statistics::new(row_name.clone(), *minute))
                    .merge(row);
            }
        }
        sums.into_values().collect()
    }
}
