//! What handlers are lent: one value a type, given to the builder.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;

/// The pod's state, by type.
#[derive(Default)]
pub(crate) struct StateMap {
    by_type: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
}

impl StateMap {
    /// Keeps a value; a second one of its type replaces the first.
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.by_type.insert(TypeId::of::<T>(), Box::new(value));
    }

    /// The value of that type.
    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.by_type.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// Whether there is one.
    pub(crate) fn has(&self, type_id: TypeId) -> bool {
        self.by_type.contains_key(&type_id)
    }
}

impl fmt::Debug for StateMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateMap({} values)", self.by_type.len())
    }
}
