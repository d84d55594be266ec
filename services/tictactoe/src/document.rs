//! The board as HTML: a finished document that holds the live one, which does not end. Neither has a script.
//!
//! The live one begins with a form that has all that a board can show: an update only tells which of it is shown, with rules
//! without specificity of which the last decides, so that a viewer may miss any or get one twice, and the focus stays where it
//! is. It also has a checked radio button with the position's number. The last one is what the form sends.

use bytes::Bytes;
use headcount_engine::Frame;
use headcount_presence::CounterName;
use headcount_wire::html;

use crate::form::SQUARES;
use crate::game::{Board, Freshness, STANDINGS};

/// Seconds from the end of a live document until it is loaded again. Not all viewers of a node come back at once.
const REFRESH: std::ops::RangeInclusive<u32> = 4..=5;
/// The same of the outer one, which brings the live one back after an outage that is longer.
const OUTER_REFRESH: std::ops::RangeInclusive<u32> = 240..=480;
/// The response's policy: what a document may load.
pub(crate) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; frame-src 'self'; \
                                 form-action 'self'; base-uri 'none'";

/// The page at `/`.
pub(crate) const FRONT: &str = include_str!("front.html");

/// The outer document of a board.
pub(crate) fn outer(name: &CounterName) -> String {
    let refresh = rand::random_range(OUTER_REFRESH).to_string();
    include_str!("outer.html").replace("REFRESH", &refresh).replace("NAME", name.as_str())
}

/// The beginning of a live document.
pub(crate) fn opening(name: &str) -> Bytes {
    let standings =
        STANDINGS.iter().enumerate().map(|(index, words)| format!("<span class=m id=s{index}>{words}</span>"));
    let caption = standings.collect::<String>() + "<span class=m id=stale> (not up to date)</span>";
    let cell = |square: u8| {
        let place = format!("row {}, column {}", square / 3 + 1, square % 3 + 1);
        let cell = include_str!("square.html").replace("INDEX", &square.to_string());
        cell.replace("NUMBER", &(square + 1).to_string()).replace("PLACE", &place)
    };
    let row = |row: u8| format!("<tr>\n{}</tr>\n", (3 * row..3 * row + 3).map(cell).collect::<String>());
    let document = include_str!("document.html")
        .replace("REFRESH", &rand::random_range(REFRESH).to_string())
        .replace("CAPTION", &caption)
        .replace("ROWS", &(0..SQUARES / 3).map(row).collect::<String>())
        .replace("NAME", name);
    html::opening(&document)
}

/// The frame of a board. Streams end with the same, marked as not up to date.
pub(crate) fn frame(board: &Board, freshness: Freshness) -> Frame {
    Frame::new(update(board, freshness)).with_keepalive(html::KEEPALIVE).with_ending(update(board, Freshness::Stale))
}

fn update(board: &Board, freshness: Freshness) -> String {
    let standing = board.standing();
    let mark = |square| board.owner(square).map_or('e', |player| ['x', 'o'][player]);
    let marks: String = (0..SQUARES).map(|square| format!("#{}{square},", mark(square))).collect();
    let stale = if freshness == Freshness::Stale { ",#stale" } else { "" };
    let row = |[a, b, c]: [u8; 3]| format!(":where(#t{a},#t{b},#t{c}){{background:var(--row)}}");
    let row = standing.row.map(row).unwrap_or_default();
    format!(
        "<input type=radio name=at value={} checked hidden><style>:where(.m){{display:none}}:where({marks}#s{}{stale}){{display:inline}}\
         :where(td){{background:none}}{row}</style>\n",
        board.position, standing.index
    )
}
