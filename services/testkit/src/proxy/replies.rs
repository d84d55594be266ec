//! [`ReplyMatcher`]: matches answers with requests on one connection, so that requests can be doubled and overtaken while
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
pub(super) struct Message {
    pub(super) at: Instant,
    pub(super) bytes: Vec<u8>,
    /// What is to become of the answer, where this is a request.
    pub(super) action: Option<ReplyAction>,
}

/// What is to become of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyAction {
    /// It goes to the client as its answer number so-and-so.
    Answer(u64),
    /// Nobody asked for it.
    Discard,
    /// The connection is cut instead.
    Cut,
}

pub(super) struct ReplyMatcher {
    shared: Arc<Shared>,
    state: Mutex<State>,
}

struct State {
    choice: StdRng,
    /// A subscriber gets more answers than it asks for: they are passed as they come.
    subscribed: bool,
    requests: u64,
    /// Fates of the answers to come, in the order in which the requests were sent.
    actions: VecDeque<ReplyAction>,
    /// Answers that came before those that the client expects first.
    early: BTreeMap<u64, Vec<u8>>,
    answered: u64,
}

impl ReplyMatcher {
    pub(super) fn new(shared: Arc<Shared>, number: u64) -> Self {
        let seed = shared.rules().script_faults.map_or(0, |script_faults| script_faults.seed);
        let state = State {
            choice: StdRng::seed_from_u64(seed.wrapping_add(number)),
            subscribed: false,
            requests: 0,
            actions: VecDeque::new(),
            early: BTreeMap::new(),
            answered: 0,
        };
        Self { shared, state: Mutex::new(state) }
    }

    /// Takes a request of the client, and puts what is to be sent for it into `due`.
    pub(super) fn request(&self, value: &Value, message: &[u8], at: Instant, due: &mut VecDeque<Message>) {
        let mut state = self.state.lock().expect("nobody panics with it");
        let name = value.list().first().map(Value::text).unwrap_or_default().to_ascii_uppercase();
        state.subscribed |= name.ends_with("SUBSCRIBE");
        let mut action = ReplyAction::Answer(state.requests);
        state.requests += 1;
        let mut parcel = |at, action| due.push_back(Message { at, bytes: message.to_vec(), action: Some(action) });
        let script_faults = match self.shared.rules().script_faults {
            Some(script_faults) if matches!(name.as_str(), "EVALSHA" | "EVAL" | "FCALL") && !state.subscribed => {
                script_faults
            }
            _ => return parcel(at, action),
        };
        let mut chosen = |probability: f64| state.choice.random_bool(probability.clamp(0.0, 1.0));
        let doubled = chosen(script_faults.double);
        let (echoed, held_back, cut) =
            (chosen(script_faults.echo), chosen(script_faults.hold_back), chosen(script_faults.lose_answer));
        let mut later = || at + script_faults.later.mul_f64(state.choice.random());
        let first = if held_back { later() } else { at };
        let again = if echoed { Some(later()) } else { None };
        if cut {
            action = ReplyAction::Cut;
        }
        parcel(first, action);
        if doubled {
            parcel(first, ReplyAction::Discard);
        }
        if let Some(again) = again {
            parcel(again.max(first), ReplyAction::Discard);
        }
        let disturbed = [doubled, echoed, held_back, cut].into_iter().filter(|done| *done).count();
        self.shared.disturbed.fetch_add(disturbed as u64, Ordering::Relaxed);
    }

    /// A request was sent, whose answer has this action.
    pub(super) fn sent(&self, action: ReplyAction) {
        self.state.lock().expect("nobody panics with it").actions.push_back(action);
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
            let dropped = delivery && self.shared.rules().drop_messages;
            return Ok(if dropped { Vec::new() } else { vec![message.to_vec()] });
        }
        match state.actions.pop_front() {
            Some(ReplyAction::Answer(number)) => {
                state.early.insert(number, message.to_vec());
            }
            Some(ReplyAction::Discard) => return Ok(Vec::new()),
            Some(ReplyAction::Cut) => return Err(io::ErrorKind::ConnectionAborted.into()),
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

impl std::fmt::Debug for ReplyMatcher {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ReplyMatcher").finish_non_exhaustive()
    }
}
