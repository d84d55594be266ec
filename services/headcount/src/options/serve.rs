//! [`ServeOptions`]: the options of `headcount serve`, each with its name, variable, help text, default and bounds.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use headcount_presence::{AddressLimits, HistoryRule, RedisUrl};

use super::digests::OptionDigests;
use super::parse::{self, CounterRule, Networks, Optional, duration, number, optional, rate};
use crate::counters::Counters;
use crate::http::{EmbedPolicy, ForwardedHeader, TrustedProxies};
use crate::logging::LogFormat;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// The options of `headcount serve`. A field's name is its option's, its doc comment the help text. Its variable is
/// `HEADCOUNT_` and its name in upper case.
#[derive(Clone, Args)]
pub(crate) struct ServeOptions {
    /// A file with options, in TOML: named as here without the dashes, as `keepalive = "15s"`, lists as lists. The command
    /// line comes before the environment, the environment before the file. deploy/headcount.toml is an example
    #[arg(long, value_name = "FILE", default_value = "", value_parser = optional(parse::path))]
    pub(crate) config: Optional<PathBuf>,
    /// Public address: IP:PORT. Port 0 takes a free port, which is logged
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8080", value_parser = parse::socket_address)]
    pub(crate) listen: SocketAddr,
    /// Address of /healthz, /readyz and /metrics. On loopback by default: it is not for the public
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8079", value_parser = parse::socket_address)]
    pub(crate) admin: SocketAddr,
    /// Base URL in the pages' embed codes, as `https://count.example`. By default the one that the browser requested
    #[arg(long, value_name = "URL", default_value = "", value_parser = optional(parse::public_url))]
    pub(crate) public_url: Optional<String>,
    #[command(flatten)]
    pub(crate) presence: PresenceOptions,
    #[command(flatten)]
    pub(crate) addresses: AddressOptions,
    #[command(flatten)]
    pub(crate) proxies: ProxyOptions,
    #[command(flatten)]
    pub(crate) viewers: ViewerOptions,
    #[command(flatten)]
    pub(crate) requests: RequestOptions,
    #[command(flatten)]
    pub(crate) shutdown: ShutdownOptions,
    /// A TrueType or OpenType file in place of the built-in font
    #[arg(long, value_name = "FILE", default_value = "", value_parser = optional(parse::font), help_heading = "Drawing")]
    pub(crate) font: Optional<PathBuf>,
    /// A folder with sets of digits for style=sprites: in it a folder for each set, named as the set, with the pictures
    /// 0.png to 9.png (PNG, GIF, JPEG or WebP, 8 to 512 pixels high, all of a set equally; above 288 they are reduced). The built-in set is
    /// nixie
    #[arg(long, value_name = "DIR", default_value = "", value_parser = optional(parse::path), help_heading = "Drawing")]
    pub(crate) sprites: Optional<PathBuf>,
    /// What is logged: off, error, warn, info, debug, trace, or a filter by module (tracing's EnvFilter)
    #[arg(long, value_name = "FILTER", default_value = "info", value_parser = parse::log_filter, help_heading = "Logging")]
    pub(crate) log: String,
    /// auto (pretty on a terminal, JSON otherwise), pretty or json; to standard error
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = parse::log_format, help_heading = "Logging")]
    pub(crate) log_format: LogFormat,
    /// What all of them were, for the next run of the program.
    #[arg(skip)]
    pub(crate) digests: OptionDigests,
}

