//! [`ReplyMatcher`]: matches replies with requests on one connection, so that requests can be duplicated and reordered
//! while the client still gets one reply to each, in its own order.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};
use redis::{FromRedisValue, PushKind, Value};

use super::rules::Shared;

/// A message to send, and when.
pub(super) struct Message {
    pub(super) at: Instant,
    pub(super) bytes: Vec<u8>,
    /// What happens to the reply, if this is a request.
    pub(super) action: Option<ReplyAction>,
}

/// What happens to a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyAction {
    /// It goes to the client as the reply with this number.
    Forward(u64),
    /// It is dropped: the client did not ask for it.
    Discard,
    /// The connection is closed instead.
    Close,
}

pub(super) struct ReplyMatcher {
    shared: Arc<Shared>,
    state: Mutex<State>,
}

struct State {
    choice: StdRng,
    /// A subscriber gets more replies than it asks for: they pass as they come.
    subscribed: bool,
    requests: u64,
    /// The actions for the replies to come, in the order in which the requests were sent.
    actions: VecDeque<ReplyAction>,
    /// Replies that arrived before an earlier one, by number.
    early: BTreeMap<u64, Vec<u8>>,
    forwarded: u64,
}

impl ReplyMatcher {
    /// For the connection with this number.
    pub(super) fn new(shared: Arc<Shared>, connection: u64) -> Self {
        let seed = shared.rules().script_faults.map_or(0, |faults| faults.seed);
        let state = State {
            choice: StdRng::seed_from_u64(seed.wrapping_add(connection)),
            subscribed: false,
            requests: 0,
            actions: VecDeque::new(),
            early: BTreeMap::new(),
            forwarded: 0,
        };
        Self { shared, state: Mutex::new(state) }
    }

    /// Takes a request of the client, and adds what to send for it to `queue`.
    pub(super) fn request(&self, value: &Value, bytes: &[u8], at: Instant, queue: &mut VecDeque<Message>) {
        let mut state = self.state.lock();
        let name = first_word(value).to_ascii_uppercase();
        state.subscribed |= name.ends_with("SUBSCRIBE");
        let mut action = ReplyAction::Forward(state.requests);
        state.requests += 1;
        let mut send = |at, action| queue.push_back(Message { at, bytes: bytes.to_vec(), action: Some(action) });
        let faults = match self.shared.rules().script_faults {
            Some(faults) if matches!(name.as_str(), "EVALSHA" | "EVAL" | "FCALL") && !state.subscribed => faults,
            _ => return send(at, action),
        };
        let mut chosen = |probability: f64| state.choice.random_bool(probability.clamp(0.0, 1.0));
        let duplicated = chosen(faults.duplicate);
        let (repeated, reordered, lost) = (chosen(faults.repeat), chosen(faults.reorder), chosen(faults.lose_reply));
        let mut later = || at + faults.max_delay.mul_f64(state.choice.random());
        let first = if reordered { later() } else { at };
        let again = if repeated { Some(later()) } else { None };
        if lost {
            action = ReplyAction::Close;
        }
        send(first, action);
        if duplicated {
            send(first, ReplyAction::Discard);
        }
        if let Some(again) = again {
            send(again.max(first), ReplyAction::Discard);
        }
        let disturbed = [duplicated, repeated, reordered, lost].into_iter().filter(|fault| *fault).count();
        self.shared.disturbed.fetch_add(disturbed as u64, Ordering::Relaxed);
    }

    /// Called when a request has been sent, with the action for its reply.
    pub(super) fn sent(&self, action: ReplyAction) {
        self.state.lock().actions.push_back(action);
    }

    /// Takes a reply of the server, and returns what the client gets now.
    ///
    /// # Errors
    /// If the connection is to be closed.
    pub(super) fn reply(&self, value: &Value, bytes: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let mut state = self.state.lock();
        if state.subscribed || matches!(value, Value::Push { .. }) {
            let dropped = is_published(value) && self.shared.rules().drop_messages;
            return Ok(if dropped { Vec::new() } else { vec![bytes.to_vec()] });
        }
        match state.actions.pop_front() {
            Some(ReplyAction::Forward(number)) => {
                state.early.insert(number, bytes.to_vec());
            }
            Some(ReplyAction::Discard) => return Ok(Vec::new()),
            Some(ReplyAction::Close) => return Err(io::ErrorKind::ConnectionAborted.into()),
            // Unasked, as when the server refuses a connection.
            None => return Ok(vec![bytes.to_vec()]),
        }
        let mut ready = Vec::new();
        loop {
            let next = state.forwarded;
            let Some(reply) = state.early.remove(&next) else { return Ok(ready) };
            ready.push(reply);
            state.forwarded += 1;
        }
    }
}

/// Whether this is a published message, in RESP2 or RESP3.
fn is_published(value: &Value) -> bool {
    match value {
        Value::Push { kind, .. } => matches!(kind, PushKind::Message | PushKind::PMessage | PushKind::SMessage),
        value => matches!(first_word(value).as_str(), "message" | "pmessage" | "smessage"),
    }
}

/// The first element of an array as text, or nothing.
fn first_word(value: &Value) -> String {
    let Value::Array(values) = value else { return String::new() };
    values.first().and_then(|first| String::from_redis_value_ref(first).ok()).unwrap_or_default()
}
