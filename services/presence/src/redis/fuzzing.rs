//! What `services/fuzz` uses of this module.

use std::sync::Arc;

use redis::{Parser, Value};
use tokio::time::Instant;

use super::counter_view::{CounterView, Known};
use super::keys::Prefix;
use super::reply::{Message, Reply};
use crate::local_viewers::LocalViewers;
use crate::metrics::Metrics;
use crate::settings::Timing;
use crate::versions::Versions;
use crate::{CounterName, Reading};

/// The view of one counter, fed with the bytes of a connection to Redis.
pub struct CounterViewHarness {
    view: Arc<CounterView>,
    parser: Parser,
    /// The count of every state so far.
    pub counts: Vec<u64>,
}

impl Default for CounterViewHarness {
    fn default() -> CounterViewHarness {
        let name = CounterName::parse("online").expect("the name is valid");
        let local_viewers = LocalViewers::reported(name, Arc::new(Versions::new(0)), Metrics::default());
        let view = CounterView::new(Arc::new(local_viewers), Timing::default(), Metrics::default(), Known::default());
        view.subscribed();
        CounterViewHarness { view, parser: Parser::new(), counts: Vec::new() }
    }
}

impl CounterViewHarness {
    /// Parses the connection's next reply or message, and returns the reading that is shown then. `None` if nothing
    /// complete is left, or the bytes are not Redis's protocol.
    pub fn feed(&mut self, connection: &mut &[u8]) -> Option<Reading> {
        let value = self.parser.parse_value(connection).ok()?;
        if let Some(message) = message(&value) {
            self.counts.push(message.state.count);
            self.view.message_received(message);
        } else if let Some(reply) = Reply::parse(value) {
            self.counts.push(reply.state.count);
            let now = Instant::now();
            self.view.reply_received(reply.state, now, Some(now));
        }
        self.view.tick();
        Some(self.view.local_viewers.reading())
    }
}

/// Parses a message of the counter's channel.
fn message(value: &Value) -> Option<Message> {
    let (Value::Array(parts) | Value::Push { data: parts, .. }) = value else { return None };
    let [Value::BulkString(kind), _, Value::BulkString(payload)] = &parts[..] else { return None };
    (kind == b"message").then(|| Message::parse(payload)).flatten()
}

/// Whether a counter's name can be read from the key of its state.
pub fn state_key_names(name: &CounterName) -> bool {
    let prefix = Prefix("hc:".to_owned());
    prefix.counter_of_state(&prefix.counter(name).state) == Some(name.as_str())
}
