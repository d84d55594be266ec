//! The options. Each is also an environment variable.

use std::net::SocketAddr;
use std::time::Duration;

use headcount_presence::AddressLimits;
use ipnet::IpNet;

/// Live tic-tac-toe for web pages, without JavaScript.
#[derive(Clone, Debug, clap::Parser)]
#[command(version)]
pub struct Options {
    /// Where pages and streams are served.
    #[arg(long, env = "TICTACTOE_LISTEN", default_value = "127.0.0.1:8083")]
    pub(crate) listen: SocketAddr,
    /// Redis, where all nodes keep the boards.
    #[arg(long, env = "TICTACTOE_REDIS", default_value = "redis://127.0.0.1:6379/", hide_env_values = true)]
    pub(crate) redis: String,
    /// Networks whose connections begin with a PROXY header.
    #[arg(long, env = "TICTACTOE_PROXY_PROTOCOL_FROM", value_delimiter = ',')]
    pub(crate) proxy_protocol_from: Vec<IpNet>,
    /// Networks of proxies that name their client in X-Forwarded-For.
    #[arg(long, env = "TICTACTOE_FORWARDED_FROM", value_delimiter = ',')]
    pub(crate) forwarded_from: Vec<IpNet>,
    /// Networks that no limit of addresses applies to.
    #[arg(long, env = "TICTACTOE_LIMIT_EXEMPT", value_delimiter = ',', default_value = AddressLimits::PRIVATE)]
    pub(crate) limit_exempt: Vec<IpNet>,
    /// Time without a move after which a board is free again, from 1s to 1h. One whose game is over is so after a sixth of it. Where
    /// nodes differ, that of the last move decides.
    #[arg(long, env = "TICTACTOE_MOVE_LIMIT", default_value = "1m", value_parser = humantime::parse_duration)]
    pub(crate) move_limit: Duration,
    /// Most streams on this node.
    #[arg(long, env = "TICTACTOE_MAX_VIEWERS", default_value = "10000")]
    pub(crate) max_viewers: usize,
    /// Most boards: that are looked at on this node, and that all nodes remember.
    #[arg(long, env = "TICTACTOE_MAX_BOARDS", default_value = "1000")]
    pub(crate) max_boards: usize,
    /// Longest time between two frames of a stream.
    #[arg(long, env = "TICTACTOE_KEEPALIVE", default_value = "15s", value_parser = humantime::parse_duration)]
    pub(crate) keepalive: Duration,
    /// Time for which a node that stops serves on, not ready.
    #[arg(long, env = "TICTACTOE_DRAIN_DELAY", default_value = "0s", value_parser = humantime::parse_duration)]
    pub(crate) drain_delay: Duration,
    /// Time over which a node that stops ends its streams.
    #[arg(long, env = "TICTACTOE_DRAIN", default_value = "1s", value_parser = humantime::parse_duration)]
    pub(crate) drain: Duration,
}
