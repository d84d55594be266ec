//! The viewers of one feed in one shard, in two halves: those that the pass which is on has yet to visit, and those it
//! need not, because it has or because they came later.

/// Keys of viewers, kept dense. A viewer's position changes when another goes; [`Moved`] says so.
#[derive(Debug, Default)]
pub(super) struct FeedViewers {
    viewers: Vec<u32>,
    /// The first so many are unvisited.
    unvisited: usize,
}

/// Viewers whose position has changed: key and new position.
pub(super) type Moved = [Option<(u32, u32)>; 2];

impl FeedViewers {
    pub(super) fn is_empty(&self) -> bool {
        self.viewers.is_empty()
    }

    /// Whether the pass has visited all.
    pub(super) fn visited(&self) -> bool {
        self.unvisited == 0
    }

    /// Begins a pass over all viewers there are now.
    pub(super) fn begin(&mut self) {
        self.unvisited = self.viewers.len();
    }

    /// The pass's next viewer, which counts as visited from now on.
    pub(super) fn next(&mut self) -> Option<u32> {
        self.unvisited = self.unvisited.checked_sub(1)?;
        Some(self.viewers[self.unvisited])
    }

    /// Adds a viewer among the visited, and gives its position.
    pub(super) fn add(&mut self, key: u32) -> u32 {
        self.viewers.push(key);
        (self.viewers.len() - 1) as u32
    }

    /// Takes the viewer at `position` out. The last of its half fills the gap, so nobody changes halves.
    pub(super) fn remove(&mut self, position: u32) -> Moved {
        let gap = position as usize;
        let mut moved = Moved::default();
        let last = self.viewers.len() - 1;
        let mut fill = |viewers: &mut Vec<u32>, from: usize, to: usize, note: usize| {
            if from != to {
                viewers[to] = viewers[from];
                moved[note] = Some((viewers[to], to as u32));
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
        Begin,
        Next,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => Just(Step::Add),
            2 => any::<usize>().prop_map(Step::Remove),
            1 => Just(Step::Begin),
            4 => Just(Step::Next),
        ];
        prop::collection::vec(step, 1..200)
    }

    proptest! {
        #[test]
        fn a_pass_visits_each_viewer_that_was_there_once(steps in steps()) {
            let mut roster = FeedViewers::default();
            let mut positions: HashMap<u32, u32> = HashMap::new();
            let mut due: HashSet<u32> = HashSet::new();
            for (key, step) in (0u32..).zip(steps) {
                match step {
                    Step::Add => {
                        positions.insert(key, roster.add(key));
                    }
                    Step::Remove(pick) if !positions.is_empty() => {
                        let mut keys: Vec<_> = positions.keys().copied().collect();
                        keys.sort_unstable();
                        let gone = keys[pick % keys.len()];
                        let moved = roster.remove(positions.remove(&gone).expect("it was picked from these"));
                        for (key, position) in moved.into_iter().flatten() {
                            // The second move may be of the one that has just gone's neighbour, never of the gone.
                            prop_assert_ne!(key, gone);
                            positions.insert(key, position);
                        }
                        due.remove(&gone);
                    }
                    Step::Remove(_) => {}
                    Step::Begin => {
                        roster.begin();
                        due = positions.keys().copied().collect();
                    }
                    Step::Next => match roster.next() {
                        Some(key) => prop_assert!(due.remove(&key), "visited twice or not due"),
                        None => prop_assert!(due.is_empty(), "left out"),
                    },
                }
                prop_assert_eq!(roster.visited(), due.is_empty());
                for (key, position) in &positions {
                    prop_assert_eq!(roster.viewers[*position as usize], *key);
                }
                prop_assert_eq!(roster.viewers.len(), positions.len());
            }
        }
    }
}
