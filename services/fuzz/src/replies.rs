//! What Redis says.

use headcount_presence::fuzzing::ReplyFuzzer;

/// The bytes are what a connection to Redis delivers: replies and messages, one behind the other. Whatever they are, what a
/// node shows never goes back in the order of states, and what Redis never said is never shown.
pub fn replies(bytes: &[u8]) {
    let mut told = ReplyFuzzer::default();
    let mut before = (0, 0);
    let mut rest = bytes;
    while let Some(reading) = told.hear(&mut rest) {
        let now = (reading.epoch, reading.version);
        assert!(now >= before, "{now:?} is shown after {before:?}");
        assert!(
            reading.count == 0 || told.counts.contains(&reading.count),
            "{reading:?}, but {:?} were told",
            told.counts
        );
        before = now;
    }
}
