//! Keys in Redis run out, vanish, or stay for ever.

use std::{net::Ipv4Addr, thread, time::Duration};

use anyhow::{Context, ensure};
use headcount_testkit::{
    COUNTER, Data, Promise, TIME_SCALE,
    promise::{HEALED, SOON},
    visitors, wait_until,
};
use rand::{Rng, rngs::StdRng, seq::SliceRandom};

use super::{kept::Kept, setup::Setup, timeline::Timeline};

/// Outages, in seconds: registrations that were prolonged at different times run out at different times, up to 300 s.
const OUTAGES: std::ops::RangeInclusive<u32> = 212..=330;

/// The viewers of one node come later than the others' by up to this time, in seconds: the keys of its session are prolonged at
/// other times.
const LATER: std::ops::RangeInclusive<u32> = 5..=60;

/// A time before each outage, in seconds, in which heartbeats alone prolong keys.
const QUIET_BEFORE: std::ops::RangeInclusive<u32> = 40..=140;

/// After an outage all stays as it is, in seconds.
const AND_STAYS: u32 = 30;

/// The kinds of a counter's keys. Each is evicted alone, then some of them together.
const KINDS: [&str; 4] = ["state", "sessions", "visitors", "viewers:*"];
const TOGETHER: [[&str; 2]; 3] = [["state", "sessions"], ["sessions", "visitors"], ["state", "viewers:*"]];

/// Nobody comes or goes for up to this time after an eviction, in milliseconds: heartbeats find it, or changes do.
const UNTIL_CHANGES: std::ops::RangeInclusive<u64> = 0..=2_000;

/// How long it is watched whether nodes spin: a heartbeat of each.
const WATCHED: Duration = Duration::from_secs(6);

/// The key that makes visitors.
const VISITOR_KEY: &str = "hc:visitor-key";

/// What the keys of client addresses are called.
const ADDRESSES: &str = "hc:address:*";

/// Streams of one address at each of two nodes.
const STREAMS: usize = 2;

/// How Redis is away with its data kept.
#[derive(Clone, Copy, Debug)]
enum Away {
    /// It is killed, and starts with what it had. Keys run out meanwhile.
    Killed,
    /// It runs, and no node reaches it.
    CutOff,
}

/// Redis is away for about the life of its keys, and keeps its data.
pub(super) fn long_outage(
    setup: &mut Setup,
    victim: usize,
    choice: &mut StdRng,
    timeline: &mut Timeline,
) -> anyhow::Result<Vec<Kept>> {
    let scaled = |seconds: u32| Duration::from_secs(seconds.into()) / TIME_SCALE;
    let node = &mut setup.fleet.nodes[victim];
    let viewers = node.open;
    node.leave(viewers)?;
    thread::sleep(scaled(choice.random_range(LATER)));
    setup.fleet.nodes[victim].join(viewers)?;
    thread::sleep(scaled(choice.random_range(QUIET_BEFORE)));
    let away = if choice.random() { Away::Killed } else { Away::CutOff };
    let seconds = choice.random_range(OUTAGES);
    match away {
        Away::Killed => {
            setup.redis().command(&["SAVE"])?;
            setup.redis().kill();
        }
        Away::CutOff => setup.fleet.nodes.iter().for_each(|node| node.proxy().cut()),
    }
    timeline.add(format!("Redis is away for {seconds} s at a scale of {TIME_SCALE}: {away:?}"));
    thread::sleep(scaled(seconds / 2));
    setup.stir(choice, timeline)?;
    thread::sleep(scaled(seconds - seconds / 2));
    match away {
        Away::Killed => setup.redis().restart(Data::Kept)?,
        Away::CutOff => setup.fleet.nodes.iter().for_each(|node| node.proxy().heal()),
    }
    timeline.add("Redis is back, with its data");
    let exact = setup.promise("exact after a long outage", HEALED, timeline)?;
    thread::sleep(scaled(AND_STAYS));
    Ok(vec![exact, setup.promise("and a while later", SOON, timeline)?])
}

/// Keys of every kind are evicted, and then all keys lose their end.
pub(super) fn eviction(setup: &mut Setup, choice: &mut StdRng, timeline: &mut Timeline) -> anyhow::Result<Vec<Kept>> {
    let mut kinds = KINDS;
    kinds.shuffle(choice);
    let alone = kinds.iter().map(std::slice::from_ref);
    let together = TOGETHER[choice.random_range(0..TOGETHER.len())];
    let mut all = Vec::new();
    for kinds in alone.chain([&together[..]]) {
        let healed = Promise::silent(format!("exact after the eviction of {}", kinds.join(" and ")), HEALED);
        for kind in kinds {
            let key = setup.redis().evict(&format!("hc:{{{COUNTER}}}:{kind}"))?;
            timeline.add(format!("{key} is evicted"));
        }
        thread::sleep(Duration::from_millis(choice.random_range(UNTIL_CHANGES)));
        setup.stir(choice, timeline)?;
        all.push(setup.promise_since(healed, "exact after an eviction", HEALED, timeline)?);
    }
    all.extend(keys_of_no_counter_evicted(setup, choice, timeline)?);
    all.extend(keys_without_end(setup, choice, timeline)?);
    Ok(all)
}

