//! The options of the subcommands other than `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use headcount_drawing::Look;
use headcount_presence::{CounterName, RedisUrl};

use super::parse::{self, Optional, PictureFile, number, optional};
use crate::counters::SigningKey;

/// The largest number of a process: Linux's `PID_MAX_LIMIT`.
const MAX_PID: u64 = 1 << 22;

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
    /// Mark the number as not live
    #[arg(long, conflicts_with = "then")]
    pub(crate) stale: bool,
    /// More numbers, which follow the first one in an animated PNG that repeats for ever
    #[arg(long, value_name = "COUNT,…", value_delimiter = ',', value_parser = number::<u64>(0, u64::MAX))]
    pub(crate) then: Vec<u64>,
    /// How long each number of an animation is shown
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1500ms",
        value_parser = parse::duration(Duration::from_millis(20), Duration::from_secs(65)),
        requires = "then"
    )]
    pub(crate) frame_time: Duration,
    /// Draw an animation as so many pages that show the number, or fewer while fewer viewers are there
    #[arg(long, value_name = "N", default_value = "0", value_parser = number::<u32>(0, 4), requires = "then")]
    pub(crate) pages: u32,
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
    /// A folder with sets of digits for style=sprites, as for a node
    #[arg(
        long,
        env = "HEADCOUNT_SPRITES",
        value_name = "DIR",
        value_parser = optional(parse::path),
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) sprites: Optional<PathBuf>,
}

/// The options of `headcount watch`.
#[derive(Clone, Args)]
pub(crate) struct WatchOptions {
    /// The URL of a stream: pictures (…/online.png), a frame's document (…/online.html) or events (…/online/events). Over HTTPS
    /// the system's certificates are trusted, or those in the file that SSL_CERT_FILE names
    #[arg(value_parser = parse::stream_url)]
    pub(crate) url: ::http::Uri,
    /// Count as a viewer. By default it looks without counting (count=no)
    #[arg(long)]
    pub(crate) count: bool,
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
    /// The nodes' Redis. Without it a node is asked, at its admin address
    #[arg(
        long,
        env = "HEADCOUNT_REDIS",
        value_name = "URL",
        value_parser = optional(RedisUrl::parse),
        default_value = "",
        hide_default_value = true,
        hide_env_values = true
    )]
    pub(crate) redis: Optional<RedisUrl>,
    /// Prefix of every key
    #[arg(
        long,
        env = "HEADCOUNT_REDIS_PREFIX",
        value_name = "TEXT",
        default_value = "hc:",
        value_parser = parse::redis_prefix
    )]
    pub(crate) redis_prefix: String,
    /// The admin address of the node that is asked where there is no Redis. For 0.0.0.0, 127.0.0.1 is queried
    #[arg(
        long,
        env = "HEADCOUNT_ADMIN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8079",
        value_parser = parse::reachable_address
    )]
    pub(crate) admin: SocketAddr,
    /// Print JSON in place of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// The options of `headcount reload`.
#[derive(Clone, Args)]
pub(crate) struct ReloadOptions {
    /// The node's process. By default the one that systemd names, or else process 1, which the node is in a container
    #[arg(long, env = "MAINPID", value_name = "PID", default_value = "1", value_parser = number::<i32>(1, MAX_PID))]
    pub(crate) pid: i32,
}

/// The options of `headcount healthcheck`.
#[derive(Clone, Args)]
pub(crate) struct HealthcheckOptions {
    /// The node's admin address. For 0.0.0.0, 127.0.0.1 is queried
    #[arg(
        long,
        env = "HEADCOUNT_ADMIN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8079",
        value_parser = parse::reachable_address
    )]
    pub(crate) admin: SocketAddr,
}

/// The options of `headcount completions`.
#[derive(Clone, Args)]
pub(crate) struct CompletionsOptions {
    /// The shell: bash, elvish, fish, powershell or zsh
    #[arg(value_parser = parse::shell)]
    pub(crate) shell: clap_complete::Shell,
}

/// The options of `headcount man`.
#[derive(Clone, Args)]
pub(crate) struct ManOptions {
    /// The folder. It is made if it does not exist
    pub(crate) folder: PathBuf,
}
