//! The viewers of one feed in one shard, in two parts: those that the current pass has yet to visit, and those that it has
//! visited or that joined later.

/// A dense list of viewers' keys. A viewer's position may change when another is removed; see [`Moved`].
#[derive(Debug, Default)]
pub(super) struct FeedViewers {
    viewers: Vec<u32>,
    /// The number of unvisited viewers; they come first.
    unvisited: usize,
}

/// Viewers whose position has changed: their keys and new positions.
pub(super) type Moved = [Option<(u32, u32)>; 2];

impl FeedViewers {
    pub(super) fn is_empty(&self) -> bool {
        self.viewers.is_empty()
    }

    /// Whether the pass has visited all viewers.
    pub(super) fn all_visited(&self) -> bool {
        self.unvisited == 0
    }

    /// Starts a pass over all current viewers.
    pub(super) fn start_pass(&mut self) {
        self.unvisited = self.viewers.len();
    }

    /// The pass's next viewer, who counts as visited from now on.
    pub(super) fn next(&mut self) -> Option<u32> {
        self.unvisited = self.unvisited.checked_sub(1)?;
        Some(self.viewers[self.unvisited])
    }

    /// Adds a viewer to the visited ones. Returns its position.
    pub(super) fn add(&mut self, key: u32) -> u32 {
        self.viewers.push(key);
        (self.viewers.len() - 1) as u32
    }

    /// Removes the viewer at `position`. The last viewer of the same part takes its place, so no other changes parts.
    pub(super) fn remove(&mut self, position: u32) -> Moved {
        let gap = position as usize;
        let mut moved = Moved::default();
        let last = self.viewers.len() - 1;
        let mut fill = |viewers: &mut Vec<u32>, from: usize, to: usize, index: usize| {
            if from != to {
                viewers[to] = viewers[from];
                moved[index] = Some((viewers[to], to as u32));
            }
        };
        if gap < self.unvisited {
            self.unvisited -= 1;
            fill(&mut self.viewers, self.unvisited, gap, 0);
            fill(&mut self.viewers, last, self.unvisited, 1);
        } else {
            fill(&mut self.viewers, last, gap, 0);
        }
        self.viewers.pop();
        moved
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Add,
        Remove(usize),
        StartPass,
        Next,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => Just(Step::Add),
            2 => any::<usize>().prop_map(Step::Remove),
            1 => Just(Step::StartPass),
            4 => Just(Step::Next),
        ];
        prop::collection::vec(step, 1..200)
    }

    proptest! {
        #[test]
        fn a_pass_visits_each_viewer_that_was_there_once(steps in steps()) {
            let mut list = FeedViewers::default();
            let mut positions: HashMap<u32, u32> = HashMap::new();
            let mut unvisited: HashSet<u32> = HashSet::new();
            for (key, step) in (0u32..).zip(steps) {
                match step {
                    Step::Add => {
                        positions.insert(key, list.add(key));
                    }
                    Step::Remove(pick) if !positions.is_empty() => {
                        let mut keys: Vec<_> = positions.keys().copied().collect();
                        keys.sort_unstable();
                        let removed = keys[pick % keys.len()];
                        let moved = list.remove(positions.remove(&removed).expect("it was picked from these"));
                        for (key, position) in moved.into_iter().flatten() {
                            // The removed viewer itself never moves.
                            prop_assert_ne!(key, removed);
                            positions.insert(key, position);
                        }
                        unvisited.remove(&removed);
                    }
                    Step::Remove(_) => {}
                    Step::StartPass => {
                        list.start_pass();
                        unvisited = positions.keys().copied().collect();
                    }
                    Step::Next => match list.next() {
                        Some(key) => prop_assert!(unvisited.remove(&key), "visited twice, or joined during the pass"),
                        None => prop_assert!(unvisited.is_empty(), "not visited"),
                    },
                }
                prop_assert_eq!(list.all_visited(), unvisited.is_empty());
                for (key, position) in &positions {
                    prop_assert_eq!(list.viewers[*position as usize], *key);
                }
                prop_assert_eq!(list.viewers.len(), positions.len());
            }
        }
    }
}
