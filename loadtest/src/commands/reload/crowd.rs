//! [`Crowd`]: the viewers of a node that is reloaded, and how many of them there truly are.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use headcount_testkit::{Batch, Node, Snapshot, Viewers, client::Behaviour};
use parking_lot::Mutex;

/// Viewers who stop reading, of a picture that fills their buffers.
pub(super) const STALLED: usize = 100;
/// Viewers of the other node, who see the same number.
pub(super) const OTHERS: usize = 100;
/// Changes in a row in the same direction.
const TURN: usize = 50;
/// A change may be shown this much later, and need not be shown earlier.
const PROMISED: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(120);

/// What happens during the reloads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Traffic {
    /// Nobody comes or goes.
    None,
    /// Viewers come for a while, and go again; some stop reading.
    Changes { per_second: f64 },
}

/// How many viewers there have been, and since when.
type History = Arc<Mutex<Vec<(Instant, u64)>>>;

/// The viewers.
pub(super) struct Crowd {
    /// Those of the node that is reloaded, who stay.
    pub(super) staying: Viewers,
    /// Those who stop reading.
    pub(super) stalled: Option<Viewers>,
    /// Those of the other node.
    pub(super) others: Option<Viewers>,
    changing: Option<(Arc<AtomicBool>, JoinHandle<anyhow::Result<Snapshot>>)>,
    history: History,
}

impl Crowd {
    pub(super) fn open(viewers: usize, node: &Node, other: Option<&Node>, traffic: Traffic) -> anyhow::Result<Self> {
        let staying = Viewers::open(viewers, &[node.url("online.png")])?;
        let others = other.map(|node| Viewers::open(OTHERS, &[node.url("online.png")])).transpose()?;
        let all = viewers + if others.is_some() { OTHERS } else { 0 };
        let history: History = Arc::new(Mutex::new(vec![(Instant::now(), all as u64)]));
        let mut crowd = Self { staying, stalled: None, others, changing: None, history };
        if traffic != Traffic::None {
            let large = Batch {
                count: STALLED,
                urls: vec![node.url("online.png?style=odometer&height=96&scale=3")],
                behaviour: Behaviour { receive_buffer: Some(4096), ..Behaviour::default() },
                ..Batch::default()
            };
            let stalled = Viewers::start_in_thread(&large)?;
            stalled.opened(PATIENCE)?;
            stalled.stall(STALLED, headcount_testkit::client::Which::Oldest)?;
            crowd.stalled = Some(stalled);
            crowd.history.lock().push((Instant::now(), (all + STALLED) as u64));
        }
        crowd.all_see_the_truth()?;
        if let Traffic::Changes { per_second } = traffic {
            let stop = Arc::new(AtomicBool::new(false));
            let (url, history, stopping) = (node.url("online.png"), Arc::clone(&crowd.history), Arc::clone(&stop));
            let change = move || change(&url, per_second, &history, &stopping);
            crowd.changing = Some((stop, thread::Builder::new().name("changes".into()).spawn(change)?));
        }
        Ok(crowd)
    }

    /// Waits until everybody who reads sees how many there are now.
    pub(super) fn all_see_the_truth(&self) -> anyhow::Result<()> {
        let number = self.history.lock().last().expect("it is never empty").1;
        for viewers in self.reading() {
            viewers.all_see(number, PATIENCE)?;
        }
        Ok(())
    }

    /// Those who read.
    pub(super) fn reading(&self) -> impl Iterator<Item = &Viewers> {
        [Some(&self.staying), self.others.as_ref()].into_iter().flatten()
    }

    /// The lowest and the highest number that may be shown between two moments.
    pub(super) fn bounds(&self, from: Instant, to: Instant) -> (u64, u64) {
        let history = self.history.lock();
        let earliest = from.checked_sub(PROMISED).unwrap_or(from);
        let first = history.partition_point(|(at, _)| *at <= earliest).saturating_sub(1);
        let shown = history[first..].iter().take_while(|(at, _)| *at <= to).map(|(_, number)| *number);
        shown.fold((u64::MAX, 0), |(low, high), number| (low.min(number), high.max(number)))
    }

    /// Ends the changes, and returns what those who came and went have seen.
    pub(super) fn settle(&mut self) -> anyhow::Result<Option<Snapshot>> {
        let Some((stop, thread)) = self.changing.take() else { return Ok(None) };
        stop.store(true, Ordering::Relaxed);
        thread.join().map_err(|_| anyhow::anyhow!("the changes panicked"))?.map(Some)
    }
}

/// Opens and closes viewers until told to stop; then all of them have left.
fn change(url: &str, per_second: f64, history: &History, stop: &AtomicBool) -> anyhow::Result<Snapshot> {
    let batch = |count| Batch { count, urls: vec![url.to_owned()], ..Batch::default() };
    let viewers = Viewers::start_in_thread(&batch(0))?;
    let pause = Duration::from_secs_f64(1.0 / per_second);
    let note = |change: i64| {
        let mut history = history.lock();
        let now = history.last().expect("it is never empty").1;
        history.push((Instant::now(), now.saturating_add_signed(change)));
    };
    let mut open = 0;
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        for step in 0..2 * TURN {
            next += pause;
            thread::sleep(next.saturating_duration_since(Instant::now()));
            // A join is true from the request on, a leave from the close on: noted before they can be shown.
            if step < TURN {
                note(1);
                viewers.add(&batch(1))?;
                open += 1;
            } else {
                note(-1);
                viewers.close(1)?;
                open -= 1;
            }
        }
        debug_assert_eq!(open, 0);
    }
    Ok(viewers.snapshot()?)
}
