//! The command line as clap reads it: names, environment variables, defaults and the texts of `--help`. Values are
//! plain text here; [`super::parse`] checks them.

use clap::{Args, Parser};

/// A live count of who is here, in one <img> tag, with no JavaScript.
///
/// With no subcommand it serves: `headcount` alone listens on port 8080 and keeps the count in its own process.
/// Open the address that it prints. With --redis URL any number of nodes share one count.
#[derive(Parser)]
#[command(name = "headcount", version, max_term_width = 100, args_conflicts_with_subcommands = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Subcommand>,
    #[command(flatten)]
    pub(super) serve: ServeArgs,
}

#[derive(clap::Subcommand)]
pub(super) enum Subcommand {
    /// Run a stream node (this is what happens without a subcommand, too)
    Serve(Box<ServeArgs>),
    /// Draw one picture into a file: the same looks as over HTTP
    Draw(DrawArgs),
    /// Follow a live stream in the terminal: its numbers, times, frames and bytes
    Watch(WatchArgs),
    /// Print the addresses of counters where names are signed (serve --counters signed)
    Sign(SignArgs),
    /// Show the nodes, leases, counters and counts that Redis holds
    Status(StatusArgs),
    /// Exit 0 if a node's admin port says that it is alive, 1 if not (for containers without curl)
    Healthcheck(HealthcheckArgs),
}

#[derive(Args)]
pub(super) struct ServeArgs {
    /// Public address: IP:PORT. Port 0 takes a free one, which is logged
    #[arg(long, env = "HEADCOUNT_LISTEN", value_name = "ADDR", default_value = "0.0.0.0:8080")]
    pub(super) listen: String,
    /// Address of /healthz, /readyz and /metrics. On loopback by default: it is not for the public
    #[arg(long, env = "HEADCOUNT_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:9090")]
    pub(super) admin: String,
    /// The address that the pages' embed codes name, as `https://count.example`; by default what the browser asked for
    #[arg(long, env = "HEADCOUNT_PUBLIC_URL", value_name = "URL")]
    pub(super) public_url: Option<String>,

    /// Share the count with other nodes through Redis: redis://, rediss://, redis+unix://, redis+sentinel:// or
    /// redis+cluster://. Without it this process counts alone. rediss:// speaks TLS and trusts the system's certificates,
    /// or those in the file that SSL_CERT_FILE names
    #[arg(long, env = "HEADCOUNT_REDIS", value_name = "URL", help_heading = "Presence")]
    pub(super) redis: Option<String>,
    /// What every key in Redis begins with
    #[arg(long, env = "HEADCOUNT_REDIS_PREFIX", value_name = "TEXT", default_value = "hc:", help_heading = "Presence")]
    pub(super) redis_prefix: String,
    /// Which counters exist: "any"; names with commas between; or "signed", the names that `headcount sign` has signed
    /// with --sign-key. Others get 404, so that nobody can fill memory with invented names
    #[arg(long, env = "HEADCOUNT_COUNTERS", value_name = "NAMES", default_value = "any", help_heading = "Presence")]
    pub(super) counters: String,
    /// The secret that signs counters' names: 16 bytes or more, the same on all nodes
    #[arg(long, env = "HEADCOUNT_SIGN_KEY", value_name = "TEXT", hide_env_values = true, help_heading = "Presence")]
    pub(super) sign_key: Option<String>,
    /// Which sites' pages may show a counter's stream, by what browsers name in Referer:
    /// `COUNTER=https://forum.example,…;COUNTER=…` – a counter that is not named here may be embedded anywhere
    #[arg(long, env = "HEADCOUNT_EMBED_FROM", value_name = "LISTS", help_heading = "Presence")]
    pub(super) embed_from: Option<String>,
    /// A stream counts only after it has been open for so long: above 0, a reload does not make the number jump
    #[arg(long, env = "HEADCOUNT_GRACE", value_name = "TIME", default_value = "0s", help_heading = "Presence")]
    pub(super) grace: String,
    /// Privacy: below this number, pictures and JSON say "fewer than" it
    #[arg(long, env = "HEADCOUNT_SMALL", value_name = "N", default_value = "0", help_heading = "Presence")]
    pub(super) small: String,

