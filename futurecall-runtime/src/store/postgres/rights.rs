//! What the database role may see. (`migrations/roles.sql` has the roles; what a role may not do, the server refuses.)

use super::PostgresStore;

use super::sql::Query;
use crate::store::Result;
use crate::store::columns::Columns as _;

const DOING: &str = "ask what the database role may see";

const SEES_ARGUMENTS: &str = "
    SELECT has_column_privilege('futurecall.call', 'args', 'SELECT')
        AND has_column_privilege('futurecall.finished', 'args', 'SELECT')
        AND has_column_privilege('futurecall.schedule', 'args', 'SELECT') AS sees";

impl PostgresStore {
    /// The statement of a template that shows rows to people: without arguments where the role may not read them.
    pub(super) async fn shown(&self, template: &str) -> Result<Query> {
        if self.sees().await? {
            return Ok(self.composed(template));
        }
        let columns = ["c.args::text", "f.args::text", "s.args::text"];
        let blind = columns.iter().fold(template.to_owned(), |sql, args| sql.replace(args, "''::text"));
        Ok(self.composed(&blind))
    }

    /// Whether the role may read arguments; asked once.
    pub(super) async fn sees(&self) -> Result<bool> {
        self.sees_arguments.get_or_try_init(|| self.ask_what_it_sees()).await.copied()
    }

    async fn ask_what_it_sees(&self) -> Result<bool> {
        self.read_one(DOING, self.query(SEES_ARGUMENTS)).await?.get("sees")
    }
}
