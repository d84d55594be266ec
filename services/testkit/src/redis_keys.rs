//! What happens to keys in Redis without a node's doing, and what nodes do in Redis.

use crate::{Error, RedisServer};

impl RedisServer {
    /// Deletes one key that matches this pattern, as an eviction does, and returns its name.
    ///
    /// # Errors
    /// If there is no reply, or no such key.
    pub fn evict(&self, pattern: &str) -> Result<String, Error> {
        let key = self.matching(pattern)?.swap_remove(0);
        self.command(&["DEL", &key])?;
        Ok(key)
    }

    /// Takes the end of life from all keys that match this pattern.
    ///
    /// # Errors
    /// If there is no reply, or no such key.
    pub fn persist(&self, pattern: &str) -> Result<(), Error> {
        self.matching(pattern)?.iter().try_for_each(|key| self.command(&["PERSIST", key]))
    }

    fn matching(&self, pattern: &str) -> Result<Vec<String>, Error> {
        let keys: Vec<String> = self.query(&["KEYS", pattern])?;
        let none = || Error::Redis { command: format!("KEYS {pattern}"), answer: "no key".into() };
        if keys.is_empty() { Err(none()) } else { Ok(keys) }
    }

    /// How often it has read from a client: about once for each command.
    ///
    /// # Errors
    /// If there is no reply.
    pub fn reads(&self) -> Result<u64, Error> {
        let reads = self.info("total_reads_processed")?;
        reads.parse().map_err(|_| Error::Redis { command: "INFO".into(), answer: reads })
    }
}
