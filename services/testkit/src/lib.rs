//! What tests and load tests share: real processes that can be broken ([`Node`], [`RedisServer`], [`Proxy`] and others),
//! viewers by the thousand ([`client`]), nodes with viewers whose true number is known ([`Fleet`]), the bounds that are
//! promised ([`promise`]), and the clock and distributions that both measure with.

mod background;
pub mod client;
pub mod clock;
mod cluster;
pub mod documents;
mod error;
mod faketime;
mod fleet;
pub mod http;
mod latencies;
mod node;
mod node_options;
pub mod ports;
mod priority;
mod process;
pub mod program;
pub mod promise;
pub mod proxy;
mod redis_keys;
mod redis_server;
mod resp;
mod sentinel;
pub mod usage;
mod web_driver;

pub use background::Background;
pub use client::{Batch, Behaviour, CloseMode, Goal, Snapshot, Viewers, ViewersError, Which};
pub use cluster::RedisCluster;
pub use error::{Error, wait_until};
pub use fleet::{BALANCER, COUNTER, Fleet, FleetError, Marked, NodeWithViewers, SilentViewer, stream, visitors};
pub use latencies::Latencies;
pub use node::{Node, Reading};
pub use node_options::{NodeOptions, TIME_SCALE};
pub use priority::prefer_this_thread;
pub use process::{Process, kill_all};
pub use promise::{BrokenPromise, Promise};
pub use proxy::Proxy;
pub use redis;
pub use redis_server::{Data, RedisServer, query};
pub use sentinel::Sentinels;
pub use usage::Usage;
pub use web_driver::{WebDriver, WebDriverError};
