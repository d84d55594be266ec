//! [`Statistics`]: what viewers see, updated with each picture in constant time.

use super::{
    command::{Direction, Goal},
    pictures::{Freshness, Shown},
    snapshot::{Snapshot, Tracked},
};
use crate::clock::between;

#[derive(Default)]
pub(super) struct Statistics {
    pub(super) snapshot: Snapshot,
    mark: Option<Mark>,
    track: Option<Track>,
}

/// A number that is due everywhere.
struct Mark {
    number: u64,
    since_ns: u64,
}

/// Joins or leaves in progress.
struct Track {
    base: u64,
    direction: Direction,
    /// Viewers below this ordinal watch; those above come and go.
    watchers: u32,
    changes: Vec<Change>,
    tracked: Tracked,
}

/// One join or leave: when it was made, and how many watchers' numbers include it already.
struct Change {
    made_ns: u64,
    seen: u32,
}

impl Statistics {
    pub(super) fn mark(&mut self, number: u64, since_ns: u64) {
        self.mark = Some(Mark { number, since_ns });
        self.snapshot.marked = Default::default();
    }

    /// Begins a track; the distributions of an earlier one are kept and added to.
    pub(super) fn track(&mut self, base: u64, direction: Direction, watchers: u32) {
        let tracked = self.track.take().map(|track| track.tracked).unwrap_or_default();
        self.track = Some(Track { base, direction, watchers, changes: Vec::new(), tracked });
    }

    /// A join or leave was made at `now_ns`.
    pub(super) fn changed(&mut self, direction: Direction, now_ns: u64) {
        if let Some(track) = &mut self.track
            && track.direction == direction
        {
            track.changes.push(Change { made_ns: now_ns, seen: 0 });
            track.tracked.changes += 1;
        }
    }

    /// Viewer `ordinal` was shown `now` after `before`.
    pub(super) fn saw(&mut self, ordinal: u32, before: Option<Shown>, now: Shown, now_ns: u64) {
        let snapshot = &mut self.snapshot;
        snapshot.parts += 1;
        snapshot.newest = snapshot.newest.max((now.epoch, now.version));
        let before_number = before.and_then(|shown| shown.number);
        if let Some(before) = before {
            forget(snapshot, before);
        }
        if now.freshness == Freshness::Stale {
            snapshot.stale += 1;
        }
        let Some(number) = now.number else { return };
        *snapshot.showing.entry(number).or_default() += 1;
        snapshot.lowest = Some(snapshot.lowest.map_or(number, |lowest| lowest.min(number)));
        snapshot.highest = snapshot.highest.max(Some(number));
        if before_number == Some(number) {
            return;
        }
        if let Some(mark) = &self.mark
            && mark.number == number
        {
            snapshot.marked.record(between(mark.since_ns, now_ns));
        }
        if let (Some(track), Some(before)) = (&mut self.track, before_number) {
            track.saw(ordinal, before, number, now_ns);
        }
    }

    /// A viewer that showed `last` has gone.
    pub(super) fn gone(&mut self, last: Option<Shown>) {
        if let Some(last) = last {
            forget(&mut self.snapshot, last);
        }
    }

    pub(super) fn forget_extremes(&mut self) {
        self.snapshot.lowest = self.snapshot.showing.first_key_value().map(|(number, _)| *number);
        self.snapshot.highest = self.snapshot.showing.last_key_value().map(|(number, _)| *number);
    }

    pub(super) fn reached(&self, goal: Goal) -> bool {
        let snapshot = &self.snapshot;
        let opened = snapshot.waiting + snapshot.asking == 0;
        match goal {
            Goal::Opened => opened,
            Goal::Number(number) => opened && (snapshot.live == 0 || snapshot.unanimous() == Some(number)),
            Goal::AtMostLive(viewers) => opened && snapshot.live <= viewers,
            Goal::Parts(parts) => snapshot.parts >= parts,
            Goal::Stale(viewers) => snapshot.stale >= viewers,
            Goal::NoneStale => snapshot.stale == 0,
            Goal::Other(number) => snapshot.live > 0 && snapshot.unanimous() != Some(number),
        }
    }

    /// The figures now.
    pub(super) fn read(&self) -> Snapshot {
        Snapshot { track: self.track.as_ref().map(|track| track.tracked.clone()), ..self.snapshot.clone() }
    }
}

fn forget(snapshot: &mut Snapshot, shown: Shown) {
    if shown.freshness == Freshness::Stale {
        snapshot.stale -= 1;
    }
    if let Some(number) = shown.number
        && let Some(viewers) = snapshot.showing.get_mut(&number)
    {
        *viewers -= 1;
        if *viewers == 0 {
            snapshot.showing.remove(&number);
        }
    }
}

impl Track {
    fn saw(&mut self, ordinal: u32, before: u64, now: u64, now_ns: u64) {
        if ordinal >= self.watchers {
            return;
        }
        // How many changes a number includes.
        let included = |number: u64| match self.direction {
            Direction::Joins => number.saturating_sub(self.base),
            Direction::Leaves => self.base.saturating_sub(number),
        };
        let until = usize::try_from(included(now)).unwrap_or(usize::MAX).min(self.changes.len());
        let from = usize::try_from(included(before)).unwrap_or(usize::MAX).min(until);
        for change in &mut self.changes[from..until] {
            let time = between(change.made_ns, now_ns);
            self.tracked.pairs.record(time);
            change.seen += 1;
            if change.seen == self.watchers {
                self.tracked.last.record(time);
            }
        }
    }
}
