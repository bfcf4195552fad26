//! Reads rows, column by column, in the same way for both SQL stores. A column that does not hold what it must is an error
//! that names it, and never a missing row.

use std::fmt;

use serde::de::DeserializeOwned;
use sqlx::{Column, ColumnIndex, Decode, Row, Type};
use uuid::Uuid;

use crate::error::StoreError;
use crate::id::{ActionId, CallId, PodId, ScheduleId};
use crate::moment::Moment;
use crate::store::Result;

/// A row of an answer.
#[derive(Debug)]
pub(super) struct StoredRow<R> {
    pub(super) row: R,
    /// What its statement does, as a fragment that fits "could not …".
    pub(super) doing: &'static str,
}

impl<R: Row> StoredRow<R>
where
    for<'c> &'c str: ColumnIndex<R>,
{
    /// Wraps the rows of a statement.
    pub(super) fn all(doing: &'static str, rows: Vec<R>) -> Vec<Self> {
        rows.into_iter().map(|row| Self { row, doing }).collect()
    }

    /// Reads a column as the driver does, for what only one of the databases has.
    pub(super) fn column<'r, T>(&'r self, column: &str) -> Result<T>
    where
        T: Decode<'r, R::Database> + Type<R::Database>,
    {
        self.row.try_get(column).map_err(|error| match error {
            // The driver's text may quote the value, and that may be an argument.
            sqlx::Error::ColumnDecode { .. } => self.misfit(column, "it is of another kind"),
            error => self.misfit(column, error),
        })
    }

    /// Says that a column holds what it cannot, without saying what.
    pub(super) fn misfit(&self, column: &str, why: impl fmt::Display) -> StoreError {
        let origin = self.row.try_column(column).map(Column::origin).unwrap_or_default();
        let column = match origin.table_column() {
            Some(origin) => format!("{}.{}", origin.table, origin.name),
            None => column.to_owned(),
        };
        let text = format!(
            "a row's column `{column}` holds what cannot stand there: {why}. Was the database edited by hand, or written \
             by another version?"
        );
        StoreError::permanent(self.doing, text)
    }
}

/// What both databases have in a column. `None` is NULL.
pub(super) trait Columns: Sized {
    fn uuid(&self, column: &str) -> Result<Option<Uuid>>;

    fn text(&self, column: &str) -> Result<Option<String>>;

    /// An integer of any width.
    fn number(&self, column: &str) -> Result<Option<i64>>;

    fn flag(&self, column: &str) -> Result<Option<bool>>;

    fn moment(&self, column: &str) -> Result<Option<Moment>>;

    /// An error that names the column.
    fn unfit(&self, column: &str, why: impl fmt::Display) -> StoreError;

    /// Reads a column that is never NULL.
    fn get<T: Value>(&self, column: &str) -> Result<T> {
        self.find(column)?.ok_or_else(|| self.unfit(column, "it is NULL"))
    }

    /// Reads a column that may be NULL.
    fn find<T: Value>(&self, column: &str) -> Result<Option<T>> {
        T::read(self, column)
    }

    /// Reads a column that holds JSON, or NULL.
    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>> {
        let value = self.text(column)?.map(|text| serde_json::from_str(&text)).transpose();
        // Without the parser's words, which quote what they stumble over.
        value.map_err(|_| self.unfit(column, "it is not the JSON that this version knows"))
    }
}

/// What a column is read as.
pub(super) trait Value: Sized {
    fn read(row: &impl Columns, column: &str) -> Result<Option<Self>>;
}

macro_rules! values {
    ($($type:ty: $read:ident),*) => {$(
        impl Value for $type {
            fn read(row: &impl Columns, column: &str) -> Result<Option<Self>> {
                row.$read(column)
            }
        }
    )*};
}

values!(Uuid: uuid, String: text, i64: number, bool: flag, Moment: moment);

macro_rules! ids {
    ($($id:ty),*) => {$(
        impl Value for $id {
            fn read(row: &impl Columns, column: &str) -> Result<Option<Self>> {
                Ok(row.uuid(column)?.map(Self::from_uuid))
            }
        }
    )*};
}

ids!(CallId, PodId, ScheduleId, ActionId);

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn read(row: &impl Columns, column: &str) -> Result<Option<Self>> {
                let number = row.number(column)?.map(Self::try_from).transpose();
                number.map_err(|error| row.unfit(column, error))
            }
        }
    )*};
}

numbers!(i16, i32, u32, u64, usize);
