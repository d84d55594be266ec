//! Connections of the public port, from accept until hyper has served them or the engine owns their socket.

mod accept;
mod connection_info;
mod detect;
mod error_body;
mod handoff;
mod response_body;
mod response_budget;
mod rewind;
mod serve;
mod unread;
mod waiting;
mod write_progress;

pub(crate) use headcount_connection::{ForwardedHeader, TrustedProxies, parse_proxy_header};

pub(crate) use self::accept::{AcceptLimits, Acceptor, listen};
pub(crate) use self::connection_info::ConnectionInfo;
pub(crate) use self::handoff::NewViewer;
pub(crate) use self::response_body::ViewerStream;
pub(crate) use self::waiting::WaitingConnection;
pub(crate) use self::write_progress::{Stalled, WriteProgress};
