//! An HTTP/1.1 GET, for the commands that query a node.

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Requests `uri` and returns the response, whose status is 200.
///
/// # Errors
/// Fails if there is no connection, no HTTP response, or another status.
pub(super) async fn get(uri: &::http::Uri) -> anyhow::Result<Response<Incoming>> {
    let (Some(authority), Some(host)) = (uri.authority(), uri.host()) else { bail!("{uri} names no host") };
    let port = uri.port_u16().unwrap_or(80);
    let address = (host.trim_matches(['[', ']']), port);
    let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {authority}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = hyper::Request::get(path)
        .header(hyper::header::HOST, authority.as_str())
        .header(hyper::header::USER_AGENT, concat!("headcount/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await.with_context(|| format!("{uri} does not answer"))?;
    if response.status() != hyper::StatusCode::OK {
        bail!("{uri} answers {}", response.status());
    }
    Ok(response)
}