    /// Most open streams of one counter from one client address (IPv6: from its /64), over all nodes; 429 above. The
    /// default is a shared office. Raise it where many viewers share a mobile carrier's or a school's address
    #[arg(
        long,
        env = "HEADCOUNT_MAX_ADDRESS_STREAMS",
        value_name = "N",
        default_value = "32",
        help_heading = "Client addresses"
    )]
    pub(super) max_address_streams: String,
    /// Most open streams of one client address at all counters together, over all nodes; 429 above. The default is the
    /// same office before a page with four counters
    #[arg(
        long,
        env = "HEADCOUNT_MAX_ADDRESS_STREAMS_IN_ALL",
        value_name = "N",
        default_value = "128",
        help_heading = "Client addresses"
    )]
    pub(super) max_address_streams_in_all: String,
    /// New streams a second from one client address, over all nodes; 429 above. After a pause it may open at once as many as it
    /// may have in all: by default, everybody in that office may reload the page together, every 8 s
    #[arg(
        long,
        env = "HEADCOUNT_MAX_ADDRESS_RATE",
        value_name = "N",
        default_value = "16",
        help_heading = "Client addresses"
    )]
    pub(super) max_address_rate: String,
    /// Networks (CIDR, commas between) to which these three do not apply; empty: none. By default loopback, private and
    /// link-local ones: one's own machines, and a proxy that nobody has told of and that hides all viewers behind its
    /// address. A carrier's 100.64.0.0/10 is not among them, for its customers are strangers. 0.0.0.0/0,::/0 is everybody
    #[arg(
        long,
        env = "HEADCOUNT_LIMIT_EXEMPT",
        value_name = "CIDR,…",
        default_value = headcount_presence::AddressLimits::PRIVATE,
        help_heading = "Client addresses"
    )]
    pub(super) limit_exempt: String,

    /// Networks (CIDR, commas between) of load balancers whose connections begin with a PROXY protocol header, v1 or
    /// v2. From them the header is required; from all others it is a bad request
    #[arg(long, env = "HEADCOUNT_PROXY_PROTOCOL_FROM", value_name = "CIDR,…", help_heading = "Proxies in front")]
    pub(super) proxy_protocol_from: Option<String>,
    /// Networks (CIDR, commas between) of HTTP proxies that say in a header who their client is; nobody is believed by
    /// default
    #[arg(long, env = "HEADCOUNT_FORWARDED_FROM", value_name = "CIDR,…", help_heading = "Proxies in front")]
    pub(super) forwarded_from: Option<String>,
    /// The header that those proxies set: x-forwarded-for or forwarded. One alone is read, because a proxy passes on
    /// unchanged what its client put into the other
    #[arg(
        long,
        env = "HEADCOUNT_FORWARDED_HEADER",
        value_name = "NAME",
        default_value = "x-forwarded-for",
        help_heading = "Proxies in front"
    )]
    pub(super) forwarded_header: String,

    /// Threads that own the viewers' sockets. One pushes to about 90,000 viewers a second; by default as many as
    /// measured best for the cores here
    #[arg(long, env = "HEADCOUNT_SHARDS", value_name = "N", help_heading = "Viewers")]
    pub(super) shards: Option<String>,
    /// Most viewers on this node, 503 above. By default the process's limit of open files less --max-heads and a reserve
    /// of 512 for Redis, admin and requests that are being answered
    #[arg(long, env = "HEADCOUNT_MAX_VIEWERS", value_name = "N", help_heading = "Viewers")]
    pub(super) max_viewers: Option<String>,
    /// Most viewers of one counter on this node, 503 above, so that one counter cannot take all places
    #[arg(long, env = "HEADCOUNT_MAX_VIEWERS_PER_COUNTER", value_name = "N", help_heading = "Viewers")]
    pub(super) max_viewers_per_counter: Option<String>,
    /// Most live looks (counter, options and format): each is drawn and encoded by itself at every change
    #[arg(long, env = "HEADCOUNT_MAX_LOOKS", value_name = "N", default_value = "1024", help_heading = "Viewers")]
    pub(super) max_looks: String,
    /// Pushes a second at most, to a viewer: ten look alive, and cost a viewer 4 kB/s at the busiest. 0.1 is one in ten
    /// seconds: for a crowd that a machine or a line can only just serve. After a quiet time three may follow at once
    #[arg(long, env = "HEADCOUNT_FRAME_RATE", value_name = "N", default_value = "10", help_heading = "Viewers")]
    pub(super) frame_rate: String,
    /// An unchanged frame is sent again after so long: it keeps proxies from closing a quiet stream (their usual limit
    /// is 30 s or more) and finds viewers that have vanished
    #[arg(long, env = "HEADCOUNT_KEEPALIVE", value_name = "TIME", default_value = "15s", help_heading = "Viewers")]
    pub(super) keepalive: String,
    /// A viewer that takes nothing of what is sent to it for so long is dropped: it is a frozen tab or a machine that
    /// is gone. Something is sent at least every --keepalive, so both together bound how long the number can include one
    #[arg(long, env = "HEADCOUNT_STALL_LIMIT", value_name = "TIME", default_value = "25s", help_heading = "Viewers")]
    pub(super) stall_limit: String,

    /// A request's head must be complete within it: a real browser needs one round trip
    #[arg(long, env = "HEADCOUNT_HEAD_TIMEOUT", value_name = "TIME", default_value = "10s", help_heading = "Requests")]
    pub(super) head_timeout: String,
    /// Most connections that have not finished a request's head; above, the oldest is closed, so that slow ones
    /// cannot lock others out. At most a quarter of the process's open files
    #[arg(long, env = "HEADCOUNT_MAX_HEADS", value_name = "N", default_value = "1024", help_heading = "Requests")]
    pub(super) max_heads: String,
    /// Connections accepted a second at most; the kernel queues the rest. A node still fills within seconds, and
    /// the viewers whom it has keep most of its processors meanwhile
    #[arg(long, env = "HEADCOUNT_ACCEPT_RATE", value_name = "N", default_value = "10000", help_heading = "Requests")]
    pub(super) accept_rate: String,

    /// After SIGTERM: time to go on as before but not ready, for load balancers that look once in so long
    #[arg(long, env = "HEADCOUNT_DRAIN_DELAY", value_name = "TIME", default_value = "0s", help_heading = "Shutdown")]
    pub(super) drain_delay: String,
    /// Then streams end with their last frame, spread over this time, so that their return is no stampede. A second
    /// SIGTERM ends them all at once
    #[arg(long, env = "HEADCOUNT_DRAIN", value_name = "TIME", default_value = "5s", help_heading = "Shutdown")]
    pub(super) drain: String,

    /// A TrueType or OpenType file in place of the built-in font
    #[arg(long, env = "HEADCOUNT_FONT", value_name = "FILE", help_heading = "Drawing")]
    pub(super) font: Option<String>,

    /// What is logged: off, error, warn, info, debug, trace, or a filter by module (tracing's EnvFilter)
    #[arg(long, env = "HEADCOUNT_LOG", value_name = "FILTER", default_value = "info", help_heading = "Logging")]
    pub(super) log: String,
    /// auto (pretty on a terminal, JSON otherwise), pretty or json; to standard error
    #[arg(long, env = "HEADCOUNT_LOG_FORMAT", value_name = "FORMAT", default_value = "auto", help_heading = "Logging")]
    pub(super) log_format: String,
}

