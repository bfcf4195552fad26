//! The throughput of concurrent callers.

use std::time::Instant;

use tokio::task::JoinSet;

use crate::Result;

/// Returns what the callers did together per second; each returns how much it did.
pub(crate) async fn rate<F>(callers: impl Iterator<Item = F>) -> Result<f64>
where
    F: Future<Output = Result<u32>> + Send + 'static,
{
    let began = Instant::now();
    let mut tasks: JoinSet<Result<u32>> = callers.collect();
    let mut total = 0;
    while let Some(done) = tasks.join_next().await {
        total += done??;
    }
    Ok(f64::from(total) / began.elapsed().as_secs_f64())
}
