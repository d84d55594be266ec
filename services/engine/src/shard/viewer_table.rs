//! Who belongs to a shard: viewers join, fall behind, catch up and are taken out again, and every list agrees.

use std::os::fd::AsRawFd;
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Interest, Token};
use socket2::Socket;

use super::Shard;
use super::shard_feed::{Pass, ShardFeed};
use super::viewer::{self, Lag, Viewer};
use crate::Attachment;
use crate::inbox::Newcomer;
use crate::metrics::{DepartureCause, SendTotals};

impl<A: Attachment> Shard<A> {
    /// Takes a viewer in: writes its first image, and watches its socket.
    // Kept apart for the instruction counts.
    #[inline(never)]
    pub(super) fn join(&mut self, newcomer: Newcomer<A>, now: Instant) {
        let Newcomer { socket, head, mut attachment, place, feed: schedule } = newcomer;
        let feed = *self
            .feed_keys
            .entry(schedule.id)
            .or_insert_with(|| self.feeds.insert(ShardFeed::new(schedule, self.index, now)));
        let mut tally = SendTotals::default();
        let greeted = viewer::send_first_frame(&socket, &head, self.feeds[feed].frame.bytes(), now, &mut tally);
        let entry = self.viewers.vacant_entry();
        let key = entry.key();
        let registered = greeted.and_then(|greeted| {
            self.poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), Token(key), Interest::READABLE)?;
            Ok(greeted)
        });
        let behind = match registered {
            Ok(greeted) => greeted,
            Err(error) => {
                tracing::debug!(%error, "a viewer was gone before its first image");
                self.inbox.unload();
                self.metrics.departed(DepartureCause::Reset);
                return self.drop_if_empty(feed);
            }
        };
        self.metrics.pushed(&tally);
        if behind.is_none() {
            attachment.first_frame_sent();
        }
        let showing = &mut self.feeds[feed];
        let (position, ended) = (showing.roster.add(key as u32), showing.ended);
        let (feed, input_bytes) = (feed as u32, 0);
        entry.insert(Viewer { socket, feed, position, input_bytes, behind: None, attachment, _place: place });
        if let Some(behind) = behind {
            self.fall_behind(key, behind);
        }
        if (ended || self.drain.is_some()) && self.viewers.contains(key) {
            self.end_viewer(key, now);
        }
    }

    /// The viewer lags from now on.
    pub(super) fn fall_behind(&mut self, key: usize, mut behind: Box<Lag>) {
        behind.position = self.lagging.len() as u32;
        self.lagging.push(key as u32);
        self.metrics.lags();
        let viewer = &mut self.viewers[key];
        viewer.behind = Some(behind);
        let fd = viewer.socket.as_raw_fd();
        // The poller looks at the socket afresh when asked to: room that has come meanwhile is an event too.
        if let Err(error) =
            self.poll.registry().reregister(&mut SourceFd(&fd), Token(key), Interest::READABLE | Interest::WRITABLE)
        {
            self.depart_broken(key, &error);
        }
    }

    /// The viewer has caught up.
    pub(super) fn recover(&mut self, key: usize) {
        self.strike_lagging(key);
        let fd = self.viewers[key].socket.as_raw_fd();
        if let Err(error) = self.poll.registry().reregister(&mut SourceFd(&fd), Token(key), Interest::READABLE) {
            self.depart_broken(key, &error);
        }
    }

    fn strike_lagging(&mut self, key: usize) {
        let Some(behind) = self.viewers[key].behind.take() else { return };
        self.metrics.caught_up();
        self.lagging.swap_remove(behind.position as usize);
        if let Some(&moved) = self.lagging.get(behind.position as usize)
            && let Some(other) = &mut self.viewers[moved as usize].behind
        {
            other.position = behind.position;
        }
    }

    /// Takes a viewer out of everything and lets its attachment go. What is left is its socket.
    pub(super) fn remove(&mut self, key: usize, cause: DepartureCause) -> Socket {
        self.strike_lagging(key);
        let Viewer { socket, feed, position, attachment, _place: place, .. } = self.viewers.remove(key);
        for (moved, position) in self.feeds[feed as usize].roster.remove(position).into_iter().flatten() {
            self.viewers[moved as usize].position = position;
        }
        self.inbox.unload();
        self.metrics.departed(cause);
        self.drop_if_empty(feed as usize);
        drop((place, attachment));
        socket
    }

    /// A feed without viewers here is none of this shard's business any more.
    pub(super) fn drop_if_empty(&mut self, feed: usize) {
        let showing = &self.feeds[feed];
        if showing.roster.is_empty() && showing.pass == Pass::None {
            showing.schedule.let_go(self.index);
            self.feed_keys.remove(&showing.schedule.id);
            self.feeds.remove(feed);
        }
    }
}
