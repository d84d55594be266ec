//! [`SpriteSets`]: all sets of a renderer.

use std::{collections::BTreeMap, sync::Arc};

use super::{built_in::built_in, name::SetName, set::SpriteSet};

/// Most sets that an error names.
const MOST_NAMED: usize = 12;

/// The sets of a renderer: the built-in one, and those of a folder. A folder's set with the name of the built-in one takes its
/// place.
#[derive(Clone, Debug)]
pub struct SpriteSets {
    sets: BTreeMap<SetName, Arc<SpriteSet>>,
}

impl SpriteSets {
    /// The built-in set alone.
    pub fn built_in() -> SpriteSets {
        SpriteSets { sets: BTreeMap::from([(SetName::built_in(), Arc::new(built_in()))]) }
    }

    /// Adds a set, or puts it in the place of one with this name.
    pub(super) fn insert(&mut self, name: SetName, set: SpriteSet) {
        self.sets.insert(name, Arc::new(set));
    }

    /// The set with a name.
    pub fn get(&self, name: &SetName) -> Option<&Arc<SpriteSet>> {
        self.sets.get(name)
    }

    /// The set with a name, or the built-in one where there is none: a set may be gone when a stream goes on.
    pub(crate) fn get_or_built_in(&self, name: &SetName) -> (SetName, Arc<SpriteSet>) {
        let built_in = SetName::built_in();
        let name = if self.sets.contains_key(name) { name } else { &built_in };
        (name.clone(), Arc::clone(&self.sets[name]))
    }

    /// The names of all sets, in their order.
    pub fn names(&self) -> impl Iterator<Item = &SetName> {
        self.sets.keys()
    }

    /// The names of all sets, as part of a sentence.
    pub(crate) fn listed(&self) -> String {
        let names: Vec<&str> = self.names().take(MOST_NAMED).map(SetName::as_str).collect();
        match self.sets.len() - names.len() {
            0 => names.join(", "),
            others => format!("{} and {others} more", names.join(", ")),
        }
    }
}
