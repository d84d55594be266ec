//! [`ResponseBody`]: a response's body that knows when its bytes have been written to the socket.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::unread::UnreadResponse;
use super::write_progress::WriteProgress;
use axum::body::{Body, HttpBody};
use bytes::{Buf, Bytes};
use headcount_connection::RequestGuard;
use http_body::Frame;

/// Marks the response of an HTTP/2 viewer, as an extension. It is told how far the stream has been written.
#[derive(Clone)]
pub(crate) struct ViewerStream(pub(crate) Arc<WriteProgress>);

/// Why a response is kept.
pub(super) enum Keeps {
    /// A viewer's stream. Its connection is busy as long as it lasts.
    Viewer { _request: RequestGuard, progress: Arc<WriteProgress> },
    /// A whole response, which must be read in time.
    Unread(Arc<UnreadResponse>),
    /// A refusal, which is short.
    Nothing,
}

/// A response's body.
pub(super) struct ResponseBody {
    body: Body,
    keeps: Keeps,
}

impl ResponseBody {
    /// Wraps a body.
    pub(super) fn new(body: Body, keeps: Keeps) -> Self {
        Self { body, keeps }
    }
}

impl HttpBody for ResponseBody {
    type Data = ResponseBytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<ResponseBytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let with_recipient = |bytes| {
            let recipient = match &self.keeps {
                Keeps::Viewer { progress, .. } => {
                    progress.begin();
                    Recipient::Viewer(Arc::clone(progress))
                }
                Keeps::Unread(unread) => Recipient::Unread(Arc::clone(unread)),
                Keeps::Nothing => Recipient::Nobody,
            };
            ResponseBytes { bytes, recipient }
        };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(with_recipient))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// Bytes of a response. hyper holds them until they have been written to the socket.
pub(super) struct ResponseBytes {
    bytes: Bytes,
    recipient: Recipient,
}

/// Who is told that bytes have been written.
enum Recipient {
    Viewer(Arc<WriteProgress>),
    Unread(Arc<UnreadResponse>),
    Nobody,
}

impl Buf for ResponseBytes {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if count == 0 {
            return;
        }
        match &self.recipient {
            Recipient::Viewer(progress) => progress.progressed(self.bytes.len()),
            Recipient::Unread(unread) => unread.progressed(),
            Recipient::Nobody => {}
        }
    }
}