#[derive(Args)]
pub(super) struct DrawArgs {
    /// The number to draw
    pub(super) count: String,
    /// The file: .png, .jpg or .svg; "-" writes a PNG to standard output
    #[arg(long, value_name = "FILE")]
    pub(super) out: String,
    /// How it looks, as in the address: "style=odometer&height=32&label=readers"
    #[arg(long, env = "HEADCOUNT_LOOK", value_name = "QUERY", default_value = "")]
    pub(super) look: String,
    /// With the mark of a number that may be old
    #[arg(long)]
    pub(super) stale: bool,
    /// A TrueType or OpenType file in place of the built-in font
    #[arg(long, env = "HEADCOUNT_FONT", value_name = "FILE")]
    pub(super) font: Option<String>,
}

#[derive(Args)]
pub(super) struct WatchArgs {
    /// The stream, as http://127.0.0.1:8080/online.png (plain HTTP)
    pub(super) url: String,
    /// One JSON object a frame, for programs
    #[arg(long)]
    pub(super) json: bool,
    /// Stop after so many frames
    #[arg(long, value_name = "N")]
    pub(super) frames: Option<String>,
}

#[derive(Args)]
pub(super) struct SignArgs {
    /// The counters' names
    #[arg(required = true, value_name = "NAME")]
    pub(super) names: Vec<String>,
    /// The nodes' --sign-key
    #[arg(long, env = "HEADCOUNT_SIGN_KEY", value_name = "TEXT", hide_env_values = true)]
    pub(super) sign_key: String,
}

#[derive(Args)]
pub(super) struct StatusArgs {
    /// The nodes' Redis
    #[arg(long, env = "HEADCOUNT_REDIS", value_name = "URL")]
    pub(super) redis: String,
    /// What every key begins with
    #[arg(long, env = "HEADCOUNT_REDIS_PREFIX", value_name = "TEXT", default_value = "hc:")]
    pub(super) redis_prefix: String,
    /// JSON in place of a table
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args)]
pub(super) struct HealthcheckArgs {
    /// The node's admin address; 0.0.0.0 is asked as 127.0.0.1
    #[arg(long, env = "HEADCOUNT_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:9090")]
    pub(super) admin: String,
}
