//! [`Figure`]: what a picture is to show, whatever its look.

/// What a picture shows: one state of one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Figure {
    /// The number.
    pub number: u64,
    /// The epoch that the number belongs to; only stamped, never drawn.
    pub epoch: u64,
    /// The number's version within its epoch; only stamped, never drawn.
    pub version: u64,
    /// Whether the number has not been confirmed for a while: the picture then carries a small mark.
    pub stale: bool,
    /// `Some(n)`: the picture says "<n", and the true number stands nowhere in it, not in its stamp either.
    pub fewer_than: Option<u64>,
}

impl Figure {
    /// A fresh number of no particular epoch and version, shown as it is.
    pub fn of(number: u64) -> Figure {
        Figure { number, epoch: 0, version: 0, stale: false, fewer_than: None }
    }
}

/// A number as far as a picture tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Count {
    /// The number itself.
    Exactly(u64),
    /// Only that it is smaller than this.
    FewerThan(u64),
}
