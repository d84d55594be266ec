//! [`Snapshot`]: the state of viewers at one moment, and what they have seen so far.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::Latencies;

/// The number of complaints kept as text; the rest are only counted.
pub(super) const COMPLAINTS_KEPT: usize = 20;

/// The state of viewers, and what they have seen.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// Viewers that have not yet tried to connect.
    pub waiting: usize,
    /// Viewers that have connected or sent their request, and not yet seen an image.
    pub asking: usize,
    /// Viewers with a live stream that have seen an image, those that stopped reading included.
    pub live: usize,
    /// Live viewers that have stopped reading on purpose.
    pub stalled: usize,
    /// Viewers that left on purpose.
    pub left: usize,
    /// Streams that ended with the closing boundary.
    pub ended: usize,
    /// Those of them whose last picture was marked as stale, as the last one of a planned end is.
    pub ended_marked: usize,
    /// Streams that ended between two images, without the closing boundary.
    pub closed: usize,
    /// Streams that ended within an image.
    pub cut: usize,
    /// Streams, or attempts at one, that ended by an error of the socket.
    pub failed: usize,
    /// Answers other than 200, by status.
    pub refused: BTreeMap<u16, usize>,
    /// Streams in which something was broken: framing, image, stamp, or order.
    pub broken: usize,
    /// The first complaints, as text.
    pub complaints: Vec<String>,
    /// Parts read.
    pub parts: u64,
    /// Body bytes read.
    pub bytes: u64,
    /// How many live viewers show which number.
    pub showing: BTreeMap<u64, usize>,
    /// Live viewers whose picture is marked as stale.
    pub stale: usize,
    /// The lowest number shown to any viewer since the extremes were last forgotten.
    pub lowest: Option<u64>,
    /// The highest such number.
    pub highest: Option<u64>,
    /// The newest state seen, by (epoch, version).
    pub newest: (u64, u64),
    /// From a viewer's request to its first image.
    pub first_image: Latencies,
    /// From the moment of the mark until each viewer showed the mark's number.
    pub marked: Latencies,
    /// What the track recorded.
    pub track: Option<Tracked>,
}

/// Joins or leaves, and when the others saw them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tracked {
    /// For each pair of a change and a viewer: the time from the change until the viewer's number included it.
    pub pairs: Latencies,
    /// For each change that all have seen: the time until the last of them had.
    pub last: Latencies,
    /// Changes made.
    pub changes: usize,
}

impl Snapshot {
    /// The number that all live viewers show; `None` if they differ or there are none.
    pub fn unanimous(&self) -> Option<u64> {
        match self.showing.first_key_value() {
            Some((number, viewers)) if self.showing.len() == 1 && *viewers == self.live => Some(*number),
            _ => None,
        }
    }

    /// Streams that ended although the viewer did not leave, for any cause.
    pub fn lost(&self) -> usize {
        self.ended + self.closed + self.cut + self.failed + self.refused.values().sum::<usize>() + self.broken
    }

    /// Adds the figures of other viewers to these.
    pub fn merge(&mut self, other: Self) {
        self.waiting += other.waiting;
        self.asking += other.asking;
        self.live += other.live;
        self.stalled += other.stalled;
        self.left += other.left;
        self.ended += other.ended;
        self.ended_marked += other.ended_marked;
        self.closed += other.closed;
        self.cut += other.cut;
        self.failed += other.failed;
        for (status, count) in other.refused {
            *self.refused.entry(status).or_default() += count;
        }
        self.broken += other.broken;
        self.complaints.extend(other.complaints);
        self.complaints.truncate(COMPLAINTS_KEPT);
        self.parts += other.parts;
        self.bytes += other.bytes;
        for (number, viewers) in other.showing {
            *self.showing.entry(number).or_default() += viewers;
        }
        self.stale += other.stale;
        self.lowest = [self.lowest, other.lowest].into_iter().flatten().min();
        self.highest = self.highest.max(other.highest);
        self.newest = self.newest.max(other.newest);
        self.first_image.merge(&other.first_image);
        self.marked.merge(&other.marked);
        if let Some(tracked) = other.track {
            let track = self.track.get_or_insert_default();
            track.pairs.merge(&tracked.pairs);
            track.last.merge(&tracked.last);
            track.changes += tracked.changes;
        }
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} live", self.live)?;
        for (count, what) in [
            (self.waiting, "waiting"),
            (self.asking, "asking"),
            (self.stalled, "stalled"),
            (self.stale, "stale"),
            (self.ended, "ended"),
            (self.ended_marked, "of them marked"),
            (self.closed, "closed"),
            (self.cut, "cut"),
            (self.failed, "failed"),
            (self.broken, "broken"),
        ] {
            if count > 0 {
                write!(out, ", {count} {what}")?;
            }
        }
        for (status, count) in &self.refused {
            write!(out, ", {count} refused with {status}")?;
        }
        let shown: Vec<String> =
            self.showing.iter().take(8).map(|(number, viewers)| format!("{number} by {viewers}")).collect();
        let more = if self.showing.len() > 8 { ", …" } else { "" };
        write!(out, "; shown: {}{more}", if shown.is_empty() { "nothing".into() } else { shown.join(", ") })?;
        for complaint in self.complaints.iter().take(3) {
            write!(out, "; {complaint}")?;
        }
        Ok(())
    }
}