/// Where counts are kept, and which counters exist.
#[derive(Clone, Args)]
#[command(next_help_heading = "Presence")]
pub(crate) struct PresenceOptions {
    /// Share the count with other nodes through Redis: redis://, rediss://, redis+unix://, redis+sentinel:// or
    /// redis+cluster://. Without it this process counts alone. rediss:// speaks TLS and trusts the system's
    /// certificates, or those in the file that SSL_CERT_FILE names
    #[arg(
        long,
        value_name = "URL",
        default_value = "",
        value_parser = optional(RedisUrl::parse),
        hide_env_values = true
    )]
    pub(crate) redis: Optional<RedisUrl>,
    /// Prefix of every key in Redis
    #[arg(long, value_name = "TEXT", default_value = "hc:", value_parser = parse::redis_prefix)]
    pub(crate) redis_prefix: String,
    /// Which counters exist: "any"; names separated by commas; or "signed", the names that `headcount sign` has signed
    /// with --sign-key. Others get 404, so that clients cannot fill memory with invented names
    #[arg(long, value_name = "NAMES", default_value = "any", value_parser = CounterRule::parse)]
    counters: CounterRule,
    /// The secret that signs counters' names: 16 bytes or more, the same on all nodes
    #[arg(long, value_name = "TEXT", hide_env_values = true)]
    sign_key: Option<String>,
    /// Which sites' pages may show a counter's stream, by the Referer that browsers send:
    /// `COUNTER=https://forum.example,…;COUNTER=…`. A counter that is not listed may be embedded anywhere
    #[arg(long, value_name = "LISTS", default_value = "", value_parser = EmbedPolicy::parse)]
    pub(crate) embed_from: EmbedPolicy,
    /// Whose past is kept, for charts and /COUNTER/history.json: where --counters lists names, that of all of them, for five
    /// years; otherwise that of at most this number of counters on each node, for 30 days after their last change; up to 57
    /// kB each. 0 keeps nothing. With Redis, the same on all nodes
    #[arg(long, value_name = "N", default_value = "100", value_parser = number::<usize>(0, 1_000_000))]
    history: usize,
    /// Without Redis: the file with the past of all counters, replaced each minute and at the end. Without it, the past
    /// is lost when the process ends. Each process needs a file of its own
    #[arg(long, value_name = "FILE", default_value = "", value_parser = optional(parse::path))]
    pub(crate) data: Optional<PathBuf>,
    /// A stream counts only after it has been open for this time. Above 0, a reload does not make the number jump
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration(Duration::ZERO, HOUR))]
    pub(crate) grace: Duration,
    /// Privacy: below this number, pictures and JSON say "fewer than" it
    #[arg(long, value_name = "N", default_value = "0", value_parser = number::<u64>(0, u64::from(u32::MAX)))]
    pub(crate) small: u64,
    /// For tests, never for production: divides all lives and leases in Redis by this number, on all nodes alike
    #[arg(long, value_name = "N", default_value = "1", value_parser = number::<u32>(1, 1000), hide = true)]
    pub(crate) time_scale: u32,
}

/// What one client address may have.
#[derive(Clone, Args)]
#[command(next_help_heading = "Client addresses")]
pub(crate) struct AddressOptions {
    /// Most open streams of one counter from one client address (IPv6: from its /64), over all nodes; 429 above. The
    /// default fits a shared office. Raise it if many viewers share the address of a mobile carrier or a school
    #[arg(long, value_name = "N", default_value = "32", value_parser = number::<usize>(1, 1_000_000))]
    pub(crate) max_address_streams: usize,
    /// Most open streams of one client address at all counters together, over all nodes; 429 above. The default fits
    /// the same office with four counters on a page
    #[arg(long, value_name = "N", default_value = "128", value_parser = number::<usize>(1, 1_000_000))]
    pub(crate) max_address_streams_in_all: usize,
    /// New streams per second from one client address, over all nodes; 429 above. After a pause an address may open as
    /// many at once as it may have in all. By default everybody in that office can reload the page together every 8 s
    #[arg(long, value_name = "N", default_value = "16", value_parser = number::<u32>(1, 100_000))]
    pub(crate) max_address_rate: u32,
    /// Networks (CIDR, separated by commas) to which these three limits do not apply; empty: none. By default loopback,
    /// private and link-local networks: your own machines, and an unconfigured proxy that hides all viewers behind its
    /// address. A carrier's 100.64.0.0/10 is not among them, because its customers are strangers. 0.0.0.0/0,::/0
    /// exempts everybody
    #[arg(long, value_name = "CIDR,…", default_value = AddressLimits::PRIVATE, value_parser = parse::networks)]
    pub(crate) limit_exempt: Networks,
}

