//! Request heads, and whatever else opens a connection.

use crate::{
    answers::{self, Answers, Rest},
    node::{Ended, Node, STRANGER},
};

/// Ends whatever head has been begun, and asks for something that is not there, after which the node closes.
const END: &[u8] = b"\r\n\r\nGET /a/b/c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
/// How HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The bytes are all that a client sends. Where they end in a zero, or speak HTTP/2, it then sends no more, and otherwise a request behind them
/// that ends the connection. A real node answers over a real connection: every answer is whole and well-formed, the
/// connection ends, none of it is kept, and only who was sent a stream was counted.
pub fn heads(bytes: &[u8]) {
    let node = Node::running();
    let is_http2 = bytes.starts_with(PREFACE);
    // A frame may promise any length, for which a node waits as it does for any client.
    let cut = if is_http2 { Some(bytes) } else { bytes.strip_suffix(&[0]) };
    let said = match cut {
        Some(bytes) => node.exchange_cut(STRANGER, bytes),
        None => node.exchange(STRANGER, &[bytes, END].concat()),
    };
    if is_http2 {
        answers::frames(&said.bytes, said.ended);
        node.departed(0);
        return;
    }
    let answers = answers::read(&said.bytes);
    check(bytes, &answers, said.ended, cut.is_some());
    let streams = u64::from(answers.rest == Rest::Stream);
    let counted = node.departed(streams);
    // Who hangs up while he is let in is counted or not.
    assert!(counted == streams || cut.is_some(), "{counted} were counted, {streams} streams were sent");
}

fn check(bytes: &[u8], answers: &Answers, ended: Ended, is_cut: bool) {
    let nothing = answers.whole.is_empty() && answers.rest == Rest::Nothing;
    // hyper closes without an answer where a client speaks HTTP/2 wrongly, be it behind empty lines (RFC 9112 §2.2); and
    // who is cut off may be left without.
    let is_wrong_http2 = bytes.trim_ascii_start().starts_with(b"PRI");
    let may_be_silent = is_cut || ended == Ended::Reset || is_wrong_http2;
    assert!(!nothing || may_be_silent, "no answer");
    assert!(answers.rest != Rest::Unfinished || ended == Ended::Reset || is_cut, "half an answer: {answers:?}");
    for status in &answers.whole {
        assert!(matches!(status, 100 | 200 | 303 | 304 | 400 | 403..=405 | 413 | 414 | 429 | 431 | 503), "{status}");
    }
}
