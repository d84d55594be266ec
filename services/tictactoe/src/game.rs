//! [`Board`]: the rules.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headcount_presence::{Client, Visitor, VisitorKey};
use serde::{Deserialize, Serialize};

use crate::form::{Move, SQUARES};
use crate::refusal::{self, Refusal};

/// A finished game is shown for this share of the time that a player has for a move.
const RESULT_SHARE: u32 = 6;

/// The rows that win.
const ROWS: [[u8; 3]; 8] = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]];

/// Whether a board is shown as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    Fresh,
    /// It may have changed, or its stream has ended.
    Stale,
}

/// All that can be next on a board. Whoever moves on a free board is X, and whoever moves then is O.
pub(crate) const STANDINGS: [&str; 7] =
    ["Free: move to be X", "Move to be O", "X to move", "O to move", "X has won", "O has won", "A draw"];
/// The first of them whose game is over.
const FIRST_OVER: usize = 4;

/// What is next on a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its place among the [`STANDINGS`].
    pub(crate) index: usize,
    /// The row that has won.
    pub(crate) row: Option<[u8; 3]>,
}

/// A position on a board. Default: that of a free board.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Board {
    /// The position's number. A later one of the same game has a higher one, that of a free board is 0.
    pub(crate) position: u64,
    /// The squares that were taken, in order. X begins.
    moves: Vec<u8>,
    /// X and O, those who have moved, as headcount tells visitors apart.
    players: Vec<Visitor>,
    /// Keys their hashes. Every game has another, so that games do not tell who has played before.
    key: Option<VisitorKey>,
}

impl Board {
    /// The position after a client's move.
    ///
    /// # Errors
    /// Fails if the client may not make this move now.
    pub(crate) fn play(&self, client: &Client, Move { position, square }: Move) -> Result<Self, Refusal> {
        let key = self.key.unwrap_or_else(VisitorKey::random);
        let visitor = key.visitor(client);
        let player = self.players.iter().position(|player| *player == visitor);
        match self.standing() {
            _ if player.is_none() && self.players.len() == 2 => return Err(refusal::BYSTANDER),
            _ if position != self.position => return Err(refusal::PASSED),
            standing if standing.index >= FIRST_OVER => return Err(refusal::OVER),
            _ if player.unwrap_or(self.players.len()) != self.moves.len() % 2 => return Err(refusal::NOT_YOUR_TURN),
            _ if self.moves.contains(&square) => return Err(refusal::TAKEN),
            _ => {}
        }
        let mut next = Self { position: self.next_position(), key: Some(key), ..self.clone() };
        next.moves.push(square);
        if player.is_none() {
            next.players.push(visitor);
        }
        Ok(next)
    }

    /// One more. The first of a game is the time, so that its numbers are those of no former one.
    fn next_position(&self) -> u64 {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_millis() as u64);
        if self.position == 0 { now() } else { self.position.saturating_add(1) }
    }

    /// How long a game stays on the board without another move. Then the board is free.
    pub(crate) fn patience(&self, move_limit: Duration) -> Duration {
        if self.standing().index < FIRST_OVER { move_limit } else { move_limit / RESULT_SHARE }
    }

    /// Whose a square is: 0 is X, who has moved first, and 1 is O.
    pub(crate) fn owner(&self, square: u8) -> Option<usize> {
        self.moves.iter().position(|taken| *taken == square).map(|index| index % 2)
    }

    /// What is next.
    pub(crate) fn standing(&self) -> Standing {
        let winner = |row: &[u8; 3]| {
            let [first, second, third] = row.map(|square| self.owner(square));
            first.filter(|_| first == second && second == third)
        };
        let won = ROWS.iter().find_map(|row| Some((winner(row)?, *row)));
        let index = match (won, self.moves.len()) {
            (Some((player, _)), _) => FIRST_OVER + player,
            (None, moves @ (0 | 1)) => moves,
            (None, moves) if moves < usize::from(SQUARES) => 2 + moves % 2,
            (None, _) => STANDINGS.len() - 1,
        };
        Standing { index, row: won.map(|(_, row)| row) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> Client {
        Client { ip: [203, 0, 113, last].into(), user_agent: Vec::new() }
    }

    fn standing(board: &Board) -> &'static str {
        STANDINGS[board.standing().index]
    }

    /// Plays squares, X and O in turn, by clients 1 and 2.
    fn played(squares: &[u8]) -> Board {
        squares.iter().enumerate().fold(Board::default(), |board, (index, &square)| {
            let player = client(if index % 2 == 0 { 1 } else { 2 });
            board.play(&player, Move { position: board.position, square }).expect("a legal move")
        })
    }

    #[test]
    fn whoever_moves_first_plays() {
        let attempt = |board: &Board, who: u8, square: u8| {
            board.play(&client(who), Move { position: board.position, square }).err()
        };
        let board = played(&[4]);
        assert_eq!(standing(&board), "Move to be O");
        assert_eq!(attempt(&board, 1, 0), Some(refusal::NOT_YOUR_TURN));
        assert_eq!(attempt(&board, 2, 4), Some(refusal::TAKEN));
        let board = played(&[4, 0]);
        assert_eq!(standing(&board), "X to move");
        assert_eq!(attempt(&board, 3, 1), Some(refusal::BYSTANDER));
        assert_eq!(attempt(&board, 2, 1), Some(refusal::NOT_YOUR_TURN));
        let former = Move { position: board.position - 1, square: 1 };
        assert_eq!(board.play(&client(1), former).err(), Some(refusal::PASSED));
    }

    #[test]
    fn games_end() {
        for row in ROWS {
            let others: Vec<u8> = (0..9).filter(|square| !row.contains(square)).collect();
            let board = played(&[row[0], others[0], row[1], others[1], row[2]]);
            assert_eq!((standing(&board), board.standing().row), ("X has won", Some(row)));
            let late = Move { position: board.position, square: others[2] };
            assert_eq!(board.play(&client(2), late).err(), Some(refusal::OVER));
        }
        assert_eq!(standing(&played(&[0, 1, 2, 4, 3, 5, 7, 6, 8])), "A draw");
        let of_o = played(&[0, 4, 2, 1, 3, 7]);
        assert_eq!((standing(&of_o), of_o.standing().row), ("O has won", Some([1, 4, 7])));
        // The last square can win.
        assert_eq!(standing(&played(&[0, 1, 2, 3, 4, 5, 7, 6, 8])), "X has won");
    }

    #[test]
    fn numbers_of_positions_never_come_again() {
        let board = played(&[4, 0]);
        assert!(board.position > 0);
        // No game is shorter.
        std::thread::sleep(Duration::from_millis(20));
        let next = Board::default().play(&client(2), Move { position: 0, square: 8 }).expect("the board is free");
        assert!(next.position > board.position && next.owner(8) == Some(0));
        assert!(next.key != board.key && next.players[0] != board.players[1], "each game has its own key");
    }
}
