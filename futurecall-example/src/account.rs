//! The account table.

use crate::database::{Database, on_pool};

/// An account.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its number.
    pub id: i64,
    /// The name.
    pub name: String,
    /// The mail address.
    pub email: String,
    /// When they signed up, in microseconds since 1970.
    pub signed_up: i64,
    /// When they unsubscribed, in microseconds since 1970.
    pub unsubscribed: Option<i64>,
}

impl Account {
    /// Returns an account.
    ///
    /// # Errors
    ///
    /// If the database fails.
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

/// Returns the identifier of all calls of an account, by which they are cancelled together.
pub(crate) fn identifier(id: i64) -> String {
    format!("account:{id}")
}
