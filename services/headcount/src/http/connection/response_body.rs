//! [`ResponseBody`]: a response's body that knows when its bytes have been written to the socket.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use bytes::{Buf, Bytes};
use http_body::Frame;
use tokio::sync::oneshot;

use super::idle::RequestGuard;
use super::unread::UnreadResponse;

/// What a viewer's response carries as an extension: it is told when its first frame has been written to the socket.
#[derive(Clone)]
pub(crate) struct FirstFrameSent(Arc<parking_lot::Mutex<Option<oneshot::Sender<()>>>>);

impl FirstFrameSent {
    /// Creates the extension and the receiver of its one message.
    pub(crate) fn channel() -> (Self, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Arc::new(parking_lot::Mutex::new(Some(sender)))), receiver)
    }

    fn take(&self) -> Option<oneshot::Sender<()>> {
        self.0.lock().take()
    }
}

/// Why a response is kept.
pub(super) enum Keeps {
    /// A viewer's stream. Its connection is busy as long as it lasts. The sender is the first frame's.
    Viewer { _request: RequestGuard, first: Option<oneshot::Sender<()>> },
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

    /// Returns the keeper of a viewer's stream.
    pub(super) fn viewer(request: RequestGuard, first: &FirstFrameSent) -> Keeps {
        Keeps::Viewer { _request: request, first: first.take() }
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
        let written = match &mut self.keeps {
            Keeps::Viewer { first, .. } => Written { first: first.take(), unread: None },
            Keeps::Unread(unread) => Written { first: None, unread: Some(Arc::clone(unread)) },
            Keeps::Nothing => Written { first: None, unread: None },
        };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(|bytes| ResponseBytes { bytes, written }))))
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
    written: Written,
}

struct Written {
    first: Option<oneshot::Sender<()>>,
    unread: Option<Arc<UnreadResponse>>,
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
        if let Some(unread) = &self.written.unread {
            unread.progressed();
        }
        if self.bytes.is_empty()
            && let Some(first) = self.written.first.take()
        {
            // The viewer may have left.
            let _ = first.send(());
        }
    }
}
