//! The account table.

use crate::database::{Database, on_pool};

/// Somebody who signed up.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its number.
    pub id: i64,
    /// What to call them.
    pub name: String,
    /// Where to write to.
    pub email: String,
    /// When they signed up, in microseconds since 1970.
    pub signed_up: i64,
    /// When they had enough, in microseconds since 1970.
    pub unsubscribed: Option<i64>,
}

impl Account {
    /// The account of that number.
    ///
    /// # Errors
    ///
    /// What the database said.
    pub async fn find(database: &Database, id: i64) -> Result<Option<Self>, sqlx::Error> {
        const FIND: &str = "SELECT id, name, email, signed_up, unsubscribed FROM account WHERE id = $1";
        type Row = (i64, String, String, i64, Option<i64>);
        let row: Option<Row> =
            on_pool!(database, pool => sqlx::query_as(FIND).bind(id).fetch_optional(pool).await)?;
        Ok(row.map(|(id, name, email, signed_up, unsubscribed)| Self {
            id,
            name,
            email,
            signed_up,
            unsubscribed,
        }))
    }
}

/// The label of everything that is scheduled for an account: by it, one request cancels all that is still to come.
pub(crate) fn identifier(id: i64) -> String {
    format!("account:{id}")
}
