//! The future calls of this service. The extension traits bring the accessors `.drip()` and `.digest()` into scope.

mod digest;
mod drip;

pub(crate) use self::digest::DIGEST;
pub use self::digest::{DigestCallsExt, DigestFutureCall};
pub use self::drip::{DripCallsExt, DripFutureCall, Mail, campaign};
