//! The feeds that have viewers in this shard.

use std::collections::HashMap;
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::time::Instant;

use slab::Slab;

use super::shard_feed::ShardFeed;
use crate::feed_state::FeedState;

/// The feeds of a shard, by key. A key is valid until the feed is removed.
pub(super) struct FeedTable<A> {
    /// The shard's index.
    shard: usize,
    feeds: Slab<ShardFeed<A>>,
    /// Keys by the feeds' ids.
    keys: HashMap<u64, usize>,
}

impl<A> FeedTable<A> {
    pub(super) fn new(shard: usize) -> Self {
        Self { shard, feeds: Slab::new(), keys: HashMap::new() }
    }

    pub(super) fn find(&self, feed: &FeedState<A>) -> Option<usize> {
        self.keys.get(&feed.id).copied()
    }

    pub(super) fn find_or_add(&mut self, feed: Arc<FeedState<A>>, now: Instant) -> usize {
        if let Some(key) = self.find(&feed) {
            return key;
        }
        let id = feed.id;
        let key = self.feeds.insert(ShardFeed::new(feed, self.shard, now));
        self.keys.insert(id, key);
        key
    }

    /// Removes a feed without viewers.
    pub(super) fn remove_if_unused(&mut self, key: usize) {
        let feed = &self.feeds[key];
        if feed.is_unused() {
            feed.state().remove_shard(self.shard);
            self.keys.remove(&feed.state().id);
            self.feeds.remove(key);
        }
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut ShardFeed<A>> {
        self.feeds.iter_mut().map(|(_, feed)| feed)
    }
}

impl<A> Index<usize> for FeedTable<A> {
    type Output = ShardFeed<A>;

    #[inline]
    fn index(&self, key: usize) -> &ShardFeed<A> {
        &self.feeds[key]
    }
}

impl<A> IndexMut<usize> for FeedTable<A> {
    #[inline]
    fn index_mut(&mut self, key: usize) -> &mut ShardFeed<A> {
        &mut self.feeds[key]
    }
}
