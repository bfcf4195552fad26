//! What handlers are lent: one value a type, given to the builder.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;

use crate::error::StartError;

/// The pod's state, by type.
#[derive(Default)]
pub(crate) struct StateMap {
    by_type: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
    /// The types of values that took the place of another, by name.
    twice: Vec<&'static str>,
}

impl StateMap {
    /// Keeps a value. A second one of its type is for [`check`](Self::check) to refuse.
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        let before = self.by_type.insert(TypeId::of::<T>(), Box::new(value));
        if before.is_some() && !self.twice.contains(&type_name::<T>()) {
            self.twice.push(type_name::<T>());
        }
    }

    /// Refuses two values of one type: a handler could not know which of them it is lent.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        if self.twice.is_empty() {
            return Ok(());
        }
        Err(StartError::StateTwice { types: self.twice.iter().map(|&name| name.to_owned()).collect() })
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
