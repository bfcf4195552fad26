//! The position where a page of the listing ends.

use uuid::Uuid;

/// A position in the listing: that of a call, which may have moved since. Times are microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(super) id: Uuid,
    /// When the call is, or was, due.
    pub(super) due: i64,
    /// When it ended.
    pub(super) ended: Option<i64>,
}
