//! The ways into this module for `services/fuzz`.

use std::sync::Arc;

use redis::{Parser, Value};
use tokio::time::Instant;

use super::counter_view::CounterView;
use super::keys::Prefix;
use super::reply::{Reply, State};
use crate::local_viewers::{LocalViewers, Versions};
use crate::metrics::Metrics;
use crate::settings::Timing;
use crate::{CounterName, Reading};

/// What a node makes of what Redis says about one counter.
pub struct ReplyFuzzer {
    view: Arc<CounterView>,
    parser: Parser,
    /// Every count that Redis has told.
    pub counts: Vec<u64>,
}

impl Default for ReplyFuzzer {
    fn default() -> ReplyFuzzer {
        let name = CounterName::parse("online").expect("a good name");
        let local_viewers = LocalViewers::shared(name, Arc::new(Versions::new(0)), Metrics::default());
        let view = CounterView::new(Arc::new(local_viewers), Timing::default(), Metrics::default());
        view.subscribed();
        ReplyFuzzer { view, parser: Parser::new(), counts: Vec::new() }
    }
}

impl ReplyFuzzer {
    /// Hears the connection's next reply or message, and gives what is shown then. `None`: nothing whole is left, or it is
    /// not Redis that speaks.
    pub fn hear(&mut self, connection: &mut &[u8]) -> Option<Reading> {
        let value = self.parser.parse_value(connection).ok()?;
        if let Some(state) = message(&value) {
            self.counts.push(state.count);
            self.view.delivered(state);
        } else if let Some(reply) = Reply::parse(value) {
            self.counts.push(reply.state.count);
            self.view.replied(reply.state, Some(Instant::now()));
        }
        self.view.tick();
        Some(self.view.local_viewers.reading())
    }
}

/// The state that a message of the counter's channel tells.
fn message(value: &Value) -> Option<State> {
    let (Value::Array(parts) | Value::Push { data: parts, .. }) = value else { return None };
    let [Value::BulkString(kind), _, Value::BulkString(payload)] = &parts[..] else { return None };
    (kind == b"message").then(|| State::parse(payload)).flatten()
}

/// Whether a counter's name can be read from the key of its state.
pub fn state_key_names(name: &CounterName) -> bool {
    let prefix = Prefix("hc:".to_owned());
    prefix.counter_of_state(&prefix.counter(name).state) == Some(name.as_str())
}
