//! The board as a picture.

use headcount_drawing::{Artist, Colour};

use crate::form::SQUARES;
use crate::game::{Board, Freshness, STANDINGS};

/// Device pixels per pixel: sharp on dense screens too.
const SCALE: u32 = 2;
/// Pixels before scaling: of a square's side, between two, and of the line of text above.
const SQUARE: f32 = 44.0;
const GAP: f32 = 3.0;
const HEADING: f32 = 26.0;
const SIDE: f32 = 3.0 * SQUARE + 4.0 * GAP;

const GROUND: Colour = Colour([0x26, 0x2b, 0x31]);
const FREE: Colour = Colour([0xf4, 0xf5, 0xf6]);
const ROW: Colour = Colour([0xff, 0xe0, 0x8a]);
const INKS: [Colour; 2] = [Colour([0x0b, 0x57, 0xa4]), Colour([0xa3, 0x3b, 0x12])];
/// Of a board that may have changed.
const STALE_INK: Colour = Colour([0x5c, 0x63, 0x6b]);

/// Draws a board as a PNG. One that is not up to date is grey.
pub(crate) fn draw(artist: &Artist, board: &Board, freshness: Freshness) -> Vec<u8> {
    let fresh = freshness == Freshness::Fresh;
    let standing = board.standing();
    let mut canvas = artist.canvas(SIDE as u32, (SIDE + HEADING) as u32);
    canvas.rectangle((0.0, 0.0), (SIDE, SIDE + HEADING), 6.0, GROUND);
    let words = if fresh { STANDINGS[standing.index] } else { "Not up to date" };
    canvas.text(words, SIDE as i32 / 2, 19, 12.0, Colour::WHITE);
    for square in 0..SQUARES {
        let (column, row) = (f32::from(square % 3), f32::from(square / 3));
        let (left, top) = (GAP + column * (SQUARE + GAP), HEADING + row * (SQUARE + GAP));
        let wins = fresh && standing.row.is_some_and(|row| row.contains(&square));
        canvas.rectangle((left, top), (left + SQUARE, top + SQUARE), 4.0, if wins { ROW } else { FREE });
        let Some(player) = board.owner(square) else { continue };
        let (letter, ink) = [("X", INKS[0]), ("O", INKS[1])][player];
        let (x, baseline) = (left + SQUARE / 2.0, top + SQUARE * 0.76);
        canvas.text(letter, x as i32, baseline as i32, 32.0, if fresh { ink } else { STALE_INK });
    }
    canvas.png(SCALE)
}
