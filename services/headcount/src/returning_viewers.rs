//! [`ReturningViewers`]: registrations of viewers whose documents have ended or are being loaded anew, and who are expected back
//! in a moment. They count meanwhile, so that the number does not move.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use headcount_presence::{CounterName, Network, Registration, Visitor};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::html_document;

/// Interval at which viewers are looked for who have not come back.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// The registrations that wait, by counter and client address: whoever comes back from there takes the oldest, its own first.
#[derive(Default)]
pub(crate) struct ReturningViewers(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    by_client: HashMap<(CounterName, Network), VecDeque<WaitingViewer>>,
    /// Nobody is expected back: the node ends.
    is_closed: bool,
}

struct WaitingViewer {
    registration: Registration,
    cause: Absence,
    until: Instant,
}

/// Why a viewer is expected back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Absence {
    /// Its document has ended, and will be refreshed.
    Ended,
    /// It has closed its connection, and may be loading everything anew.
    Left,
}

impl Absence {
    /// How long it may take.
    pub(crate) const fn most(self) -> Duration {
        match self {
            Self::Ended => html_document::MOST_REFRESH.saturating_add(Duration::from_secs(4)),
            Self::Left => Duration::from_secs(1),
        }
    }
}

/// What a request for a document says of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It refreshes the document.
    Refreshed,
    /// It loads the document within another that it refreshes.
    Reloaded,
    /// It has not had the document before.
    Loaded,
}

impl Arrival {
    /// How long the sender may still count as the one that it was before: that one is expected back.
    pub(crate) const fn elsewhere(self) -> Duration {
        match self {
            Self::Refreshed => Absence::Ended.most().saturating_sub(html_document::MOST_REFRESH),
            Self::Reloaded => Absence::Left.most().saturating_add(CHECK_INTERVAL.saturating_mul(2)),
            Self::Loaded => Duration::ZERO,
        }
    }
}

/// A viewer who is expected back, without its registration's process.
pub(crate) struct ExpectedViewer {
    /// The counter that it counts at.
    pub(crate) counter: CounterName,
    /// Its registration.
    pub(crate) registration: Registration,
    /// Why it is away.
    pub(crate) cause: Absence,
    /// How long it is expected.
    pub(crate) within: Duration,
}

impl ReturningViewers {
    /// Keeps the registration until its viewer is back, and drops it if that is not so within this time.
    pub(crate) fn expect(&self, viewer: ExpectedViewer) {
        let ExpectedViewer { counter, registration, cause, within } = viewer;
        let mut waiting = self.0.lock();
        if waiting.is_closed {
            // Not under the lock: a drop may take long.
            drop(waiting);
            return drop(registration);
        }
        let client = (counter, registration.network());
        let until = Instant::now() + within;
        waiting.by_client.entry(client).or_default().push_back(WaitingViewer { registration, cause, until });
    }

    /// Returns the registration of a viewer who is back: its own if it is there, or else another one of its address, as after the
    /// visitors' key has changed. Who loads the document within another one anew takes that of a document that has ended only
    /// if it is its own; all others will refresh theirs.
    pub(crate) fn take(
        &self,
        counter: &CounterName,
        client_ip: IpAddr,
        visitor: Visitor,
        arrival: Arrival,
    ) -> Option<Registration> {
        let client = (counter.clone(), Network::of(client_ip));
        let mut waiting = self.0.lock();
        let viewers = waiting.by_client.get_mut(&client)?;
        let (own, any) = (true, false);
        let preferred: &[(bool, Absence)] = match arrival {
            Arrival::Refreshed => {
                &[(own, Absence::Ended), (own, Absence::Left), (any, Absence::Ended), (any, Absence::Left)]
            }
            Arrival::Reloaded => &[(own, Absence::Left), (own, Absence::Ended), (any, Absence::Left)],
            Arrival::Loaded => &[],
        };
        // The first has waited longest.
        let find = |&(own, cause): &(bool, Absence)| {
            viewers.iter().position(|it| it.cause == cause && (!own || it.registration.visitor() == visitor))
        };
        let index = preferred.iter().find_map(find)?;
        let viewer = viewers.remove(index);
        if viewers.is_empty() {
            waiting.by_client.remove(&client);
        }
        Some(viewer?.registration)
    }

    /// Drops the registrations of those who have not come back, again and again. Runs until it is cancelled.
    pub(crate) async fn drop_overdue(&self) {
        let mut check = tokio::time::interval(CHECK_INTERVAL);
        loop {
            check.tick().await;
            drop(self.overdue(Instant::now()));
        }
    }

    /// From now on, nobody is expected back. Drops all registrations.
    pub(crate) fn close(&self) {
        drop(self.take_all());
    }

    /// Returns all who are expected. From now on, nobody else is.
    pub(crate) fn take_all(&self) -> Vec<ExpectedViewer> {
        let by_client = {
            let mut waiting = self.0.lock();
            waiting.is_closed = true;
            std::mem::take(&mut waiting.by_client)
        };
        let now = Instant::now();
        let viewers = by_client.into_iter().flat_map(|((counter, _), viewers)| {
            viewers.into_iter().map(move |WaitingViewer { registration, cause, until }| ExpectedViewer {
                counter: counter.clone(),
                registration,
                cause,
                within: until.saturating_duration_since(now),
            })
        });
        viewers.collect()
    }

    fn overdue(&self, now: Instant) -> Vec<WaitingViewer> {
        let mut overdue = Vec::new();
        self.0.lock().by_client.retain(|_, viewers| {
            let mut index = 0;
            while let Some(viewer) = viewers.get(index) {
                if viewer.until <= now {
                    overdue.extend(viewers.remove(index));
                } else {
                    index += 1;
                }
            }
            !viewers.is_empty()
        });
        overdue
    }
}
