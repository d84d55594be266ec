//! Reads a counter's past from Redis: `keys.rs` describes how it is stored, and `src/lua/history.lua` writes it.

use headcount_wire::history::Span;
use redis::Value;

use crate::history::recorder::{PeakAt, Recorder, Slice};
use crate::history::ring::{DAYS, MINUTES, QUARTERS, Ring, Running, SLOT_BYTES, Shape};
use crate::settings::Timing;

/// Bytes of a number in the head.
const NUMBER_BYTES: usize = 8;

/// Numbers of the head before the slices, of a slice, and slices at most.
const FIXED: usize = 21;
const SLICE: usize = 5;
const MAX_SLICES: usize = 12;

/// Bytes before the rings.
pub(super) const HEAD_BYTES: usize = (FIXED + SLICE * MAX_SLICES) * NUMBER_BYTES;

/// Where the head says when the count was last confirmed.
pub(super) const CONFIRMED_AT: usize = 6 * NUMBER_BYTES;

/// The format of the head.
const FORMAT: f64 = 1.0;

/// The rings in the order in which they are stored.
const RINGS: [Shape; 3] = [MINUTES, QUARTERS, DAYS];

/// Where the ring of a span is stored.
pub(super) fn ring_of(span: Span) -> std::ops::Range<usize> {
    let mut start = HEAD_BYTES;
    for shape in &RINGS[..index_of(span)] {
        start += shape.size * SLOT_BYTES;
    }
    start..start + RINGS[index_of(span)].size * SLOT_BYTES
}

fn index_of(span: Span) -> usize {
    match span {
        Span::Hour | Span::Day => 0,
        Span::Month => 1,
        Span::Year | Span::All => 2,
    }
}

/// A history and the counter's state, as they are stored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StoredHistory {
    /// Redis's clock.
    now: u64,
    /// The published count.
    pub(super) count: u64,
    /// When it was last confirmed. `None` if there is no state.
    published: Option<u64>,
    /// `None` if there is no history.
    head: Option<Vec<f64>>,
    ring: Vec<u8>,
}

impl StoredHistory {
    /// Parses the reply of the script. `None` if it has another form.
    pub(super) fn parse(value: Value) -> Option<StoredHistory> {
        let (now, exists, count, published, _settle, head, ring): (u64, u8, u64, u64, u64, Vec<u8>, Vec<u8>) =
            redis::from_redis_value(value).ok()?;
        let head =
            head.chunks_exact(NUMBER_BYTES).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap_or_default()));
        let head: Vec<f64> = head.collect();
        let is_known = head.len() == HEAD_BYTES / NUMBER_BYTES && head[0] == FORMAT;
        let published = (exists == 1).then_some(published);
        Some(StoredHistory { now, count, published, head: is_known.then_some(head), ring })
    }

    /// The past up to now, of which only the ring of this span is complete.
    pub(super) fn recorder(self, span: Span, timing: &Timing) -> Recorder {
        let StoredHistory { now, published, head, ring, .. } = self;
        let Some(head) = head else { return Recorder::new(now) };
        let time = |number: f64| number.max(0.0) as u64;
        let count = |number: f64| (number >= 0.0).then_some(number as u64);
        let running = |of: &[f64]| Running { integral: of[0], known: time(of[1]), highest: count(of[2]) };
        let peak = |of: &[f64]| count(of[0]).map(|count| PeakAt { count, at: time(of[1]) });
        let rings = std::array::from_fn(|index| {
            let bytes = if index == index_of(span) { ring.as_slice() } else { &[] };
            Ring::stored(bytes, running(&head[7 + 3 * index..]))
        });
        let mut recorder = Recorder::stored(time(head[2]), rings, peak(&head[16..]), peak(&head[18..]));
        let slices = (head[FIXED - 1].max(0.0) as usize).min(MAX_SLICES);
        for slice in head[FIXED..].chunks_exact(SLICE).take(slices) {
            recorder.add(Slice { to: time(slice[0]), held: running(&slice[1..]), highest_at: time(slice[4]) });
        }
        let (at, is_idle, confirmed) = (time(head[3]), head[5] == 1.0, time(head[6]));
        recorder.record(at, count(head[4]));
        // As in known_until in prelude.lua.
        let known = match published {
            _ if is_idle => now,
            Some(published) if now.saturating_sub(published) > timing.lease.as_millis() as u64 => published,
            Some(_) => now,
            None => confirmed,
        };
        recorder.known_until(known, now);
        recorder.advance(now);
        recorder
    }
}
