//! [`Traffic`]: the viewers of one counter come and go in one of a dozen shapes.

use std::{io, iter::repeat_n};

use anyhow::Context;
use clap::ValueEnum;
use rand::{Rng, rngs::StdRng};

use super::{
    super::checks::name_of,
    crowd::{Crowd, Target},
};

/// Visitors of all counters are numbered in turn, from here on; observers come before.
const FIRST_VISITOR: u32 = 1_000;

/// 198.18.0.0/15 has 131,072 addresses.
const VISITORS: u32 = 130_000;

/// How viewers of a counter come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
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
    /// The counter's name.
    pub(super) fn name(self) -> String {
        name_of(&self)
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
        // Opens viewers at these nodes, each of a visitor who is new.
        let fill = |crowd: &mut Crowd, visitors: &mut Visitors, nodes: &mut dyn Iterator<Item = usize>| {
            for index in nodes {
                open(crowd, index, visitors.another())?;
            }
            io::Result::Ok(())
        };
        let any = |_| true;
        Ok(match shape {
            Shape::OnlyLeaves if here < 5 => {
                fill(crowd, visitors, &mut repeat_n(0, 215))?;
                2.0
            }
            Shape::OnlyLeaves => {
                crowd.leave(counter, 1, any);
                2.0
            }
            Shape::OnlyLeavesSlowly if here < 5 => {
                fill(crowd, visitors, &mut (0..100))?;
                4.5
            }
            Shape::OnlyLeavesSlowly => {
                crowd.leave(counter, 1, any);
                4.5
            }
            Shape::OnlyJoinsElsewhere if here == 0 => {
                fill(crowd, visitors, &mut repeat_n(0, 5))?;
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
                fill(crowd, visitors, &mut (0..20))?;
                choice.random_range(2.0..40.0)
            }
            Shape::LongQuiet => {
                fill(crowd, visitors, &mut (here..40))?;
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
                fill(crowd, visitors, &mut (0..100))?;
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
