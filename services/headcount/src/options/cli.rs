//! [`Cli`]: the command line as clap describes it, and [`Command`]: its subcommands.

use clap::{Parser, Subcommand};

use super::commands::{
    CompletionsOptions, DrawOptions, HealthcheckOptions, ManOptions, ReloadOptions, SignOptions, StatusOptions,
    WatchOptions,
};
use super::serve::ServeOptions;

/// A live count of who is here, in one <img> tag, with no JavaScript.
///
/// With no subcommand it serves: `headcount` alone listens on port 8080 and keeps the count in its own process.
/// Open the URL that it prints. With --redis URL any number of nodes share one count.
///
/// Each option can stand on the command line, in the environment (HEADCOUNT_MAX_LOOKS for --max-looks) or in a TOML file
/// that --config names (`max-looks = 512`); the first of these that has it counts. `headcount check` says whether a node
/// would start.
#[derive(Parser)]
#[command(name = "headcount", version, max_term_width = 100, args_conflicts_with_subcommands = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) serve: ServeOptions,
}

/// A subcommand with its options.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a stream node (the default without a subcommand)
    Serve(Box<ServeOptions>),
    /// Say whether a node would start with these options, this environment and this configuration file: exit 0 or 1,
    /// with everything that is wrong
    ///
    /// Reads the files that the options name (configuration, font, sprites, certificates that TLS
    /// trusts) and connects to nothing:
    /// it does not say whether the ports are free or Redis answers.
    Check(Box<ServeOptions>),
    /// Have a node run its program anew under its viewers, with the configuration as it is now, and wait for the outcome:
    /// exit 0, or 1 with the node's reason
    ///
    /// Sends SIGHUP to the node. No stream over HTTP/1.1 ends. If the program or its configuration is bad, the node goes on
    /// as before. It waits for 30 s at most; in a container it reloads the node of that container.
    Reload(ReloadOptions),
    /// Draw a picture into a file, or with --then an animation, in the same looks as over HTTP
    Draw(Box<DrawOptions>),
    /// Follow a stream in the terminal: its numbers, times, frames and bytes
    Watch(WatchOptions),
    /// Print the signed names of counters (for serve --counters signed)
    Sign(SignOptions),
    /// Show all nodes, counters, leases and counts that Redis holds, or those of one node where there is no Redis
    Status(Box<StatusOptions>),
    /// Exit 0 if a node's admin port says that the node is alive, 1 if not (for containers without curl)
    Healthcheck(HealthcheckOptions),
    /// Print the completions of a shell, for its start-up file or its folder of completions
    Completions(CompletionsOptions),
    /// Write the manual pages into a folder, one for each command
    Man(ManOptions),
}