/// Which proxies may name a client.
#[derive(Clone, Args)]
#[command(next_help_heading = "Proxies in front")]
pub(crate) struct ProxyOptions {
    /// Networks (CIDR, separated by commas) of load balancers whose connections begin with a PROXY protocol header, v1
    /// or v2. From them the header is required; from all others it is a bad request
    #[arg(long, value_name = "CIDR,…", default_value = "", value_parser = parse::networks)]
    pub(crate) proxy_protocol_from: Networks,
    /// Networks (CIDR, separated by commas) of HTTP proxies that name their client in a header. None is trusted by
    /// default
    #[arg(long, value_name = "CIDR,…", default_value = "", value_parser = parse::networks)]
    pub(crate) forwarded_from: Networks,
    /// The header that those proxies set: x-forwarded-for or forwarded. Only this one is read, because a proxy passes
    /// on unchanged what its client put into the other
    #[arg(long, value_name = "NAME", default_value = "x-forwarded-for", value_parser = parse::forwarded_header)]
    pub(crate) forwarded_header: ForwardedHeader,
}

/// Bounds of viewers and looks, and how frames are sent.
#[derive(Clone, Args)]
#[command(next_help_heading = "Viewers")]
pub(crate) struct ViewerOptions {
    /// Threads that own the viewers' sockets. Each pushes to about 90,000 viewers per second. By default the number of
    /// cores
    #[arg(long, value_name = "N", default_value = "", value_parser = optional(number::<usize>(1, 64)))]
    pub(crate) shards: Optional<usize>,
    /// Most viewers on this node, 503 above. By default the process's limit of open files less --max-heads and a
    /// reserve of 512 for Redis, admin and requests in progress
    #[arg(long, value_name = "N", default_value = "", value_parser = optional(number::<usize>(1, 10_000_000)))]
    pub(crate) max_viewers: Optional<usize>,
    /// Most viewers of one counter on this node, 503 above, so that one counter cannot use up the node
    #[arg(long, value_name = "N", default_value = "", value_parser = optional(number::<usize>(1, 10_000_000)))]
    pub(crate) max_viewers_per_counter: Optional<usize>,
    /// Most counters that have viewers on this node at a time, 503 for a viewer of another one
    #[arg(long, value_name = "N", default_value = "100000", value_parser = number::<usize>(1, 10_000_000))]
    pub(crate) max_counters: usize,
    /// Most live looks (counter, options and format): each is drawn and encoded separately at every change. Default looks
    /// are not counted. Above, and above 16 that one client address has begun, a viewer gets the counter's default look
    #[arg(long, value_name = "N", default_value = "1024", value_parser = number::<usize>(1, 1_000_000))]
    pub(crate) max_looks: usize,
    /// Most pushes per second to a viewer. Ten look live and cost a viewer at most 4 kB/s. 0.1 is one in ten seconds,
    /// for a crowd that a machine or a line can only just serve. After a quiet time three may follow at once
    #[arg(long, value_name = "N", default_value = "10", value_parser = rate(0.01, 60.0))]
    pub(crate) frame_rate: f64,
    /// A document in a frame ends after this number of updates, those that keep it alive included, and after up to twice as
    /// many by chance: it grows with each. The browser loads it again some seconds later, and the number does not move
    #[arg(long, value_name = "N", default_value = "200", value_parser = number::<u32>(1, 10_000))]
    pub(crate) document_updates: u32,
    /// A frame loads its document anew after this time, or by chance up to twice as long. It brings a document back whose
    /// node was away for longer than a few seconds
    #[arg(long, value_name = "TIME", default_value = "4m", value_parser = duration(10 * SECOND, HOUR))]
    pub(crate) frame_refresh: Duration,
    /// An unchanged frame is sent again after this time. It keeps proxies from closing a quiet stream (their usual
    /// limit is 30 s or more) and finds viewers that have vanished
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration(SECOND, HOUR))]
    pub(crate) keepalive: Duration,
    /// A viewer that reads nothing of what is sent to it for this time is dropped: it is a frozen tab or a machine that
    /// is gone. Something is sent at least every --keepalive, so both together bound how long the number can include it
    #[arg(long, value_name = "TIME", default_value = "25s", value_parser = duration(SECOND, HOUR))]
    pub(crate) stall_limit: Duration,
}

