//! The shape of a call: what a release stores and reads of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a release stores and reads of one call: its parameters, in their order.
///
/// Pods publish the shapes of the calls that they run. Two releases whose shapes of a name differ may be unable to read
/// each other's arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Shape {
    /// The parameters that are stored, in the order of the method.
    pub parameters: Vec<ShapeParameter>,
}

/// One stored parameter of a [`Shape`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ShapeParameter {
    /// Its key in the stored object.
    pub key: String,
    /// Whether it may be missing: it has a default, or is an `Option`.
    #[serde(default)]
    pub optional: bool,
    /// Older keys that are read as well.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Its type, as the compiler names it: another compiler may name it otherwise. What its fields are is not said.
    #[serde(default)]
    pub ty: String,
}

/// All shapes of one pod, by stored name.
pub(crate) type Shapes = BTreeMap<String, Shape>;

impl Shape {
    /// Returns a shape of these parameters.
    pub fn new(parameters: Vec<ShapeParameter>) -> Self {
        Self { parameters }
    }

    /// Every text in it.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &String> {
        self.parameters.iter().flat_map(|one| [&one.key, &one.ty].into_iter().chain(&one.aliases))
    }

    /// Returns the number by which databases know this shape: equal shapes have equal hashes, in every release.
    pub fn hash(&self) -> i64 {
        hash_of(self)
    }
}

impl ShapeParameter {
    /// Returns a parameter that is always stored under this key.
    pub fn new(key: impl Into<String>, ty: impl Into<String>) -> Self {
        Self { key: key.into(), optional: false, aliases: Vec::new(), ty: ty.into() }
    }
}

/// Returns the number by which databases know these shapes together.
pub(crate) fn hash_of_all(shapes: &Shapes) -> i64 {
    hash_of(shapes)
}

/// The first half of the SHA-1 of the value as JSON (a name-based UUID, version 5), which no release changes.
fn hash_of(value: &impl Serialize) -> i64 {
    let text = serde_json::to_vec(value).unwrap_or_default();
    Uuid::new_v5(&Uuid::NAMESPACE_OID, &text).as_u64_pair().0.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_tells_shapes_apart_and_never_changes() {
        let shape = |key: &str, aliases: &[&str]| {
            let aliases = aliases.iter().map(|&alias| alias.to_owned()).collect();
            Shape::new(vec![ShapeParameter { aliases, ..ShapeParameter::new(key, "i64") }])
        };
        let hashes =
            [shape("user", &[]), shape("account", &[]), shape("account", &["user"]), Shape::default()]
                .map(|shape| shape.hash());
        let distinct: std::collections::BTreeSet<_> = hashes.into_iter().collect();
        assert_eq!(distinct.len(), 4);
        // What databases hold already would no longer be known by it.
        assert_eq!(shape("user", &[]).hash(), HASH);
    }

    const HASH: i64 = 7_803_627_618_315_621_242;
}
