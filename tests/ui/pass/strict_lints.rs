//! Generated items are documented, reachable or hidden, and free of what strict crates deny.
#![deny(
    elided_lifetimes_in_paths,
    missing_debug_implementations,
    missing_docs,
    non_ascii_idents,
    rust_2018_idioms,
    rustdoc::all,
    single_use_lifetimes,
    trivial_casts,
    unnameable_types,
    unreachable_pub,
    unused,
    unused_lifetimes,
    unused_qualifications,
    unused_results,
    warnings
)]
#![forbid(unsafe_code)]

use futurecall_runtime::prelude::*;

/// A type whose calls everybody may schedule.
#[derive(Debug)]
pub struct Public;

#[future_call]
impl Public {
    /// Greets.
    pub async fn hello(_session: &Session, _name: &str, _times: u32) {}

    /// Is never scheduled here.
    pub async fn unused(&self, _session: &Session) -> Result<(), BoxError> {
        Ok(())
    }

    #[doc(hidden)]
    pub async fn hidden(_session: &Session) {}
}

/// A public type whose calls only this crate may schedule.
#[derive(Debug)]
pub struct Internal;

#[future_call]
impl Internal {
    pub(crate) async fn hello(_session: &Session) {}
}

mod inner {
    use super::*;

    #[derive(Debug)]
    pub(super) struct Private;

    #[future_call]
    impl Private {
        pub(super) async fn hello(_session: &Session, _level: Level) {}
        pub(in crate::inner) async fn narrow(_session: &Session) {}
    }

    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    pub(super) struct Level;
}

fn main() {
    fn calls<C: futurecall_runtime::FutureCall>(name: &str) {
        assert_eq!(C::NAME, name);
    }
    calls::<Public>("public");
    calls::<Internal>("internal");
    calls::<inner::Private>("private");
    let _level = inner::Level;
}