/// Bounds of connections and requests.
#[derive(Clone, Args)]
#[command(next_help_heading = "Requests")]
pub(crate) struct RequestOptions {
    /// A request's head must be complete within this time. A real browser needs one round trip
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration(100 * MILLISECOND, HOUR))]
    pub(crate) head_timeout: Duration,
    /// Most connections that have not finished a request's head. Above, the oldest is closed, so that slow ones cannot
    /// lock others out. At most a quarter of the process's open files
    #[arg(long, value_name = "N", default_value = "1024", value_parser = number::<usize>(1, 1_000_000))]
    pub(crate) max_heads: usize,
    /// Connections accepted per second at most; the kernel queues the rest. A node still fills within seconds, and the
    /// viewers that it has keep most of its processors meanwhile
    #[arg(long, value_name = "N", default_value = "10000", value_parser = number::<u32>(100, 1_000_000))]
    pub(crate) accept_rate: u32,
}

/// How a node ends its streams.
#[derive(Clone, Args)]
#[command(next_help_heading = "Shutdown")]
pub(crate) struct ShutdownOptions {
    /// After SIGTERM: time to serve as before but not ready, so that load balancers notice and viewers may stay. It ends
    /// early, but not within its first 10 s, when the last viewer has left
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration(Duration::ZERO, HOUR))]
    pub(crate) drain_delay: Duration,
    /// Then streams end with their last number, stale, spread over this time, so that their viewers do not
    /// return all at once. A second SIGTERM ends them all at once
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration(Duration::ZERO, HOUR))]
    pub(crate) drain: Duration,
}

impl PresenceOptions {
    /// Which counters exist, from `--counters` and `--sign-key`.
    ///
    /// # Errors
    /// Fails if names are signed and the key is missing or too short.
    pub(crate) fn counters(&self) -> Result<Counters, String> {
        self.counters.with_key(self.sign_key.as_deref())
    }
}

impl PresenceOptions {
    /// Which counters have a history, from `--history` and `--counters`.
    pub(crate) fn history(&self) -> HistoryRule {
        match (self.history, &self.counters) {
            (0, _) => HistoryRule::Off,
            (others, CounterRule::Listed(names)) => HistoryRule::Kept { listed: names.clone(), others },
            (others, CounterRule::Any | CounterRule::Signed) => HistoryRule::Kept { listed: Vec::new(), others },
        }
    }
}

impl AddressOptions {
    /// The limits of client addresses.
    pub(crate) fn limits(&self) -> AddressLimits {
        AddressLimits {
            per_counter: self.max_address_streams,
            in_all: self.max_address_streams_in_all,
            per_second: self.max_address_rate,
            exempt: self.limit_exempt.clone(),
        }
    }
}

impl ProxyOptions {
    /// The proxies that may name a client.
    pub(crate) fn trusted(&self) -> TrustedProxies {
        TrustedProxies {
            proxy_protocol_from: self.proxy_protocol_from.clone(),
            forwarded_from: self.forwarded_from.clone(),
            forwarded_header: self.forwarded_header,
        }
    }
}
