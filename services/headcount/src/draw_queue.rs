//! [`DrawQueue`]: where pictures are drawn, in turn. It bounds how many are drawn at a time, so that clients that request
//! many pictures, or large ones, get a share of the processors and no more.

use std::thread::available_parallelism;
use std::time::Instant;

use headcount_drawing::{Artist, Figure, Format, Look};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Size from which a picture is large: the square of its height in device pixels times its characters. Such a picture takes
/// 5 ms to draw, the largest possible one twenty times that, a badge at scale 3 a tenth.
const LARGE: u64 = 250_000;
/// Most large first pictures that wait for their turn. If each is the largest possible, the last waits six seconds.
const MAX_LARGE_WAITING: usize = 32;

/// Too many large pictures wait to be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many large pictures are waiting to be drawn")]
pub(crate) struct DrawQueueFull;

/// A semaphore with a bounded number of waiters.
#[derive(Debug)]
struct BoundedSemaphore {
    /// One permit for each holder or waiter.
    entries: Semaphore,
    turns: Semaphore,
}

/// A turn of a [`BoundedSemaphore`], until dropped.
struct Turn<'a> {
    _turn: SemaphorePermit<'a>,
    _entry: SemaphorePermit<'a>,
}

impl BoundedSemaphore {
    fn new(turns: usize, max_waiting: usize) -> Self {
        Self { entries: Semaphore::new(turns + max_waiting), turns: Semaphore::new(turns) }
    }

    async fn acquire(&self) -> Result<Turn<'_>, DrawQueueFull> {
        let _entry = self.entries.try_acquire().map_err(|_| DrawQueueFull)?;
        let _turn = self.turns.acquire().await.map_err(|_| DrawQueueFull)?;
        Ok(Turn { _turn, _entry })
    }
}

/// Draws all pictures of a node. Snapshots and the first pictures of feeds share half of the processors; the large ones
/// among them share one. Pictures of changed counts do not wait for those; the large ones among them share half of one
/// processor.
#[derive(Debug)]
pub(crate) struct DrawQueue {
    artist: Artist,
    first: Semaphore,
    first_large: BoundedSemaphore,
    large_changes: Semaphore,
}

impl DrawQueue {
    /// Creates a queue for the processors of this machine.
    pub(crate) fn new(artist: Artist) -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self {
            artist,
            first: Semaphore::new((processors / 2).max(1)),
            first_large: BoundedSemaphore::new(1, MAX_LARGE_WAITING),
            large_changes: Semaphore::new(1),
        }
    }

    /// Draws the pictures.
    pub(crate) fn artist(&self) -> &Artist {
        &self.artist
    }

    /// Draws a snapshot or the first picture of a feed.
    ///
    /// # Errors
    /// Fails if the picture is large and too many such pictures wait.
    pub(crate) async fn draw_first(
        &self,
        look: &Look,
        figure: &Figure,
        format: Format,
    ) -> Result<Vec<u8>, DrawQueueFull> {
        let _large = if is_large(look, figure) { Some(self.first_large.acquire().await?) } else { None };
        let _turn = self.first.acquire().await;
        Ok(self.draw(look, figure, format))
    }

    /// Draws a feed's picture after a change and passes it to `publish`. If the draw has to wait, `newest` supplies a newer
    /// figure than `known`. Returns when the feed's next change may be drawn.
    pub(crate) async fn draw_change(
        &self,
        look: &Look,
        known: &Figure,
        newest: impl FnOnce() -> Figure,
        format: Format,
        publish: impl FnOnce(Figure, Vec<u8>),
    ) {
        let turn = if is_large(look, known) { self.large_changes.acquire().await.ok() } else { None };
        let figure = newest();
        let start = Instant::now();
        let picture = self.draw(look, &figure, format);
        let took = start.elapsed();
        publish(figure, picture);
        if turn.is_some() {
            // Leaves the other half of the processor.
            tokio::time::sleep(took).await;
        }
    }

    /// Draws on this thread, while its other tasks move to other threads.
    fn draw(&self, look: &Look, figure: &Figure, format: Format) -> Vec<u8> {
        tokio::task::block_in_place(|| self.artist.draw(look, figure, format))
    }
}

fn is_large(look: &Look, figure: &Figure) -> bool {
    let height = u64::from(look.height() * look.scale());
    let characters = look.label().chars().count() + look.text(figure).chars().count();
    height * height * characters as u64 >= LARGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_looks_are_not_large() {
        let million = Figure { number: 1_000_000, epoch: 1, version: 1, stale: false, fewer_than: None };
        let is_large = |query: &str| is_large(&Look::from_query(query).expect("a look"), &million);
        for query in ["", "scale=3", "style=odometer&height=64", "height=48&scale=2&format=compact"] {
            assert!(!is_large(query), "{query}");
        }
        for query in ["height=96&scale=2", "style=odometer&height=96&scale=3"] {
            assert!(is_large(query), "{query}");
        }
    }

    #[tokio::test]
    async fn a_full_semaphore_rejects() {
        let semaphore = BoundedSemaphore::new(1, 1);
        let first = semaphore.acquire().await.expect("it is free");
        let mut second = std::pin::pin!(semaphore.acquire());
        tokio::select! {
            biased;
            _ = &mut second => panic!("the first holds the only turn"),
            third = semaphore.acquire() => assert_eq!(third.err(), Some(DrawQueueFull)),
        }
        drop(first);
        assert!(second.await.is_ok());
    }
}
