//! Connections of a service on the viewer engine: hyper reads a request, and where the answer is a stream, the socket leaves
//! hyper for the engine.
//!
//! [`run`] serves HTTP/1 so, in the simplest form that holds its bounds. What headcount itself adds, as HTTP/2 and a reload
//! without an interruption, is in its own crate. The rest serves both: [`TrustedProxies`] and [`parse_proxy_header`] tell whose
//! request it is, [`IdleConnections`] and [`RequestLimits`] bound what a client holds without a stream, and [`Handoff`] takes
//! the viewer to the connection's task.

mod client_ip;
mod form;
mod handoff;
mod idle;
mod proxy_protocol;
mod request_limits;
mod serve;

pub use client_ip::{ForwardedHeader, TrustedProxies};
pub use form::{FormError, read_form};
pub use handoff::{Handoff, refuse};
pub use idle::{IdleConnections, IdleSlot, IdleTracker, LeaveGuard, RequestGuard};
pub use proxy_protocol::{MalformedHeader, Proxied, parse as parse_proxy_header};
pub use request_limits::{RequestLimits, RequestPermit, TooManyRequests};
pub use serve::{Connection, ConnectionResult, NewViewer, Settings, run};
