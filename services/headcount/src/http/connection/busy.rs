//! A response's body that says when it has been sent: until then its connection is not waiting for a request.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};

use super::serve::RequestGuard;

/// A body with the guard of its request.
pub(in crate::http) struct GuardedBody {
    body: Body,
    _busy: RequestGuard,
}

impl GuardedBody {
    /// Keeps the request's guard until the body is dropped.
    pub(in crate::http) fn new(body: Body, busy: RequestGuard) -> Self {
        Self { body, _busy: busy }
    }
}

impl HttpBody for GuardedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
