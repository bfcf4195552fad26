use async_trait::async_trait;

use super::rows::refuse_nul;
use crate::id::PodId;
use crate::moment::Moment;
use crate::store::{MemoryStore, Result, Span, Statistics, StatisticsStore, sums};

#[async_trait]
impl StatisticsStore for MemoryStore {
    async fn put_statistics(&self, pod: PodId, counted: &[Statistics]) -> Result<()> {
        let state = &mut *self.state();
        refuse_nul("store statistics", counted.iter().map(|row| row.name.as_str()))?;
        for row in counted {
            state.statistics.insert((row.span, row.start, row.name.clone(), pod), row.clone());
        }
        Ok(())
    }

    async fn statistics(&self, span: Span, since: Moment, name: Option<&str>) -> Result<Vec<Statistics>> {
        let state = self.state();
        let is_wanted = |row: &&Statistics| {
            row.span == span && row.start >= since && name.is_none_or(|name| name == row.name)
        };
        Ok(sums(state.statistics.values().filter(is_wanted).cloned()))
    }
}
