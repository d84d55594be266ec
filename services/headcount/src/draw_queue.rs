//! [`DrawQueue`]: where pictures are drawn, in turn. What is costly to draw gets a share of the processors and no more,
//! divided fairly between the client addresses that requested it.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use headcount_drawing::{Artist, Figure, Format, Look, SetName, SpriteSet};

use crate::draw_cost::{DrawCost, measured};
pub(crate) use crate::draw_lane::DrawQueueFull;
use crate::draw_lane::{DrawLane, Drawing, Turn};
use crate::look_limits::LookOwner;
use crate::sprite_sheets::{SpriteSheet, SpriteSheets};

/// Rest after a costly drawing, in multiples of its CPU time: costly drawings use a quarter of a core.
const COSTLY_REST: u32 = 3;
/// Most costly first pictures that wait. If each is the largest possible (90 ms as JPEG), the last waits twelve seconds.
const MAX_COSTLY_FIRST: usize = 32;
/// Most other first pictures that wait. At a millisecond each, the last waits a second.
const MAX_FIRST: usize = 1024;

/// Draws all pictures of a node. Three lanes share the work, and none waits for another:
/// - looks that are costly to draw, with a quarter of a core in all;
/// - the others, with half of the processors;
/// - default looks. Their first pictures and snapshots have half of the processors as well. Their changes wait for nothing.
#[derive(Debug)]
pub(crate) struct DrawQueue {
    artist: Artist,
    sheets: SpriteSheets,
    default_first: Arc<DrawLane>,
    usual: Arc<DrawLane>,
    costly: Arc<DrawLane>,
}

impl DrawQueue {
    /// Creates a queue for the processors of this machine.
    pub(crate) fn new(artist: Artist) -> Self {
        let half = (available_parallelism().map_or(1, usize::from) / 2).max(1);
        Self {
            artist,
            sheets: SpriteSheets::default(),
            default_first: DrawLane::new(half, 0, MAX_FIRST),
            usual: DrawLane::new(half, 0, MAX_FIRST),
            costly: DrawLane::new(1, COSTLY_REST, MAX_COSTLY_FIRST),
        }
    }

    /// Draws the pictures.
    pub(crate) fn artist(&self) -> &Artist {
        &self.artist
    }

    /// Draws a snapshot or the first picture of a feed. Returns what the look costs, too.
    ///
    /// # Errors
    /// Fails if too many such pictures wait.
    pub(crate) async fn draw_first(
        &self,
        look: &Look,
        figure: &Figure,
        format: Format,
        client: LookOwner,
    ) -> Result<(Vec<u8>, DrawCost), DrawQueueFull> {
        let lane = if look.is_default() {
            &self.default_first
        } else {
            self.lane(DrawCost::of_estimate(self.artist.estimate(look, figure, format)))
        };
        let turn = lane.acquire(client, Drawing::First).await?;
        let (picture, cpu_time) = self.draw(look, figure, format, Some(&turn));
        Ok((picture, DrawCost::of_first(cpu_time)))
    }

    /// Waits until a look's changed picture may be drawn, and draws it then. `newest` is called after the wait. Returns
    /// `None` if it does.
    pub(crate) async fn draw_change(
        &self,
        look: &Look,
        cost: &mut DrawCost,
        newest: impl FnOnce() -> Option<Figure>,
        format: Format,
        client: LookOwner,
    ) -> Option<(Figure, Vec<u8>)> {
        let turn = match look.is_default() {
            true => None,
            // Changes are never refused.
            false => Some(self.lane(*cost).acquire(client, Drawing::Change).await.ok()?),
        };
        let figure = newest()?;
        let (picture, cpu_time) = self.draw(look, &figure, format, turn.as_ref());
        cost.add(cpu_time);
        Some((figure, picture))
    }

    /// Returns the sheet of a set of sprites. It is made in turn with what is costly, when it is first asked for.
    ///
    /// # Errors
    /// Fails if too many first pictures wait.
    pub(crate) async fn sheet(
        &self,
        name: &SetName,
        set: &SpriteSet,
        client: LookOwner,
    ) -> Result<Arc<SpriteSheet>, DrawQueueFull> {
        let cell = self.sheets.cell(name);
        let make = || async {
            let turn = self.costly.acquire(client, Drawing::First).await?;
            let (sheet, cpu_time) = tokio::task::block_in_place(|| measured(|| SpriteSheet::of(name, set)));
            turn.drawn(cpu_time);
            Ok::<_, DrawQueueFull>(Arc::new(sheet))
        };
        cell.get_or_try_init(make).await.cloned()
    }

    fn lane(&self, cost: DrawCost) -> &Arc<DrawLane> {
        if cost.is_costly() { &self.costly } else { &self.usual }
    }

    /// Draws on this thread, while its other tasks move to other threads.
    fn draw(&self, look: &Look, figure: &Figure, format: Format, turn: Option<&Turn>) -> (Vec<u8>, Duration) {
        let (picture, cpu_time) = tokio::task::block_in_place(|| measured(|| self.artist.draw(look, figure, format)));
        if let Some(turn) = turn {
            turn.drawn(cpu_time);
        }
        (picture, cpu_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_costly(query: &str, format: Format) -> bool {
        let million = Figure { number: 1_000_000, epoch: 1, version: 1, stale: false, fewer_than: None };
        let look = Look::from_query(query).expect("a look");
        DrawCost::of_estimate(Artist::new().estimate(&look, &million, format)).is_costly()
    }

    #[test]
    fn usual_looks_are_not_costly() {
        for query in ["", "scale=2", "style=odometer&height=32", "height=64&format=compact", "label=%F0%9F%91%80"] {
            assert!(!is_costly(query, Format::Png), "{query}");
        }
    }

    #[test]
    fn outlines_and_area_make_a_look_costly() {
        for query in
            ["height=96&scale=2", "style=odometer&height=96&scale=3", &format!("height=88&label={}", "W".repeat(31))]
        {
            assert!(is_costly(query, Format::Png), "{query}");
            assert!(is_costly(query, Format::Jpeg), "{query}");
        }
        let faces: String = ('\u{1f600}'..'\u{1f620}').collect();
        let faces: String = faces.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for (label, costly) in [("l".repeat(32), false), (faces, true)] {
            assert_eq!(is_costly(&format!("height=40&label={label}"), Format::Png), costly, "{label}");
        }
    }
}
