//! The public side: connections, routes and errors. Only this module and [`crate::admin`] know axum.

mod app;
mod connection;
mod error;
mod headers;
mod metrics;
mod refusal_form;
mod routes;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub(crate) use self::app::App;
pub(crate) use self::connection::{
    AcceptLimits, Acceptor, ForwardedHeader, TrustedProxies, WaitingConnection, listen, parse_proxy_header,
};
pub(crate) use self::metrics::Metrics;
pub(crate) use self::routes::{EmbedPolicy, counter_ref};

/// Returns an acceptor that serves all public routes. Once `ending` is cancelled, connections end after their current
/// request.
pub(crate) fn acceptor(
    app: Arc<App>,
    proxies: TrustedProxies,
    limits: AcceptLimits,
    ending: CancellationToken,
) -> Acceptor {
    let metrics = app.metrics.clone();
    let feeds = Arc::clone(&app.feeds);
    Acceptor::new(routes::router(app), proxies, limits, move || feeds.viewers(), metrics, ending)
}
