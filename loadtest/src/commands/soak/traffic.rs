//! [`Traffic`]: the viewers of one counter come and go in one of a dozen shapes.

use anyhow::Context;
use rand::{Rng, rngs::StdRng};

use super::crowd::{Crowd, Target};

/// Visitors of all counters are numbered in turn, from here on; observers come before.
const FIRST_VISITOR: u32 = 1_000;

/// 198.18.0.0/15 has 131,072 addresses.
const VISITORS: u32 = 130_000;

/// How viewers of a counter come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Viewers of the only node leave, one after the other, more often than a heartbeat is due.
    OnlyLeaves,
    /// The same at all nodes in turn, about as often as a heartbeat is due.
    OnlyLeavesSlowly,
    /// One node's viewers stay, and viewers come to the others.
    OnlyJoinsElsewhere,
    /// One viewer comes and goes all the time.
    Flapping,
    /// All leave, and all come back.
    EmptyAndBack,
    /// Nothing happens.
    LongQuiet,
    /// Few streams, each of a visitor who is new.
    NewPeople,
    /// Many streams of three visitors.
    FewPeople,
    /// Viewers come and go.
    Ordinary,
    /// The same, more slowly.
    OrdinarySlow,
    /// A hundred come at once, and leave at once.
    Bursts,
    /// Visitors go from one node to another.
    Moving,
}

impl Shape {
    pub(super) const ALL: [Self; 12] = [
        Self::OnlyLeaves,
        Self::OnlyLeavesSlowly,
        Self::OnlyJoinsElsewhere,
        Self::Flapping,
        Self::EmptyAndBack,
        Self::LongQuiet,
        Self::NewPeople,
        Self::FewPeople,
        Self::Ordinary,
        Self::OrdinarySlow,
        Self::Bursts,
        Self::Moving,
    ];

    /// The counter's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OnlyLeaves => "only-leaves",
            Self::OnlyLeavesSlowly => "only-leaves-slowly",
            Self::OnlyJoinsElsewhere => "only-joins-elsewhere",
            Self::Flapping => "flapping",
            Self::EmptyAndBack => "empty-and-back",
            Self::LongQuiet => "long-quiet",
            Self::NewPeople => "new-people",
            Self::FewPeople => "few-people",
            Self::Ordinary => "ordinary",
            Self::OrdinarySlow => "ordinary-slow",
            Self::Bursts => "bursts",
            Self::Moving => "moving",
        }
    }
}

/// The traffic of one counter.
pub(super) struct Traffic {
    shape: Shape,
    counter: usize,
    choice: StdRng,
    /// When the next step is due, in seconds before they are divided by the scale.
    pub(super) due: f64,
}

/// Numbers visitors who have not been there before.
pub(super) struct Visitors(u32);

impl Visitors {
    pub(super) fn new() -> Self {
        Self(0)
    }

    fn another(&mut self) -> u32 {
        self.0 = (self.0 + 1) % VISITORS;
        FIRST_VISITOR + self.0
    }
}

impl Traffic {
    pub(super) fn new(shape: Shape, counter: usize, choice: StdRng) -> Self {
        Self { shape, counter, choice, due: 0.0 }
    }

    /// Does the next step, and sets when the one after it is due.
    pub(super) fn step(
        &mut self,
        crowd: &mut Crowd,
        targets: &[Target],
        visitors: &mut Visitors,
    ) -> anyhow::Result<()> {
        let pause = self.act(crowd, targets, visitors).with_context(|| format!("a step of {}", self.shape.name()))?;
        self.due += pause;
        Ok(())
    }

    /// Does the next step, and returns the time until the one after it.
    fn act(&mut self, crowd: &mut Crowd, targets: &[Target], visitors: &mut Visitors) -> anyhow::Result<f64> {
        let Self { shape, counter, choice, .. } = self;
        let (counter, here) = (*counter, crowd.count(*counter));
        let open = |crowd: &mut Crowd, index: usize, visitor: u32| {
            crowd.open(counter, targets[index % targets.len()], visitor)
        };
        let any = |_| true;
        Ok(match shape {
            Shape::OnlyLeaves if here < 5 => {
                for _ in 0..215 {
                    open(crowd, 0, visitors.another())?;
                }
                2.0
            }
            Shape::OnlyLeaves => {
                crowd.leave(counter, 1, any);
                2.0
            }
            Shape::OnlyLeavesSlowly if here < 5 => {
                for index in 0..100 {
                    open(crowd, index, visitors.another())?;
                }
                4.5
            }
            Shape::OnlyLeavesSlowly => {
                crowd.leave(counter, 1, any);
                4.5
            }
            Shape::OnlyJoinsElsewhere if here == 0 => {
                for _ in 0..5 {
                    open(crowd, 0, visitors.another())?;
                }
                3.0
            }
            Shape::OnlyJoinsElsewhere if here >= 135 => {
                crowd.leave(counter, 130, |node| node != targets[0].node);
                10.0
            }
            Shape::OnlyJoinsElsewhere => {
                open(crowd, choice.random_range(1..3), visitors.another())?;
                3.0
            }
            Shape::Flapping if here > 3 => {
                crowd.leave(counter, 1, any);
                1.0
            }
            Shape::Flapping => {
                open(crowd, choice.random_range(0..3), visitors.another())?;
                1.0
            }
            Shape::EmptyAndBack if here > 0 => {
                crowd.leave(counter, here, any);
                choice.random_range(2.0..40.0)
            }
            Shape::EmptyAndBack => {
                for index in 0..20 {
                    open(crowd, index, visitors.another())?;
                }
                choice.random_range(2.0..40.0)
            }
            Shape::LongQuiet => {
                for index in here..40 {
                    open(crowd, index, visitors.another())?;
                }
                900.0
            }
            Shape::NewPeople => {
                crowd.leave(counter, usize::from(here >= 8), any);
                open(crowd, choice.random_range(0..3), visitors.another())?;
                1.0
            }
            Shape::FewPeople => {
                crowd.leave(counter, choice.random_range(0..6.min(here + 1)), any);
                for _ in here..200.min(here + 20) {
                    open(crowd, choice.random_range(0..3), choice.random_range(500..503))?;
                }
                2.0
            }
            Shape::Ordinary | Shape::OrdinarySlow => {
                let joins = if here < 50 { choice.random_range(0..5) } else { choice.random_range(0..3) };
                crowd.leave(counter, choice.random_range(0..3.min(here + 1)), any);
                for _ in 0..joins {
                    let known = 600 + choice.random_range(0..60);
                    let visitor = if choice.random() { known } else { visitors.another() };
                    open(crowd, choice.random_range(0..3), visitor)?;
                }
                if *shape == Shape::Ordinary { choice.random_range(0.2..3.0) } else { choice.random_range(5.0..60.0) }
            }
            Shape::Bursts if here > 10 => {
                crowd.leave(counter, 100, any);
                30.0
            }
            Shape::Bursts => {
                for index in 0..100 {
                    open(crowd, index, visitors.another())?;
                }
                30.0
            }
            Shape::Moving if here < 10 => {
                open(crowd, here, visitors.another())?;
                1.0
            }
            Shape::Moving => {
                if let Some((node, visitor)) = crowd.oldest(counter) {
                    let index = targets.iter().position(|target| target.node == node).unwrap_or(0);
                    open(crowd, index + choice.random_range(1..3), visitor)?;
                    crowd.leave(counter, 1, any);
                }
                5.0
            }
        })
    }
}
