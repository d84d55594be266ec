//! Redis stalls, or the clock of its machine is stepped: leases of nodes that live seem to have ended.

use std::{thread, time::Duration};

use headcount_testkit::promise::{GONE, HEALED};
use rand::{Rng, rngs::StdRng, seq::SliceRandom};

use super::{kept::Kept, setup::Setup, timeline::Timeline};

/// Stalls about as long as a lease, which heartbeats have used up in part when it begins, in milliseconds.
const STALLS: std::ops::RangeInclusive<u64> = 4_000..=8_000;

/// Before a stall, nodes speak one after the other within this time, less than a heartbeat: leases end one after the other, and
/// nodes whose own lease is young believe what they are told.
const IN_TURN: Duration = Duration::from_secs(4);

/// A whole heartbeat and what follows it: what a stall or a step has spoilt shows by then.
const AFTERWARDS: Duration = Duration::from_secs(6);

/// An hour, in seconds.
const HOUR: i64 = 3_600;

/// A little more than a lease, in seconds.
const LONGER_THAN_A_LEASE: std::ops::RangeInclusive<i64> = 9..=12;

/// After a step, a node dies at once or a while later.
const UNTIL_KILLED: [Duration; 2] = [Duration::from_millis(100), AFTERWARDS];

/// Redis stalls twice: while nobody comes or goes, and while viewers do.
pub(super) fn stall(setup: &mut Setup, choice: &mut StdRng, timeline: &mut Timeline) -> anyhow::Result<Vec<Kept>> {
    speak_in_turn(setup, choice)?;
    let quiet = Duration::from_millis(choice.random_range(STALLS));
    timeline.add(format!("Redis stalls for {quiet:.1?}"));
    let unmoved = setup.stays_exact_through(AFTERWARDS, timeline, |redis| redis.stall(quiet))?;

    let before = setup.fleet.truth();
    setup.fleet.forget_extremes()?;
    setup.redis().process().freeze()?;
    let busy = Duration::from_millis(choice.random_range(STALLS));
    timeline.add(format!("Redis stalls for {busy:.1?} while viewers come and go"));
    let changes = setup.stir(choice, timeline)?;
    thread::sleep(busy);
    setup.redis().process().thaw()?;
    let exact = setup.promise("exact after a stall in which viewers came and went", HEALED, timeline)?;
    setup.fleet.showed_only(before - changes.leaves, before + changes.joins)?;
    Ok(vec![unmoved, exact])
}

/// A viewer comes to each node, one after the other, so that each node has something to report.
fn speak_in_turn(setup: &mut Setup, choice: &mut StdRng) -> anyhow::Result<()> {
    let mut turns: Vec<usize> = (0..setup.fleet.nodes.len()).collect();
    turns.shuffle(choice);
    let pause = IN_TURN / (turns.len() as u32 - 1);
    for (turn, index) in turns.into_iter().enumerate() {
        if turn > 0 {
            thread::sleep(pause);
        }
        setup.fleet.nodes[index].join(1)?;
    }
    Ok(())
}

/// The clock of Redis's machine is stepped by an hour and by a little more than a lease, and back: in which order and which
/// way first, and after which step a node dies, is left to `choice`.
pub(super) fn clock(
    setup: &mut Setup,
    victim: usize,
    choice: &mut StdRng,
    timeline: &mut Timeline,
) -> anyhow::Result<Vec<Kept>> {
    let mut steps = [HOUR, choice.random_range(LONGER_THAN_A_LEASE)];
    steps.shuffle(choice);
    for step in &mut steps {
        *step *= if choice.random() { 1 } else { -1 };
    }
    let [one, other] = steps;
    let dies_after = choice.random_range(0..4);
    let mut kept = Vec::new();
    for (index, step) in [one, other, -one, -other].into_iter().enumerate() {
        timeline.add(format!("the clock of Redis is stepped by {step:+} s"));
        let dies = index == dies_after;
        let watched = if dies { UNTIL_KILLED[choice.random_range(0..2)] } else { AFTERWARDS };
        kept.push(setup.stays_exact_through(watched, timeline, |redis| redis.step_clock(step))?);
        if dies {
            kept.push(kill(setup, victim, step, timeline)?);
        }
    }
    Ok(kept)
}

/// A node dies after a step.
fn kill(setup: &mut Setup, victim: usize, step: i64, timeline: &mut Timeline) -> anyhow::Result<Kept> {
    let before = setup.fleet.truth();
    setup.fleet.forget_extremes()?;
    let node = setup.take_out(victim);
    node.node.kill();
    timeline.add(format!("{node} is killed"));
    let way = if step > 0 { "forward" } else { "back" };
    let what = format!("the viewers of a node that dies after a step {way} leave the count");
    let gone = setup.promise(&what, GONE, timeline)?;
    setup.fleet.showed_only(setup.fleet.truth(), before)?;
    setup.replace(victim, timeline)?;
    Ok(gone)
}
