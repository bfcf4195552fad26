use std::fmt;

/// State that a handler asked for and `PodBuilder::state` was not given.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingState {
    /// The type that was asked for.
    pub type_name: &'static str,
}

impl MissingState {
    pub(crate) fn of<T>() -> Self {
        Self { type_name: std::any::type_name::<T>() }
    }
}

impl fmt::Display for MissingState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the pod has no state of type `{}`: give it with `Pod::builder().state(value)`",
            self.type_name
        )
    }
}

crate::words::debug_in_words!(MissingState);

impl std::error::Error for MissingState {}
