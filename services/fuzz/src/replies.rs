//! Replies and messages of Redis.

use headcount_presence::fuzzing::CounterViewHarness;

/// The bytes are what a connection to Redis delivers: replies and messages in any order. Whatever they are, the shown reading
/// never goes back in the order of states, and only received counts are shown.
pub fn replies(bytes: &[u8]) {
    let mut harness = CounterViewHarness::default();
    let mut before = (0, 0);
    let mut rest = bytes;
    while let Some(reading) = harness.feed(&mut rest) {
        let now = (reading.epoch, reading.version);
        assert!(now >= before, "{now:?} is shown after {before:?}");
        assert!(
            reading.count == 0 || harness.counts.contains(&reading.count),
            "{reading:?}, but only {:?} were received",
            harness.counts
        );
        before = now;
    }
}
