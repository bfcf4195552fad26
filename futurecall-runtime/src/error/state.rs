/// State that a handler asked for and `PodBuilder::state` was not given.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pod has no state of type `{type_name}`: give it with `Pod::builder().state(value)`")]
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

crate::words::debug_in_words!(MissingState);
