//! Ends the streams that a former program has left and this one cannot go on with.

use std::net::TcpStream;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::handover::EndingStream;

/// How long a viewer has to take its stream's end, and then to close.
const WITHIN: Duration = Duration::from_secs(2);

/// Sends each stream its end. Returns when all have closed, at most 2 s later.
pub(crate) async fn end_all(streams: Vec<EndingStream>) {
    let mut ends: JoinSet<_> = streams.into_iter().map(end).collect();
    // Whoever has left, or does not read, is disconnected.
    let _late = tokio::time::timeout(WITHIN, async { while ends.join_next().await.is_some() {} }).await;
}

async fn end(EndingStream { socket, unsent, ending }: EndingStream) -> std::io::Result<()> {
    let mut socket = tokio::net::TcpStream::from_std(TcpStream::from(socket))?;
    socket.write_all(&unsent).await?;
    socket.write_all(&ending).await?;
    socket.shutdown().await?;
    // Closing with unread input would reset the connection, and the peer could lose the last image.
    let mut input = [0; 1024];
    while socket.read(&mut input).await? > 0 {}
    Ok(())
}
