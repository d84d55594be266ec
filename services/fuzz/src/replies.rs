//! Fuzz target: Redis' replies.

use headcount_presence::fuzzing::Told;

/// Feeds the bytes to presence as replies and messages of a Redis connection. Checks that the readings that a node shows never
/// go back in (epoch, version), and that it shows no count that Redis has not sent.
pub fn replies(bytes: &[u8]) {
    let mut harness = Told::default();
    let mut before = (0, 0);
    let mut rest = bytes;
    while let Some(reading) = harness.hear(&mut rest) {
        let now = (reading.epoch, reading.version);
        assert!(now >= before, "{now:?} follows {before:?}");
        assert!(
            reading.count == 0 || harness.counts.contains(&reading.count),
            "{reading:?}, but {:?} were sent",
            harness.counts
        );
        before = now;
    }
}
