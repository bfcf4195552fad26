//! Who may do what.

use std::fmt;

use axum::http::request::Parts;

/// One thing that a visitor may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Right {
    /// Open the dashboard. Without it, every page is refused.
    View,
    /// Read the arguments of calls, as far as [`Arguments`] lets anybody read them, and the logs of their
    /// runs, which may quote them.
    SeeArguments,
    /// Cancel calls.
    Cancel,
    /// Move calls to another moment.
    Reschedule,
    /// Make calls due now.
    RunNow,
    /// Run finished calls again.
    RunAgain,
    /// Delete finished calls.
    Delete,
    /// Pause, resume, edit, end and trigger schedules.
    Schedules,
    /// Pause and resume call types.
    Names,
}

impl Right {
    /// All rights.
    pub const ALL: [Self; 9] = [
        Self::View,
        Self::SeeArguments,
        Self::Cancel,
        Self::Reschedule,
        Self::RunNow,
        Self::RunAgain,
        Self::Delete,
        Self::Schedules,
        Self::Names,
    ];

    const fn bit(self) -> u16 {
        1 << self as u16
    }

    /// Whether it changes anything.
    const fn writes(self) -> bool {
        !matches!(self, Self::View | Self::SeeArguments)
    }
}

/// What the dashboard shows of the arguments of calls, to visitors with [`Right::SeeArguments`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arguments {
    /// Nothing, to nobody; no logs of runs either, which may quote them.
    Hidden,
    /// All but the parameters that code marks with `#[future_call(redact)]`. The default. What no pod of the last day has
    /// said is not known: of calls whose names nobody runs, everything is hidden.
    #[default]
    Redacted,
    /// All, marked parameters too.
    Shown,
}

/// What an [`Authorizer`] answers: who the visitor is, and what they may do.
///
/// ```
/// use futurecall_dashboard::{Access, Right};
/// let access = Access::viewer("ada").with(Right::Cancel);
/// assert!(access.allows(Right::View) && access.allows(Right::Cancel));
/// assert!(!access.allows(Right::SeeArguments) && !access.allows(Right::Delete));
/// assert_eq!(access.actor(), "ada");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    actor: String,
    rights: u16,
}

impl Access {
    /// Refuses every page.
    pub const fn refused() -> Self {
        Self { actor: String::new(), rights: 0 }
    }

    /// Lets a visitor look, without arguments. When the database fails, a visitor without a right to change anything reads a
    /// reference number; what the database said is logged under that number (`tracing`, level warn).
    pub fn viewer(actor: impl fmt::Display) -> Self {
        Self { actor: actor.to_string(), rights: 0 }.with(Right::View)
    }

    /// May do everything.
    pub fn operator(actor: impl fmt::Display) -> Self {
        Right::ALL.into_iter().fold(Self::viewer(actor), Self::with)
    }

    /// The same visitor with one right more.
    #[must_use]
    pub fn with(mut self, right: Right) -> Self {
        self.rights |= right.bit();
        self
    }

    /// The same visitor without that right.
    #[must_use]
    pub fn without(mut self, right: Right) -> Self {
        self.rights &= !right.bit();
        self
    }

    /// Returns whether the visitor may do that.
    pub const fn allows(&self, right: Right) -> bool {
        self.rights & right.bit() != 0
    }

    /// Returns the visitor's name, which is recorded with every action.
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// The same visitor, who can only look.
    pub(crate) fn read_only(self) -> Self {
        Right::ALL.into_iter().filter(|right| right.writes()).fold(self, Self::without)
    }

    /// Whether anything can be changed.
    pub(crate) fn changes_anything(&self) -> bool {
        Right::ALL.into_iter().any(|right| right.writes() && self.allows(right))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rights: Vec<_> = Right::ALL.into_iter().filter(|right| self.allows(*right)).collect();
        f.debug_struct("Access").field("actor", &self.actor).field("rights", &rights).finish()
    }
}

/// Says who a visitor is. Any `Fn(&Parts) -> Access` is one.
///
/// It is asked with every request, before anything else, and does not wait: let a middleware of yours look up the session
/// in its own time, put the user into the request's extensions, and read them here.
///
/// ```
/// use axum::http::request::Parts;
/// use futurecall_dashboard::{Access, Authorizer};
///
/// #[derive(Clone)]
/// struct User { name: String, admin: bool }
///
/// fn authorize(request: &Parts) -> Access {
///     match request.extensions.get::<User>() {
///         Some(user) if user.admin => Access::operator(&user.name),
///         Some(user) => Access::viewer(&user.name),
///         None => Access::refused(),
///     }
/// }
/// # fn is_one(_: impl Authorizer) {}
/// # is_one(authorize);
/// ```
pub trait Authorizer: Send + Sync + 'static {
    /// Who sends this request, and what they may do.
    fn authorize(&self, request: &Parts) -> Access;
}

impl<F: Fn(&Parts) -> Access + Send + Sync + 'static> Authorizer for F {
    fn authorize(&self, request: &Parts) -> Access {
        self(request)
    }
}
