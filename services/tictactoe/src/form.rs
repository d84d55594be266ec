//! [`Move`]: what the board's form sends.

/// Squares of a board.
pub(crate) const SQUARES: u8 = 9;

/// A move: a square, and the position of the board that the player has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The number of the position.
    pub position: u64,
    /// The square's index, from 0 to 8, row by row.
    pub square: u8,
}

impl Move {
    /// Parses a form (`application/x-www-form-urlencoded`): `at=POSITION&square=SQUARE`, in any order. `None` if a field is
    /// missing, repeated, unknown or out of range.
    pub fn parse(form: &[u8]) -> Option<Self> {
        let (mut position, mut square) = (None, None);
        for (name, value) in form_urlencoded::parse(form) {
            // `parse` would accept a plus sign.
            let digits = Some(&*value).filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()))?;
            match &*name {
                "at" if position.is_none() => position = Some(digits.parse().ok()?),
                "square" if square.is_none() => square = Some(digits.parse::<u8>().ok()?),
                _ => return None,
            }
        }
        let square = square.filter(|square| (1..=SQUARES).contains(square))? - 1;
        Some(Self { position: position?, square })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_have_both_fields_once() {
        let parsed = Some(Move { position: 12, square: 8 });
        assert_eq!((Move::parse(b"at=12&square=9"), Move::parse(b"square=%39&at=12")), (parsed, parsed));
        let bad: [&[u8]; 14] = [
            b"",
            b"at=1",
            b"square=1",
            b"at=1&square=0",
            b"at=1&square=10",
            b"at=1&square=1&square=1",
            b"at=1&at=1&square=1",
            b"at=1&square=1&x=",
            b"at=+1&square=1",
            b"at=1&square=",
            b"at=-1&square=1",
            b"at=18446744073709551616&square=1",
            b"\xff\xfe",
            b"at=1&square=x&square=1",
        ];
        for form in bad {
            assert_eq!(Move::parse(form), None, "{}", String::from_utf8_lossy(form));
        }
    }
}
