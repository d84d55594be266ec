//! The command line and the environment: read as text by clap, then checked here, so that every mistake is reported at
//! once and none of them starts half a service.

mod config_errors;
mod parse;
mod serve;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};
use headcount_drawing::{Format, Look};
use headcount_presence::{AddressLimits, CounterName, RedisUrl};
use ipnet::IpNet;

use self::config_errors::ConfigErrors;
use self::serve::{Cli, Subcommand};
use crate::counters::{Counters, SigningKey};
use crate::http::EmbedPolicy;

/// Exit status for a wrong command line: `EX_USAGE` of BSD's sysexits.h.
const EX_USAGE: u8 = 64;

/// What a command line came to.
pub(crate) enum Invocation {
    /// A command to run.
    Run(Command),
    /// Help, the version or errors have been printed; exit with this.
    Answered(ExitCode),
}

/// A checked subcommand.
pub(crate) enum Command {
    /// Run a stream node.
    Serve(Box<ServeOptions>),
    /// Draw one picture into a file.
    Draw(DrawOptions),
    /// Follow a live stream in the terminal.
    Watch(WatchOptions),
    /// Print the addresses of signed counters.
    Sign(SignOptions),
    /// Show the nodes and counts that Redis holds.
    Status(StatusOptions),
    /// Ask a node's admin port whether it is alive.
    Healthcheck(HealthcheckOptions),
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people where standard error is a terminal, JSON otherwise.
    Auto,
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// The header in which a trusted proxy says who its client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForwardedHeader {
    /// `X-Forwarded-For`, the custom.
    XForwardedFor,
    /// `Forwarded`, RFC 7239.
    Forwarded,
}

/// The checked options of `headcount serve`. Each field's reason and bounds are in the help text of [`serve`].
#[derive(Clone, Debug)]
pub(crate) struct ServeOptions {
    /// The public address.
    pub(crate) listen: SocketAddr,
    /// The address of health and metrics.
    pub(crate) admin: SocketAddr,
    /// Where presence is kept; in this process where absent.
    pub(crate) redis: Option<RedisUrl>,
    /// What every key in Redis begins with.
    pub(crate) redis_prefix: String,
    /// The address that pages show in embed codes, without a trailing slash.
    pub(crate) public_url: Option<String>,
    /// Which counters exist.
    pub(crate) counters: Counters,
    /// Which sites may embed them.
    pub(crate) embed_policy: EmbedPolicy,
    /// A stream counts only after it has been open for so long.
    pub(crate) grace: Duration,
    /// Below it, pictures and JSON say "fewer than".
    pub(crate) small: u64,
    /// What one client address may have.
    pub(crate) limits: AddressLimits,
    /// Networks whose connections begin with a PROXY header.
    pub(crate) proxy_protocol_from: Vec<IpNet>,
    /// Networks whose proxies are believed when they say who their client is.
    pub(crate) forwarded_from: Vec<IpNet>,
    /// The header in which they do.
    pub(crate) forwarded_header: ForwardedHeader,
    /// Threads that own viewers' sockets; the engine's default where absent.
    pub(crate) shards: Option<usize>,
    /// Most viewers on this node; from the descriptor limit where absent.
    pub(crate) max_viewers: Option<usize>,
    /// Most viewers of one counter on this node.
    pub(crate) max_viewers_per_counter: Option<usize>,
    /// Most live looks.
    pub(crate) max_looks: usize,
    /// Pushes a second at most.
    pub(crate) frame_rate: f64,
    /// An unchanged frame is sent again after so long.
    pub(crate) keepalive: Duration,
    /// A viewer that takes nothing for so long is dropped.
    pub(crate) stall_limit: Duration,
    /// A request's head must be complete within it.
    pub(crate) head_timeout: Duration,
    /// Most connections that have not finished a head.
    pub(crate) max_heads: usize,
    /// Connections accepted a second at most.
    pub(crate) accept_rate: u32,
    /// Time between "not ready" and the first stream's end.
    pub(crate) drain_delay: Duration,
    /// Streams end spread over this time.
    pub(crate) drain: Duration,
    /// A TrueType or OpenType file in place of the built-in font.
    pub(crate) font: Option<PathBuf>,
    /// tracing's filter.
    pub(crate) log: String,
    /// How log lines look.
    pub(crate) log_format: LogFormat,
}

