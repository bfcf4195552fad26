//! Where a page of the listing ends.

use uuid::Uuid;

/// A place in the listing: where a call stands, or stood. Moments are microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(super) id: Uuid,
    /// When the call is, or was, due.
    pub(super) due: i64,
    /// When it ended.
    pub(super) ended: Option<i64>,
}
