//! [`Truth`]: how many viewers and visitors each counter has had at each moment, as far as that is certain.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use parking_lot::Mutex;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Measure {
    Viewers,
    Visitors,
}

/// The lowest and the highest number that may be true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) low: u64,
    pub(super) high: u64,
}

/// The bounds from a moment on, in seconds since the beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) at: f64,
    viewers: Bounds,
    visitors: Bounds,
}

impl Point {
    pub(super) fn bounds(&self, measure: Measure) -> Bounds {
        match measure {
            Measure::Viewers => self.viewers,
            Measure::Visitors => self.visitors,
        }
    }
}

/// A change is shown within this time, and not in the order of changes at other nodes.
pub(super) const PUSH: f64 = 0.25;

/// The viewers of a node that is cut off are counted no longer than this, before it is divided by the scale: the promise.
const EVICTED: f64 = 10.0;

/// A stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    counter: usize,
    number: u64,
}

/// What happens to the streams of a counter.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// From now on the stream may count.
    Requested { node: usize, visitor: u32 },
    /// It counts for certain.
    Counts,
    /// It need not count any more.
    Closed,
    /// It does not count.
    Gone,
    /// The streams of a node may or may not count: it is cut off, or is being stopped.
    Doubted { node: usize },
    /// The lease of a node that is cut off has ended: those that have left since cannot count any more.
    Evicted { node: usize },
    /// They count again.
    Trusted { node: usize },
}

#[derive(Debug, Default)]
struct Inner {
    /// For each counter, the events with their times and streams.
    counters: Vec<Vec<(f64, u64, Event)>>,
    last: u64,
}

/// The truth of all counters, from the client's side: streams that are open.
#[derive(Debug)]
pub(super) struct Truth {
    begun: Instant,
    /// After a node is cut off, the seconds in which its viewers may count although they have left.
    evicted: f64,
    inner: Mutex<Inner>,
}

impl Truth {
    /// The nodes' times are divided by `scale`.
    pub(super) fn new(counters: usize, scale: f64) -> Self {
        let inner = Inner { counters: vec![Vec::new(); counters], last: 0 };
        Self { begun: Instant::now(), evicted: EVICTED / scale, inner: Mutex::new(inner) }
    }

    /// Seconds since the beginning.
    pub(super) fn now(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// A stream is requested.
    pub(super) fn opening(&self, counter: usize, node: usize, visitor: u32) -> Member {
        let mut inner = self.inner.lock();
        inner.last += 1;
        let member = Member { counter, number: inner.last };
        inner.counters[counter].push((self.now(), member.number, Event::Requested { node, visitor }));
        member
    }

    /// It has shown a picture, and counts.
    pub(super) fn opened(&self, Member { counter, number }: Member) {
        self.inner.lock().counters[counter].push((self.now() + PUSH, number, Event::Counts));
    }

    /// It has ended.
    pub(super) fn closed(&self, Member { counter, number }: Member) {
        let now = self.now();
        let events = [(now, number, Event::Closed), (now + PUSH, number, Event::Gone)];
        self.inner.lock().counters[counter].extend(events);
    }

    /// From now on, the streams of this node may or may not count. Nobody is told which of them end.
    pub(super) fn doubt(&self, node: usize) {
        self.all(0.0, Event::Doubted { node });
        self.all(self.evicted, Event::Evicted { node });
    }

    /// From now on, they count again.
    pub(super) fn trust(&self, node: usize) {
        self.all(0.0, Event::Trusted { node });
    }

    /// Something happens to all counters, after so many seconds.
    fn all(&self, after: f64, event: Event) {
        let now = self.now() + after;
        self.inner.lock().counters.iter_mut().for_each(|events| events.push((now, 0, event)));
    }

    /// What has been true of a counter, in the order of time.
    pub(super) fn of(&self, counter: usize) -> Vec<Point> {
        let mut events = self.inner.lock().counters[counter].clone();
        events.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut streams = Streams::default();
        let begin = Point { at: 0.0, viewers: Bounds::default(), visitors: Bounds::default() };
        let after = events.into_iter().map(|(at, number, event)| {
            streams.apply(number, event);
            streams.point(at)
        });
        std::iter::once(begin).chain(after).collect()
    }
}

#[derive(Debug)]
struct Stream {
    node: usize,
    visitor: u32,
    /// Whether it counts for certain.
    certain: bool,
    closed: bool,
    gone: bool,
}

/// The streams of a counter at one moment.
#[derive(Debug, Default)]
struct Streams {
    all: BTreeMap<u64, Stream>,
    doubted: BTreeSet<usize>,
    /// The doubted nodes whose viewers may count after they have left.
    unheard: BTreeSet<usize>,
}

impl Streams {
    fn apply(&mut self, number: u64, event: Event) {
        match event {
            Event::Requested { node, visitor } => {
                self.all.insert(number, Stream { node, visitor, certain: false, closed: false, gone: false });
            }
            Event::Counts => {
                if let Some(stream) = self.all.get_mut(&number) {
                    stream.certain = !stream.closed;
                }
            }
            Event::Closed => {
                if let Some(stream) = self.all.get_mut(&number) {
                    (stream.certain, stream.closed) = (false, true);
                }
            }
            Event::Gone => {
                if let Some(stream) = self.all.get_mut(&number) {
                    stream.gone = true;
                    if !self.unheard.contains(&stream.node) {
                        self.all.remove(&number);
                    }
                }
            }
            Event::Doubted { node } => {
                self.doubted.insert(node);
                self.unheard.insert(node);
            }
            Event::Evicted { node } => self.forget(node),
            Event::Trusted { node } => {
                self.doubted.remove(&node);
                self.forget(node);
            }
        }
    }

