//! [`Figure`]: what a picture shows, whatever its look.

/// One state of a counter, as a picture shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Figure {
    /// The number.
    pub number: u64,
    /// The epoch of the number: in the stamp only, not drawn.
    pub epoch: u64,
    /// The number's version within its epoch: in the stamp only, not drawn.
    pub version: u64,
    /// Whether the number is not live: nothing has confirmed it for a while, or the picture is a stream's last. It is then struck
    /// out, on grey.
    pub stale: bool,
    /// `Some(n)`: the picture says "<n", and neither pixels nor stamp contain the true number.
    pub fewer_than: Option<u64>,
}

impl Figure {
    /// A fresh, unhidden number, with epoch and version 0.
    pub fn of(number: u64) -> Figure {
        Figure { number, epoch: 0, version: 0, stale: false, fewer_than: None }
    }
}

/// A number as far as a picture shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Count {
    /// The number itself.
    Exactly(u64),
    /// Hidden; it is smaller than this.
    FewerThan(u64),
}
