//! Where pictures are drawn: how many at a time, so that whoever asks for many, or large ones, has a share of the processors
//! and no more.

use std::thread::available_parallelism;
use std::time::Instant;

use headcount_drawing::{Artist, Figure, Format, Look};
use tokio::sync::{Semaphore, SemaphorePermit};

/// From this size on a picture is large: the height in device pixels, squared, times the characters. It takes 5 ms to draw;
/// the largest has twenty times as much, and a badge at 3× a tenth.
const LARGE: u64 = 250_000;
/// Large pictures that wait for their turn at most: the last for six seconds, were each the largest.
const MAX_LARGE_WAITING: usize = 32;

/// More large pictures are asked for than can be drawn soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many large pictures are waiting to be drawn")]
pub(crate) struct DrawQueueFull;

/// A bounded queue.
#[derive(Debug)]
struct Queue {
    /// For those that have a turn, and those that wait for one.
    places: Semaphore,
    turns: Semaphore,
}

/// Somebody's turn, until it is dropped.
struct Turn<'a> {
    _turn: SemaphorePermit<'a>,
    _place: SemaphorePermit<'a>,
}

impl Queue {
    fn new(turns: usize, waiting: usize) -> Self {
        Self { places: Semaphore::new(turns + waiting), turns: Semaphore::new(turns) }
    }

    async fn turn(&self) -> Result<Turn<'_>, DrawQueueFull> {
        let _place = self.places.try_acquire().map_err(|_| DrawQueueFull)?;
        let _turn = self.turns.acquire().await.map_err(|_| DrawQueueFull)?;
        Ok(Turn { _turn, _place })
    }
}

/// Draws all pictures of a node. Those that somebody waits for, snapshots and the first ones of live looks, have half of the
/// processors together, and the large ones among them one; what is drawn for viewers when their number changes does
/// not wait for those, and the large ones among it have half of a processor together.
#[derive(Debug)]
pub(crate) struct DrawQueue {
    artist: Artist,
    first: Semaphore,
    first_large: Queue,
    large_changes: Semaphore,
}

impl DrawQueue {
    /// As many as this machine's processors suffice for.
    pub(crate) fn new(artist: Artist) -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self {
            artist,
            first: Semaphore::new((processors / 2).max(1)),
            first_large: Queue::new(1, MAX_LARGE_WAITING),
            large_changes: Semaphore::new(1),
        }
    }

    /// Who draws.
    pub(crate) fn artist(&self) -> &Artist {
        &self.artist
    }

    /// Draws a picture that somebody has just asked for.
    ///
    /// # Errors
    /// If it is large, and too many such wait already.
    pub(crate) async fn first(&self, look: &Look, figure: &Figure, format: Format) -> Result<Vec<u8>, DrawQueueFull> {
        let _large = if is_large(look, figure) { Some(self.first_large.turn().await?) } else { None };
        let _turn = self.first.acquire().await;
        Ok(self.draw(look, figure, format))
    }

    /// Draws what a live look shows now, and hands it over. Returns when the next change of this look may be drawn.
    /// Where it has to wait, the number may be a newer one by then than the `known` one.
    pub(crate) async fn change(
        &self,
        look: &Look,
        known: &Figure,
        newest: impl FnOnce() -> Figure,
        format: Format,
        hand_over: impl FnOnce(Figure, Vec<u8>),
    ) {
        let turn = if is_large(look, known) { self.large_changes.acquire().await.ok() } else { None };
        let figure = newest();
        let began = Instant::now();
        let picture = self.draw(look, &figure, format);
        let took = began.elapsed();
        hand_over(figure, picture);
        if turn.is_some() {
            tokio::time::sleep(took).await;
        }
    }

    /// Other tasks of this thread go on elsewhere meanwhile.
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
    async fn who_finds_no_place_is_turned_away() {
        let queue = Queue::new(1, 1);
        let turn = queue.turn().await.expect("it is empty");
        let mut second = std::pin::pin!(queue.turn());
        tokio::select! {
            biased;
            _ = &mut second => panic!("it is not its turn"),
            third = queue.turn() => assert_eq!(third.err(), Some(DrawQueueFull)),
        }
        drop(turn);
        assert!(second.await.is_ok());
    }
}
