//! The pieces of work that Futurecall and its peers are compared by. Each peer is a [`Peer`] in a program of its own,
//! which does one piece on an empty database and prints one line of JSON; so is Futurecall itself, whose figures these
//! same lines of code measure.
//!
//! Measured is what users wait for: calls stored, handlers' first lines, outcomes stored. Nothing that a peer says of
//! itself is believed, but for how many of its calls it has [left](Peer::left).

mod figure;
mod log;
mod order;
mod work;

use std::error::Error;
use std::sync::Arc;
use std::time::SystemTime;

pub use self::log::Log;
pub use self::order::{Order, Settings, Work};
pub use self::work::run;

/// What any peer may fail with.
pub type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Something that stores calls in a database and runs them later.
pub trait Peer: Sized + Send + Sync + 'static {
    /// With its version.
    const NAME: &'static str;

    /// Opens a database that is empty, and makes what it needs there. Calls can be stored after that; none runs.
    fn open(order: &Order) -> impl Future<Output = Result<Self>>;

    /// How it is set, in one line for the table's reader. Nothing that says how good that is.
    fn settings(order: &Order) -> String;

    /// Why it cannot do a piece of work, if so.
    fn lacks(work: Work) -> Option<&'static str> {
        let _ = work;
        None
    }

    /// Stores one call, for one of several callers who do so at once. Done when it would survive.
    fn enqueue(&self, caller: usize, call: Call) -> impl Future<Output = Result> + Send;

    /// Stores many calls, in the fastest way that it has. Done when they would survive.
    fn bulk(&self, calls: Vec<Call>) -> impl Future<Output = Result>;

    /// Begins to run calls. Each handler does nothing but [`Log::ran`].
    fn work(&mut self, log: Arc<Log>) -> impl Future<Output = Result>;

    /// How many calls have no outcome in the database yet.
    fn left(&self) -> impl Future<Output = Result<u64>>;
}

/// A call to be stored. Its handler is told the number, and its payload is nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Counted from zero within one piece of work.
    pub number: u32,
    /// When it is to run.
    pub due: Due,
}

/// When a call is to run.
#[derive(Clone, Copy, Debug)]
pub enum Due {
    /// At once.
    Now,
    /// Then; whole microseconds since the epoch.
    At(SystemTime),
}
