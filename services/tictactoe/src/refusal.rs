//! [`Refusal`]: why a request is refused. All of them are here, each with its status and its sentence.

/// A status of HTTP, and one sentence for whoever is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) u16, pub(crate) &'static str);

pub(crate) const NAME: Refusal = Refusal(400, "A board's name is 1 to 64 of a-z, 0-9, dots, dashes and underscores.");
pub(crate) const FORM: Refusal = Refusal(400, "The form has two fields, once each: at, a number, and square, 1 to 9.");
pub(crate) const OTHER_ORIGIN: Refusal = Refusal(403, "A move can only be made in the board's own form.");
pub(crate) const BYSTANDER: Refusal = Refusal(403, "Two others are playing: watch until the board is free.");
pub(crate) const NOT_FOUND: Refusal = Refusal(404, "There is nothing at this address.");
pub(crate) const METHOD: Refusal = Refusal(405, "A board is looked at with GET, and a move is made with POST.");
pub(crate) const SLOW_FORM: Refusal = Refusal(408, "The form was not complete within 5 seconds.");
pub(crate) const PASSED: Refusal = Refusal(409, "The board has changed since you saw it; look, and move again.");
pub(crate) const OVER: Refusal = Refusal(409, "The game is over; the board is free again in a moment.");
pub(crate) const NOT_YOUR_TURN: Refusal = Refusal(409, "It is the other player's turn.");
pub(crate) const TAKEN: Refusal = Refusal(409, "That square is taken.");
pub(crate) const LARGE_FORM: Refusal = Refusal(413, "The form is too large: it has at most 256 bytes.");
pub(crate) const ADDRESS: Refusal = Refusal(429, "Your network address asks for too much; try again in 5 seconds.");
pub(crate) const FULL: Refusal = Refusal(503, "There is no room; try again in 5 seconds.");
pub(crate) const UNAVAILABLE: Refusal = Refusal(503, "The boards cannot be reached; try again in 5 seconds.");
pub(crate) const DRAINING: Refusal = Refusal(503, "This node is shutting down; try again in 5 seconds.");
