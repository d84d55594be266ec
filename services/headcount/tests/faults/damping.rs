//! An address that opens and closes streams as fast as it may: what the others receive because of it.

use std::time::{Duration, Instant};

use headcount_testkit::{Batch, Goal, Viewers, promise::DAMPED, stream};

use crate::{
    fleet::{PATIENCE, pass},
    limits::{ADDRESS, Service, from},
};

/// Viewers that watch meanwhile, on all nodes together.
const WATCHERS: usize = 2_000;
/// Streams that the address opens and closes a second.
const FLAPS_A_SECOND: u32 = 16;
/// How long it does so.
const FLAPPING: Duration = Duration::from_secs(20);
/// How long the parts are counted that come without it.
const QUIET: Duration = Duration::from_secs(10);
/// More parts a second that each of the others may receive because of it.
const MORE: f64 = 1.0;

pub(crate) fn a_flapping_address_is_damped() -> anyhow::Result<()> {
    let service = Service::start(2, &[]);
    let urls: Vec<_> = service.nodes.iter().map(stream).collect();
    let watching = Viewers::open(WATCHERS, &urls).unwrap();
    service.counts(WATCHERS);
    let received = |time: Duration, meanwhile: &mut dyn FnMut()| {
        let (begun, before) = (Instant::now(), watching.snapshot().unwrap());
        while begun.elapsed() < time {
            meanwhile();
        }
        let (seconds, after) = (begun.elapsed().as_secs_f64(), watching.snapshot().unwrap());
        let each = |more: u64| more as f64 / WATCHERS as f64 / seconds;
        (each(after.parts - before.parts), each(after.bytes - before.bytes))
    };
    let (base, base_bytes) = received(QUIET, &mut || pass(QUIET / 10));
    let flapping = service.attempt(1, ADDRESS, &service.nodes);
    let one = Batch { count: 1, urls: urls.clone(), behaviour: from(ADDRESS), ..Batch::default() };
    let (mut flaps, begun) = (0, Instant::now());
    let (parts, bytes) = received(FLAPPING, &mut || {
        flapping.close(1).unwrap();
        flaps += 1;
        pass((flaps * Duration::from_secs(1) / FLAPS_A_SECOND).saturating_sub(begun.elapsed()));
        flapping.add(&one).unwrap();
        flapping.reach(Goal::Opened, PATIENCE).unwrap();
    });
    println!(
        "an address flaps {flaps} times in {FLAPPING:?}: each of {WATCHERS} others receives {parts:.2} parts a second \
         ({bytes:.0} bytes), without it {base:.2} ({base_bytes:.0} bytes)"
    );
    assert!(flaps >= FLAPS_A_SECOND * FLAPPING.as_secs() as u32 * 9 / 10, "{flaps} flaps");
    let seen = flapping.snapshot().unwrap();
    assert_eq!((seen.live, seen.lost()), (1, 0), "a damped stream receives frames: {seen}");
    assert!(parts <= base + MORE, "{parts:.2} parts a second, without it {base:.2}");
    // What lasts counts, and what has ended does not.
    watching.all_see((WATCHERS + 2 + 1) as u64, DAMPED).unwrap();
    drop(flapping);
    watching.all_see((WATCHERS + 2) as u64, DAMPED).unwrap();
    assert_eq!(watching.snapshot().unwrap().lost(), 0);
    Ok(())
}