    /// Those that have left this node do not count any more.
    fn forget(&mut self, node: usize) {
        self.unheard.remove(&node);
        self.all.retain(|_, stream| stream.node != node || !stream.gone);
    }

    fn point(&self, at: f64) -> Point {
        let certain = || self.all.values().filter(|stream| stream.certain && !self.doubted.contains(&stream.node));
        let people = |streams: &mut dyn Iterator<Item = &Stream>| {
            streams.map(|stream| stream.visitor).collect::<BTreeSet<_>>().len() as u64
        };
        let viewers = Bounds { low: certain().count() as u64, high: self.all.len() as u64 };
        let visitors = Bounds { low: people(&mut certain()), high: people(&mut self.all.values()) };
        Point { at, viewers, visitors }
    }
}

/// The lowest and the highest number that may have been true at some moment in a time.
pub(super) fn bounds(points: &[Point], from: f64, to: f64, measure: Measure) -> Bounds {
    let first = points.partition_point(|point| point.at <= from).saturating_sub(1);
    let mut within = points[first..].iter().take_while(|point| point.at <= to).map(|point| point.bounds(measure));
    let begin = within.next().unwrap_or_default();
    within.fold(begin, |all, one| Bounds { low: all.low.min(one.low), high: all.high.max(one.high) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_certain_once_it_must_have_been_shown() {
        let mut streams = Streams::default();
        let mut after = |number, event| {
            streams.apply(number, event);
            let point = streams.point(0.0);
            [point.viewers.low, point.viewers.high, point.visitors.low, point.visitors.high]
        };
        assert_eq!(after(1, Event::Requested { node: 1, visitor: 7 }), [0, 1, 0, 1]);
        assert_eq!(after(2, Event::Requested { node: 2, visitor: 7 }), [0, 2, 0, 1]);
        assert_eq!(after(1, Event::Counts), [1, 2, 1, 1]);
        assert_eq!(after(2, Event::Counts), [2, 2, 1, 1]);
        assert_eq!(after(0, Event::Doubted { node: 1 }), [1, 2, 1, 1]);
        assert_eq!(after(0, Event::Trusted { node: 1 }), [2, 2, 1, 1]);
        assert_eq!(after(1, Event::Closed), [1, 2, 1, 1]);
        assert_eq!(after(1, Event::Gone), [1, 1, 1, 1]);
        // A stream that closes before its picture must have been shown.
        assert_eq!(after(3, Event::Requested { node: 1, visitor: 8 }), [1, 2, 1, 2]);
        assert_eq!(after(3, Event::Closed), [1, 2, 1, 2]);
        assert_eq!(after(3, Event::Counts), [1, 2, 1, 2]);
        assert_eq!(after(3, Event::Gone), [1, 1, 1, 1]);
    }

    #[test]
    fn who_leaves_a_node_that_is_cut_off_may_count_until_its_lease_has_ended() {
        let mut streams = Streams::default();
        let mut after = |number, event| {
            streams.apply(number, event);
            let point = streams.point(0.0);
            [point.viewers.low, point.viewers.high]
        };
        after(1, Event::Requested { node: 1, visitor: 7 });
        after(2, Event::Requested { node: 1, visitor: 8 });
        after(1, Event::Counts);
        assert_eq!(after(2, Event::Counts), [2, 2]);
        // It leaves just before, and nobody hears of it.
        after(1, Event::Closed);
        assert_eq!(after(0, Event::Doubted { node: 1 }), [0, 2]);
        assert_eq!(after(1, Event::Gone), [0, 2]);
        assert_eq!(after(0, Event::Evicted { node: 1 }), [0, 1]);
        after(2, Event::Closed);
        assert_eq!(after(2, Event::Gone), [0, 0]);
        assert_eq!(after(0, Event::Trusted { node: 1 }), [0, 0]);
    }

    #[test]
    fn bounds_include_what_was_true_when_the_time_began() {
        let point = |at, number| {
            let bounds = Bounds { low: number, high: number };
            Point { at, viewers: bounds, visitors: bounds }
        };
        let points = [point(0.0, 5), point(1.0, 9), point(2.0, 3)];
        let between = |from, to| bounds(&points, from, to, Measure::Viewers);
        assert_eq!(between(0.5, 0.9), Bounds { low: 5, high: 5 });
        assert_eq!(between(0.5, 1.5), Bounds { low: 5, high: 9 });
        assert_eq!(between(1.5, 9.0), Bounds { low: 3, high: 9 });
        assert_eq!(between(2.0, 9.0), Bounds { low: 3, high: 3 });
        assert_eq!(between(-1.0, 0.5), Bounds { low: 5, high: 5 });
    }
}
