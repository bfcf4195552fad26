use super::rows::{State, refuse_nul};
use crate::error::StoreError;
use crate::id::PodId;
use crate::moment::Moment;
use crate::store::{Span, Statistics, sums};

impl State {
    pub(super) fn put_statistics(&mut self, pod: PodId, counted: &[Statistics]) -> Result<(), StoreError> {
        refuse_nul("store statistics", counted.iter().map(|row| row.name.as_str()))?;
        for row in counted {
            self.statistics.insert((row.span, row.start, row.name.clone(), pod), row.clone());
        }
        Ok(())
    }

    pub(super) fn read_statistics(&self, span: Span, since: Moment, name: Option<&str>) -> Vec<Statistics> {
        let is_wanted = |row: &&Statistics| {
            row.span == span && row.start >= since && name.is_none_or(|name| name == row.name)
        };
        sums(self.statistics.values().filter(is_wanted).cloned())
    }
}
