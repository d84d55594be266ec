//! An HTTP/1.1 GET, in clear text or over TLS, for the commands that query a node.

use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Requests `uri` and returns the response, whose status is 200.
///
/// # Errors
/// Fails if there is no connection, no HTTP response, or another status.
pub(super) async fn get(uri: &::http::Uri) -> anyhow::Result<Response<Incoming>> {
    let (Some(authority), Some(host)) = (uri.authority(), uri.host()) else { bail!("{uri} names no host") };
    let host = host.trim_matches(['[', ']']);
    let is_https = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await.with_context(|| format!("cannot connect to {authority}"))?;
    let mut sender = if is_https {
        handshake(tls(host, stream).await.with_context(|| format!("no TLS with {authority}"))?).await?
    } else {
        handshake(stream).await?
    };
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

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> anyhow::Result<http1::SendRequest<Empty<Bytes>>> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn tls(host: &str, stream: TcpStream) -> anyhow::Result<TlsStream<TcpStream>> {
    let mut trusted = RootCertStore::empty();
    trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if trusted.is_empty() {
        bail!("there is no certificate to trust: see SSL_CERT_FILE");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(trusted).with_no_client_auth();
    let name = ServerName::try_from(host.to_owned())?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
}
