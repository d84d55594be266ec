//! Injects one fault, and checks what is promised after it.

use rand::{Rng, rngs::StdRng};

use super::{fault::Fault, kept::Kept, key_lives, nodes, setup::Setup, stalls, stores, timeline::Timeline};

/// Injects a fault, and returns the promises that were kept.
///
/// # Errors
/// If a promise is broken.
pub(super) fn inject(
    fault: Fault,
    setup: &mut Setup,
    choice: &mut StdRng,
    timeline: &mut Timeline,
) -> anyhow::Result<Vec<Kept>> {
    let victim = choice.random_range(0..setup.fleet.nodes.len());
    match fault {
        Fault::Kill => nodes::kill(setup, victim, choice, timeline),
        Fault::Stop => nodes::stop(setup, victim, choice, timeline),
        Fault::Freeze | Fault::Cut | Fault::Partition => nodes::absence(fault, setup, victim, choice, timeline),
        Fault::Restart | Fault::Flush => stores::loss(fault, setup, timeline),
        Fault::Outage => stores::outage(setup, choice, timeline),
        Fault::LongOutage => key_lives::long_outage(setup, victim, choice, timeline),
        Fault::Stall => stalls::stall(setup, choice, timeline),
        Fault::RedisClock => stalls::clock(setup, victim, choice, timeline),
        Fault::Eviction => key_lives::eviction(setup, choice, timeline),
        Fault::SilentSubscription => stores::silent_subscription(setup, victim, choice, timeline),
        Fault::DisturbedReports => stores::disturbed_reports(setup, choice, timeline),
        Fault::Clock => nodes::clock(setup, choice, timeline),
        Fault::Vanish => nodes::vanish(setup, victim, timeline),
        Fault::Failover => stores::failover(setup, choice, timeline),
        Fault::Slot => stores::slot(setup, choice, timeline),
    }
}
