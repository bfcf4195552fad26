//! What a pod does with calls.

/// What a pod does with calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// Schedules and runs.
    #[default]
    Monolith,
    /// Schedules only, and starts no background work: for functions that live for one request.
    Serverless,
    /// Checks for broken calls, runs everything that is due once ([`Pod::run_due`](crate::Pod::run_due)), and ends: for a cron job.
    Maintenance,
}

impl Role {
    /// The word for it, as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Monolith => "monolith",
            Self::Serverless => "serverless",
            Self::Maintenance => "maintenance",
        }
    }
}