/// The checked options of `headcount draw`.
pub(crate) struct DrawOptions {
    /// The number.
    pub(crate) count: u64,
    /// Where the picture goes; `-` is standard output.
    pub(crate) out: PathBuf,
    /// How it looks.
    pub(crate) look: Look,
    /// PNG, JPEG or SVG.
    pub(crate) format: Format,
    /// With the mark of a number that may be old.
    pub(crate) stale: bool,
    /// A font file in place of the built-in one.
    pub(crate) font: Option<PathBuf>,
}

/// The checked options of `headcount watch`.
pub(crate) struct WatchOptions {
    /// The stream.
    pub(crate) url: ::http::Uri,
    /// One JSON object a frame.
    pub(crate) json: bool,
    /// Stop after so many frames.
    pub(crate) frames: Option<u64>,
}

/// The checked options of `headcount sign`.
pub(crate) struct SignOptions {
    /// The counters.
    pub(crate) names: Vec<CounterName>,
    /// What signs them.
    pub(crate) key: SigningKey,
}

/// The checked options of `headcount status`.
pub(crate) struct StatusOptions {
    /// Where presence is kept.
    pub(crate) redis: RedisUrl,
    /// What every key begins with.
    pub(crate) redis_prefix: String,
    /// JSON in place of a table.
    pub(crate) json: bool,
}

/// The checked options of `headcount healthcheck`.
pub(crate) struct HealthcheckOptions {
    /// The admin address to ask.
    pub(crate) admin: SocketAddr,
}

/// Reads a command line and the environment's `HEADCOUNT_…`; prints help or all errors where that is the answer.
pub(crate) fn read(arguments: impl Iterator<Item = OsString>) -> Invocation {
    let mut errors = ConfigErrors::default();
    let cli = match parse(arguments.collect(), &mut errors) {
        Ok(cli) => cli,
        Err(exit) => return Invocation::Answered(exit),
    };
    let command = match cli.command.unwrap_or(Subcommand::Serve(Box::new(cli.serve))) {
        Subcommand::Serve(args) => Command::Serve(Box::new(parse::serve(*args, &mut errors))),
        Subcommand::Draw(args) => match parse::draw(args, &mut errors) {
            Some(options) => Command::Draw(options),
            None => return Invocation::Answered(errors.report()),
        },
        Subcommand::Watch(args) => match parse::watch(args, &mut errors) {
            Some(options) => Command::Watch(options),
            None => return Invocation::Answered(errors.report()),
        },
        Subcommand::Sign(args) => match parse::sign(&args, &mut errors) {
            Some(options) => Command::Sign(options),
            None => return Invocation::Answered(errors.report()),
        },
        Subcommand::Status(args) => match parse::status(args, &mut errors) {
            Some(options) => Command::Status(options),
            None => return Invocation::Answered(errors.report()),
        },
        Subcommand::Healthcheck(args) => Command::Healthcheck(parse::healthcheck(&args, &mut errors)),
    };
    if errors.is_empty() { Invocation::Run(command) } else { Invocation::Answered(errors.report()) }
}

/// clap stops at the first argument it does not know. To report them all, that argument is noted, taken out, and the
/// rest read again.
fn parse(mut arguments: Vec<OsString>, errors: &mut ConfigErrors) -> Result<Cli, ExitCode> {
    loop {
        let error = match Cli::command().try_get_matches_from(&arguments).and_then(|m| Cli::from_arg_matches(&m)) {
            Ok(cli) => return Ok(cli),
            Err(error) => error,
        };
        match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                // A closed pipe is no reason to fail.
                let _ = error.print();
                return Err(ExitCode::SUCCESS);
            }
            ErrorKind::UnknownArgument => {
                let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg) else {
                    errors.add_error(&error);
                    return Err(errors.report());
                };
                let is_it = |argument: &OsString| {
                    argument.to_str().is_some_and(|text| text == unknown || text.split('=').next() == Some(unknown))
                };
                errors.add_error(&error);
                let Some(at) = arguments.iter().position(is_it) else { return Err(errors.report()) };
                arguments.remove(at);
            }
            _ => {
                errors.add_error(&error);
                return Err(errors.report());
            }
        }
    }
}
