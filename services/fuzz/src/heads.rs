//! Request heads, and whatever else opens a connection.

use crate::{
    node::{ConnectionEnd, Node, UNTRUSTED},
    responses::{self, Remainder, Responses},
};

/// Ends whatever head has been begun, and asks for something that is not there, after which the node closes.
const END: &[u8] = b"\r\n\r\nGET /a/b/c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
/// How HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The bytes are all that a client sends. Where they end in a zero, or speak HTTP/2, it then sends no more, and otherwise
/// a request behind them that ends the connection; it hangs up there too where that has made HTTP/2 of them. A real node
/// answers over a real connection: every answer is whole and well-formed, the connection ends, none of it is kept, and
/// only who was sent a stream was counted.
pub fn heads(bytes: &[u8]) {
    let node = Node::running();
    // A frame may promise any length, for which a node waits as it does for any client.
    let cut = if bytes.starts_with(PREFACE) { Some(bytes) } else { bytes.strip_suffix(&[0]) };
    let sent = cut.map_or_else(|| [bytes, END].concat(), <[u8]>::to_vec);
    // The request behind the bytes may be what completes the preface.
    let is_http2 = sent.starts_with(PREFACE);
    let is_cut = cut.is_some() || is_http2;
    let received = if is_cut { node.exchange_and_shut_down(UNTRUSTED, &sent) } else { node.exchange(UNTRUSTED, &sent) };
    if is_http2 {
        responses::frames(&received.bytes, received.ended);
        node.departed(0);
        return;
    }
    let answers = responses::read(&received.bytes);
    check(&sent, &answers, received.ended, is_cut);
    let streams = u64::from(answers.rest == Remainder::Stream);
    let counted = node.departed(streams);
    // Who hangs up while he is let in is counted or not.
    assert!(counted == streams || is_cut, "{counted} were counted, {streams} streams were sent");
}

fn check(sent: &[u8], answers: &Responses, ended: ConnectionEnd, is_cut: bool) {
    let nothing = answers.whole.is_empty() && answers.rest == Remainder::Nothing;
    // hyper closes at once where a client speaks HTTP/2 too late, behind empty lines (RFC 9112 §2.2) or a request, whose
    // answer is lost where it had not gone out; and who is cut off may be left without.
    let is_wrong_http2 = sent.windows(PREFACE.len()).any(|window| window == PREFACE);
    let may_be_silent = is_cut || ended == ConnectionEnd::Reset || is_wrong_http2;
    assert!(!nothing || may_be_silent, "no answer");
    assert!(
        answers.rest != Remainder::Incomplete || ended == ConnectionEnd::Reset || is_cut,
        "half an answer: {answers:?}"
    );
    for status in &answers.whole {
        assert!(matches!(status, 100 | 200 | 303 | 304 | 400 | 403..=405 | 413 | 414 | 429 | 431 | 503), "{status}");
    }
}
