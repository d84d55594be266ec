//! Fuzz target: request heads and whatever else a client sends.

use crate::{
    node::{Node, UNTRUSTED},
    responses::{self, ConnectionEnd, Remainder, Responses},
};

/// Ends an unfinished head and requests a path that leads nowhere. The node closes the connection afterwards.
const END: &[u8] = b"\r\n\r\nGET /a/b/c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
/// HTTP/2's connection preface.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Sends the bytes to a real node. If they end in a zero or begin with HTTP/2's preface, the client then shuts down its side.
/// Otherwise it sends `END`, and shuts down only if that completes the preface. Checks that every response is complete and
/// well-formed, that the connection ends, and that the node counts a viewer only if it sent a stream.
pub fn heads(bytes: &[u8]) {
    let node = Node::running();
    // A frame may announce any length, for which the node waits.
    let cut = if bytes.starts_with(PREFACE) { Some(bytes) } else { bytes.strip_suffix(&[0]) };
    let sent = cut.map_or_else(|| [bytes, END].concat(), <[u8]>::to_vec);
    // END may complete the preface.
    let is_http2 = sent.starts_with(PREFACE);
    let is_cut = cut.is_some() || is_http2;
    let received = if is_cut { node.exchange_and_shut_down(UNTRUSTED, &sent) } else { node.exchange(UNTRUSTED, &sent) };
    if is_http2 {
        responses::check_http2_frames(&received.bytes, received.end);
        node.departed(0);
        return;
    }
    let responses = responses::read(&received.bytes);
    check(&sent, &responses, received.end, is_cut);
    let streams = u64::from(responses.remainder == Remainder::Stream);
    let counted = node.departed(streams);
    // A client that shuts down during admission may be counted or not.
    assert!(counted == streams || is_cut, "{counted} viewers were counted, {streams} streams were sent");
}

fn check(sent: &[u8], responses: &Responses, end: ConnectionEnd, is_cut: bool) {
    let nothing = responses.statuses.is_empty() && responses.remainder == Remainder::Nothing;
    // hyper closes at once if the preface follows empty lines (RFC 9112 §2.2) or a request, whose response may be lost. A
    // client that shuts down may get no response.
    let is_wrong_http2 = sent.windows(PREFACE.len()).any(|window| window == PREFACE);
    let may_be_silent = is_cut || end == ConnectionEnd::Reset || is_wrong_http2;
    assert!(!nothing || may_be_silent, "no response");
    assert!(
        responses.remainder != Remainder::Incomplete || end == ConnectionEnd::Reset || is_cut,
        "an incomplete response: {responses:?}"
    );
    for status in &responses.statuses {
        assert!(matches!(status, 100 | 200 | 303 | 304 | 400 | 403..=405 | 413 | 414 | 429 | 431 | 503), "{status}");
    }
}
