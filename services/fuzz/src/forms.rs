//! Fuzz target: the form with which moves of tic-tac-toe are made.

use tictactoe::Move;

/// Parses the bytes as a form. Checks that it is accepted only if it has both fields once, within their ranges, whatever the
/// implementation makes of it; that a move reads as it was parsed when it is written plainly; and that order does not matter.
pub fn forms(bytes: &[u8]) {
    let parsed = Move::parse(bytes);
    if let Some(Move { position, square }) = parsed {
        assert!(square < 9, "square {square} is on no board");
        for form in [format!("at={position}&square={}", square + 1), format!("square={}&at={position}", square + 1)] {
            assert_eq!(Move::parse(form.as_bytes()), parsed, "{form}");
        }
        let again = [bytes, b"&square=1"].concat();
        assert!(Move::parse(&again).is_none(), "a second square is accepted");
        let unknown = [bytes, b"&board=1"].concat();
        assert!(Move::parse(&unknown).is_none(), "an unknown field is accepted");
    }
    assert_eq!(parsed, plain(bytes).or(parsed), "a plain form is refused, or read wrongly");
}

/// What a form says that needs no decoding, independent of the implementation. `None` if it is none.
fn plain(bytes: &[u8]) -> Option<Move> {
    let fields: Vec<&str> = std::str::from_utf8(bytes).ok()?.split('&').collect();
    let [first, second] = fields[..] else { return None };
    let (at, square) = (first.strip_prefix("at="), second.strip_prefix("square="));
    let (at, square) = at.zip(square).or(second.strip_prefix("at=").zip(first.strip_prefix("square=")))?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    let square = number(square).filter(|square| (1..=9).contains(square))? as u8 - 1;
    Some(Move { position: number(at)?, square })
}
