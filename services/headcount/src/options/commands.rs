//! The options of the subcommands other than `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use headcount_drawing::Look;
use headcount_presence::{CounterName, RedisUrl};

use super::parse::{self, Optional, PictureFile, number, optional};
use crate::counters::SigningKey;

/// The options of `headcount draw`.
#[derive(Clone, Args)]
pub(crate) struct DrawOptions {
    /// The number to draw
    #[arg(value_parser = number::<u64>(0, u64::MAX))]
    pub(crate) count: u64,
    /// The file: .png, .jpg or .svg; "-" writes a PNG to standard output
    #[arg(long, value_name = "FILE", value_parser = PictureFile::parse)]
    pub(crate) out: PictureFile,
    /// Look of the picture, as in a stream's URL: "style=odometer&height=32&label=readers"
    #[arg(long, env = "HEADCOUNT_LOOK", value_name = "QUERY", default_value = "", value_parser = Look::from_query)]
    pub(crate) look: Look,
    /// Mark the number as possibly outdated
    #[arg(long)]
    pub(crate) stale: bool,
    /// A TrueType or OpenType file in place of the built-in font
    #[arg(
        long,
        env = "HEADCOUNT_FONT",
        value_name = "FILE",
        value_parser = optional(parse::font),
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) font: Optional<PathBuf>,
}

/// The options of `headcount watch`.
#[derive(Clone, Args)]
pub(crate) struct WatchOptions {
    /// The stream's URL, as http://127.0.0.1:8080/online.png (plain HTTP)
    #[arg(value_parser = parse::stream_url)]
    pub(crate) url: ::http::Uri,
    /// Print one JSON object per frame, for programs
    #[arg(long)]
    pub(crate) json: bool,
    /// Stop after this number of frames
    #[arg(
        long,
        value_name = "N",
        value_parser = optional(number::<u64>(1, u64::MAX)),
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) frames: Optional<u64>,
}

/// The options of `headcount sign`.
#[derive(Clone, Args)]
pub(crate) struct SignOptions {
    /// The counters' names
    #[arg(required = true, value_name = "NAME", value_parser = parse::counter_name)]
    pub(crate) names: Vec<CounterName>,
    /// The nodes' --sign-key
    #[arg(
        long,
        env = "HEADCOUNT_SIGN_KEY",
        value_name = "TEXT",
        value_parser = parse::sign_key,
        hide_env_values = true
    )]
    pub(crate) sign_key: SigningKey,
}

/// The options of `headcount status`.
#[derive(Clone, Args)]
pub(crate) struct StatusOptions {
    /// The nodes' Redis
    #[arg(long, env = "HEADCOUNT_REDIS", value_name = "URL", value_parser = RedisUrl::parse)]
    pub(crate) redis: RedisUrl,
    /// Prefix of every key
    #[arg(
        long,
        env = "HEADCOUNT_REDIS_PREFIX",
        value_name = "TEXT",
        default_value = "hc:",
        value_parser = parse::redis_prefix
    )]
    pub(crate) redis_prefix: String,
    /// Print JSON in place of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// The options of `headcount healthcheck`.
#[derive(Clone, Args)]
pub(crate) struct HealthcheckOptions {
    /// The node's admin address. For 0.0.0.0, 127.0.0.1 is queried
    #[arg(
        long,
        env = "HEADCOUNT_ADMIN",
        value_name = "ADDR",
        default_value = "127.0.0.1:9090",
        value_parser = parse::reachable_address
    )]
    pub(crate) admin: SocketAddr,
}
