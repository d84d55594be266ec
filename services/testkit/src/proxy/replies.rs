//! [`Exchange`]: matches answers with requests on one connection, so that requests can be doubled and overtaken while
//! the client still gets one answer to each, in its own order.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Instant,
};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::rules::Shared;
use crate::resp::Value;

/// Something on its way.
pub(super) struct Parcel {
    pub(super) at: Instant,
    pub(super) bytes: Vec<u8>,
    /// What is to become of the answer, where this is a request.
    pub(super) fate: Option<Fate>,
}

/// What is to become of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes to the client as its answer number so-and-so.
    Answer(u64),
    /// Nobody asked for it.
    Discard,
    /// The connection is cut instead.
    Cut,
}

pub(super) struct Exchange {
    shared: Arc<Shared>,
    state: Mutex<State>,
}

struct State {
    choice: StdRng,
    /// A subscriber gets more answers than it asks for: they are passed as they come.
    subscribed: bool,
    requests: u64,
    /// Fates of the answers to come, in the order in which the requests were sent.
    fates: VecDeque<Fate>,
    /// Answers that came before those that the client expects first.
    early: BTreeMap<u64, Vec<u8>>,
    answered: u64,
}

impl Exchange {
    pub(super) fn new(shared: Arc<Shared>, number: u64) -> Self {
        let seed = shared.rules().mangle.map_or(0, |mangle| mangle.seed);
        let state = State {
            choice: StdRng::seed_from_u64(seed.wrapping_add(number)),
            subscribed: false,
            requests: 0,
            fates: VecDeque::new(),
            early: BTreeMap::new(),
            answered: 0,
        };
        Self { shared, state: Mutex::new(state) }
    }

    /// Takes a request of the client, and puts what is to be sent for it into `due`.
    pub(super) fn request(&self, value: &Value, message: &[u8], at: Instant, due: &mut VecDeque<Parcel>) {
        let mut state = self.state.lock().expect("nobody panics with it");
        let name = value.list().first().map(Value::text).unwrap_or_default().to_ascii_uppercase();
        state.subscribed |= name.ends_with("SUBSCRIBE");
        let mut fate = Fate::Answer(state.requests);
        state.requests += 1;
        let mut parcel = |at, fate| due.push_back(Parcel { at, bytes: message.to_vec(), fate: Some(fate) });
        let mangle = match self.shared.rules().mangle {
            Some(mangle) if matches!(name.as_str(), "EVALSHA" | "EVAL" | "FCALL") && !state.subscribed => mangle,
            _ => return parcel(at, fate),
        };
        let mut chosen = |probability: f64| state.choice.random_bool(probability.clamp(0.0, 1.0));
        let doubled = chosen(mangle.double);
        let (echoed, held_back, cut) = (chosen(mangle.echo), chosen(mangle.hold_back), chosen(mangle.lose_answer));
        let mut later = || at + mangle.later.mul_f64(state.choice.random());
        let first = if held_back { later() } else { at };
        let again = if echoed { Some(later()) } else { None };
        if cut {
            fate = Fate::Cut;
        }
        parcel(first, fate);
        if doubled {
            parcel(first, Fate::Discard);
        }
        if let Some(again) = again {
            parcel(again.max(first), Fate::Discard);
        }
        let mangled = [doubled, echoed, held_back, cut].into_iter().filter(|done| *done).count();
        self.shared.mangled.fetch_add(mangled as u64, Ordering::Relaxed);
    }

    /// A request was sent, whose answer has this fate.
    pub(super) fn sent(&self, fate: Fate) {
        self.state.lock().expect("nobody panics with it").fates.push_back(fate);
    }

    /// Takes an answer of the server, and gives what the client is to get now.
    ///
    /// # Errors
    /// If the connection is to be cut.
    pub(super) fn answer(&self, value: &Value, message: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let mut state = self.state.lock().expect("nobody panics with it");
        let pushed = message.first() == Some(&b'>');
        if pushed || state.subscribed {
            let kind = value.list().first().map(Value::text).unwrap_or_default();
            let delivery = matches!(kind.as_str(), "message" | "pmessage" | "smessage");
            let dropped = delivery && self.shared.rules().swallow_deliveries;
            return Ok(if dropped { Vec::new() } else { vec![message.to_vec()] });
        }
        match state.fates.pop_front() {
            Some(Fate::Answer(number)) => {
                state.early.insert(number, message.to_vec());
            }
            Some(Fate::Discard) => return Ok(Vec::new()),
            Some(Fate::Cut) => return Err(io::ErrorKind::ConnectionAborted.into()),
            // The server says something unasked, as it does when it refuses a connection.
            None => return Ok(vec![message.to_vec()]),
        }
        let mut ready = Vec::new();
        loop {
            let next = state.answered;
            let Some(answer) = state.early.remove(&next) else { return Ok(ready) };
            ready.push(answer);
            state.answered += 1;
        }
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Exchange").finish_non_exhaustive()
    }
}
