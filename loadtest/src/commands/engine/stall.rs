//! One third of the viewers stop reading: the others notice nothing, and those who resume catch up.

use std::time::{Duration, Instant};

use headcount_testkit::{Batch, Behaviour, Viewers, Which};

use super::{
    super::checks::{check_parts, median, millis, wait_for_count, wait_until_open},
    arguments::Arguments,
    measured::{Measured, push_at_leisure},
    subject::{PATIENCE, StreamKind, Subject},
};
use crate::report::{Report, Weight};

/// A small receive buffer: a viewer that stops reading is noticed soon, because less is in flight.
const STALLER_BUFFER_BYTES: usize = 4096;

/// `--stall-limit` and `--keepalive` of the node whose viewers stop reading, in seconds.
/// The limit is well above [`STALLED_PUSHING`] and the pushes that are measured after it, so no viewer reaches it before.
const STALL_LIMIT_SECONDS: u64 = 60;
const KEEPALIVE_SECONDS: u64 = 15;

/// Pushes while some viewers do not read: enough to fill what the kernel holds for each of them. On a slow machine fewer,
/// as many as there is time for.
const STALLED_PUSHES: usize = 100;
const STALLED_PUSHING: Duration = Duration::from_secs(25);

/// One third of the viewers stop reading.
pub(super) fn stall(arguments: &Arguments, report: &mut Report) -> anyhow::Result<()> {
    let total = arguments.viewers;
    let stallers = total / 3;
    let limits = [format!("--stall-limit={STALL_LIMIT_SECONDS}s"), format!("--keepalive={KEEPALIVE_SECONDS}s")];
    let mut subject = Subject::headcount(&arguments.node().with(limits), StreamKind::Pictures, total)?;
    let url = subject.node().url("online.png");
    let open = |count, receive_buffer| -> anyhow::Result<Viewers> {
        let behaviour = Behaviour { receive_buffer, ..Behaviour::default() };
        let viewers = Viewers::start(Batch { count, urls: vec![url.clone()], per_second: None, behaviour })?;
        let snapshot = wait_until_open(&viewers, "opening viewers", PATIENCE)?;
        anyhow::ensure!(snapshot.live == count, "only {snapshot}");
        Ok(viewers)
    };
    let steady = open(total - stallers, None)?;
    let stalling = open(stallers, Some(STALLER_BUFFER_BYTES))?;
    steady.all_see(total as u64, PATIENCE)?;
    let before = rounds(&mut subject, &steady, arguments.pushes)?;

    stalling.stall(stallers, Which::Oldest)?;
    let stalled_at = Instant::now();
    let memory_before = subject.usage()?.pss_bytes;
    let pushed_quickly = rounds_quickly(&mut subject, &steady)?;
    let during = rounds(&mut subject, &steady, arguments.pushes)?;
    let grown = subject.usage()?.pss_bytes.saturating_sub(memory_before);
    let ratio = during / before;
    let (what, bound) = ("p99 of those that read, while a third does not", "≤ 1.2 × before");
    report.verdict(Weight::Goal, what, format!("{ratio:.2} × {before:.1} ms"), bound, ratio <= 1.2);
    let grown_mb = grown as f64 / 1e6;
    report.verdict(Weight::Goal, "the node's memory grew by", format!("{grown_mb:.1} MB"), "< 20 MB", grown_mb < 20.0);

    // Those that resume before the limit get the newest, and of the frames between only what the kernel holds.
    let parts_before = stalling.snapshot()?.parts;
    stalling.resume()?;
    let newest = subject.numbers().0;
    let caught_up = stalling.all_see(newest, PATIENCE)?;
    let snapshot = stalling.snapshot()?;
    let backlog = (snapshot.parts - parts_before) as f64 / stallers.max(1) as f64;
    let pushed = pushed_quickly + arguments.pushes;
    report.verdict(
        Weight::Promise,
        format!("who resumes after {} s has the newest number", stalled_at.elapsed().as_secs()),
        format!("{}, {backlog:.0} of {pushed} frames read on the way", millis(caught_up)),
        "it comes next, behind what the kernel held",
        snapshot.live == stallers && backlog < pushed as f64 * 0.9,
    );
    check_parts(report, "viewers that stalled and resumed", &snapshot);

    // Those that never do are gone by the limit.
    stalling.stall(stallers, Which::Oldest)?;
    let stalled_at = Instant::now();
    rounds_quickly(&mut subject, &steady)?;
    let left = total - stallers;
    let gone_within = Duration::from_secs(STALL_LIMIT_SECONDS + KEEPALIVE_SECONDS + 5);
    let extra = subject.numbers().0 - total as u64;
    let gone = wait_for_count(subject.node(), "online", left as u64 + extra, gone_within);
    let bound = format!("≤ {} s", gone_within.as_secs());
    let measured = match &gone {
        Ok(()) => format!("{:.0} s", stalled_at.elapsed().as_secs_f64()),
        Err(error) => error.to_string(),
    };
    report.verdict(Weight::Promise, "who never reads again is gone from the count", measured, bound, gone.is_ok());
    check_parts(report, "viewers that read on", &steady.snapshot()?);
    Ok(())
}

/// Pushes one after the other, and returns the median of their p99 in milliseconds.
fn rounds(subject: &mut Subject, steady: &Viewers, pushes: usize) -> anyhow::Result<f64> {
    let mut measured = Measured::default();
    for _ in 0..pushes {
        push_at_leisure(subject, steady, &mut measured)?;
    }
    Ok(median(measured.p99))
}

/// Pushes without measuring, as fast as they are seen, and returns how often.
fn rounds_quickly(subject: &mut Subject, steady: &Viewers) -> anyhow::Result<usize> {
    let begun = Instant::now();
    for pushed in 0..STALLED_PUSHES {
        if begun.elapsed() > STALLED_PUSHING {
            return Ok(pushed);
        }
        let due = subject.numbers().1;
        subject.push()?;
        steady.all_see(due, PATIENCE)?;
    }
    Ok(STALLED_PUSHES)
}
