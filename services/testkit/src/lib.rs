//! What tests and load tests share: real processes that can be broken ([`Node`], [`RedisServer`], [`Proxy`] and others),
//! viewers by the thousand ([`client`]), nodes with viewers whose true number is known ([`Fleet`]), the bounds that are
//! promised ([`promise`]), and the clock and distributions that both measure with.

pub mod client;
pub mod clock;
mod cluster;
mod error;
mod faketime;
mod fleet;
pub mod http;
mod latencies;
mod node;
pub mod ports;
mod priority;
mod process;
pub mod program;
pub mod promise;
pub mod proxy;
mod redis_server;
mod resp;
mod sentinel;
pub mod usage;

pub use client::{Batch, Behaviour, CloseMode, Goal, Snapshot, Viewers, ViewersError, Which};
pub use cluster::RedisCluster;
pub use error::{Error, wait_until};
pub use fleet::{COUNTER, Fleet, FleetError, Marked, NodeWithViewers, SilentViewer, stream};
pub use latencies::Latencies;
pub use node::{Node, NodeOptions, Reading};
pub use priority::prefer_this_thread;
pub use process::{Process, kill_all};
pub use promise::{BrokenPromise, Promise};
pub use proxy::Proxy;
pub use redis;
pub use redis_server::{Data, RedisServer, query};
pub use sentinel::Sentinels;
pub use usage::Usage;