/// All keys lose their end: no node waits for it all the time, and the one key that nodes do not write again and again has an
/// end again soon.
fn keys_without_end(setup: &mut Setup, choice: &mut StdRng, timeline: &mut Timeline) -> anyhow::Result<Vec<Kept>> {
    let what = "the visitors' key has an end again";
    let ended = Promise::silent(what, HEALED);
    setup.redis().persist("hc:*")?;
    timeline.add("all keys lose their end");
    setup.stir(choice, timeline)?;
    let exact = setup.promise("exact with keys that have no end", SOON, timeline)?;
    let (sent, bound) = setup.fleet.is_quiet(setup.backend.redis(), WATCHED)?;
    timeline.add(format!("{sent} commands in {WATCHED:?}, at most {bound} are due"));
    let has_end = || match setup.redis().query(&["PTTL", VISITOR_KEY]).map_err(|error| error.to_string())? {
        1i64.. => Ok(()),
        left => Err(format!("PTTL is {left}")),
    };
    ended.check(wait_until(what, ended.left(), has_end))?;
    Ok(vec![exact, Kept::throughout("no node spins", WATCHED), Kept::within(what, HEALED, ended.kept()?)])
}

/// The key that makes visitors is evicted: a node that came before it is back would store another one, and take known visitors
/// for others. And so is the key of an address that has streams at two nodes: what they have together is known again soon.
fn keys_of_no_counter_evicted(
    setup: &mut Setup,
    choice: &mut StdRng,
    timeline: &mut Timeline,
) -> anyhow::Result<[Kept; 2]> {
    let [key_back, streams_back] = ["the visitors' key is back", "an evicted address's streams are known again"];
    let address_key = address_with_streams(setup, choice, timeline)?;
    let redis = setup.redis();
    let key: Vec<u8> = redis.query(&["GET", VISITOR_KEY])?;
    let [key_promise, streams_promise] = [key_back, streams_back].map(|what| Promise::silent(what, HEALED));
    redis.evict(VISITOR_KEY)?;
    redis.evict(&address_key)?;
    timeline.add(format!("{VISITOR_KEY} and {address_key} are evicted"));
    let is_back = || match redis.query::<Option<Vec<u8>>>(&["GET", VISITOR_KEY]) {
        Ok(Some(key)) => Ok(key),
        Ok(None) => Err("there is none".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let again = key_promise.check(wait_until(key_back, key_promise.left(), is_back))?;
    ensure!(again == key, "the visitors' key is another one after its eviction");
    let key_took = key_promise.kept()?;
    timeline.add(format!("{key_back} after {key_took:.2?}"));
    let are_known = || {
        let fields: Vec<String> = redis.query(&["HKEYS", &address_key]).map_err(|error| error.to_string())?;
        let streams = fields.iter().filter(|field| field.starts_with("s:")).count();
        if streams == 2 * STREAMS { Ok(()) } else { Err(format!("{streams} of {} streams", 2 * STREAMS)) }
    };
    streams_promise.check(wait_until(streams_back, streams_promise.left(), are_known))?;
    let streams_took = streams_promise.kept()?;
    timeline.add(format!("{streams_back} after {streams_took:.2?}"));
    Ok([Kept::within(key_back, HEALED, key_took), Kept::within(streams_back, HEALED, streams_took)])
}

/// Opens streams of one address at two nodes, and returns the address's key.
fn address_with_streams(setup: &mut Setup, choice: &mut StdRng, timeline: &mut Timeline) -> anyhow::Result<String> {
    let known = |setup: &mut Setup| setup.redis().query::<Vec<String>>(&["KEYS", ADDRESSES]);
    let before = known(setup)?;
    // Reserved for documentation (RFC 5737); another one each time, so that none comes near its limits.
    let address = Ipv4Addr::new(203, 0, 113, choice.random_range(1..255));
    for node in setup.fleet.nodes.iter_mut().take(2) {
        node.join_as(STREAMS, visitors(address.into(), 1, "one browser"))?;
    }
    setup.promise("exact with viewers of one address", SOON, timeline)?;
    let key = known(setup)?.into_iter().find(|key| !before.contains(key));
    key.with_context(|| format!("Redis does not know {address}, which has {} streams", 2 * STREAMS))
}
