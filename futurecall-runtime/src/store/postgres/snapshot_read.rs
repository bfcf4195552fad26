//! Looks at one state of the database, for people: several statements, planned anew each time.

use sqlx::{Executor, Postgres, Transaction};

use super::PostgresStore;
use super::connect::{step, step_one};
use super::driver_error::nothing_done;
use super::sql::{Query, Row};
use crate::store::Result;

/// A transaction that reads.
pub(super) struct Look<'a> {
    store: &'a PostgresStore,
    /// As a fragment that fits "could not …".
    doing: &'static str,
    transaction: Transaction<'static, Postgres>,
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Most statements of a look go down an index, lane by lane, and stop early. The planner does not know how early, and
/// takes reading the whole table, or compiling the statement, for worth its while.
const BY_INDEX: &str = "SELECT set_config('enable_seqscan', 'off', true), \
    set_config('enable_bitmapscan', 'off', true), set_config('jit', 'off', true), \
    set_config('max_parallel_workers_per_gather', '0', true)";

/// To compile a statement takes longer than to count a million rows.
const NOT_COMPILED: &str = "SELECT set_config('jit', 'off', true)";

impl PostgresStore {
    pub(super) async fn look(&self, doing: &'static str) -> Result<Look<'_>> {
        // Before it has a connection: asking would need another one, and there may be one alone.
        self.sees().await?;
        self.begin_look(doing, BY_INDEX).await
    }

    /// A look that may read whole tables.
    pub(super) async fn look_through(&self, doing: &'static str) -> Result<Look<'_>> {
        self.begin_look(doing, NOT_COMPILED).await
    }

    async fn begin_look(&self, doing: &'static str, settings: &'static str) -> Result<Look<'_>> {
        let mut transaction = self.link.begin_with(doing, BEGIN).await?;
        transaction.execute(self.link.fixed(settings)).await.map_err(nothing_done(doing))?;
        Ok(Look { store: self, doing, transaction })
    }
}

impl Look<'_> {
    /// The statement of a template.
    pub(super) fn query(&self, template: &str) -> Query {
        self.store.composed(template).persistent(false)
    }

    /// The statement of a template that shows rows: without arguments where the role may not read them.
    pub(super) async fn shown(&self, template: &str) -> Result<Query> {
        Ok(self.store.shown(template).await?.persistent(false))
    }

    pub(super) async fn rows(&mut self, query: Query) -> Result<Vec<Row>> {
        step(self.doing, &mut self.transaction, query).await
    }

    pub(super) async fn row(&mut self, query: Query) -> Result<Option<Row>> {
        Ok(self.rows(query).await?.into_iter().next())
    }

    /// The row of a statement that always answers with one.
    pub(super) async fn one(&mut self, query: Query) -> Result<Row> {
        step_one(self.doing, &mut self.transaction, query).await
    }
}
