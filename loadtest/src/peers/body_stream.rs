//! A plain axum body stream: what one writes first with axum, a body made of a `watch` channel.

use std::net::Ipv4Addr;

use anyhow::Context;
use axum::{Router, body::Body, extract::State, http::header, response::IntoResponse, routing};
use bytes::Bytes;
use tokio::{net::TcpSocket, sync::watch};

/// Serves until the process is killed.
pub(super) fn serve(port: u16) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("a runtime")?;
    runtime.block_on(async {
        let socket = TcpSocket::new_v4().context("a socket")?;
        socket.set_reuseaddr(true).context("a socket's options")?;
        socket.bind((Ipv4Addr::LOCALHOST, port).into()).context("a port")?;
        let listener = socket.listen(4096).context("listening")?;
        let frames = watch::Sender::new(Bytes::new());
        let app = Router::new()
            .route("/publish", routing::post(publish))
            .route("/online.png", routing::get(stream))
            .with_state(frames);
        axum::serve(listener, app).await.context("serving")
    })
}

async fn publish(State(frames): State<watch::Sender<Bytes>>, frame: Bytes) {
    frames.send_replace(frame);
}

async fn stream(State(frames): State<watch::Sender<Bytes>>) -> impl IntoResponse {
    let mut frames = frames.subscribe();
    frames.mark_changed();
    let opening = futures_util::stream::once(async { Ok::<_, std::io::Error>(headcount_wire::opening("image/png")) });
    let pushes = futures_util::stream::unfold(frames, |mut frames| async {
        frames.changed().await.ok()?;
        let frame = frames.borrow_and_update().clone();
        Some((Ok(frame), frames))
    });
    let body = Body::from_stream(futures_util::StreamExt::chain(opening, pushes));
    ([(header::CONTENT_TYPE, headcount_wire::CONTENT_TYPE)], body)
}
