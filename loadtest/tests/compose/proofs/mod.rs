//! What the stack is held to, one file a claim. Bounds are the promises of ARCHITECTURE.md's table of the count.

mod addresses;
mod breaking;
mod documents;
mod embeds;
mod game;
mod image;
mod leaving;
mod observing;
mod rolling;
mod settings;
mod sites;

use std::time::Duration;

use crate::stack::Stack;

/// One claim and how it is proven.
pub(crate) struct Proof {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What it shows, in a sentence.
    pub(crate) claim: &'static str,
    /// The proof itself, on a stack at rest.
    pub(crate) run: fn(&Stack) -> anyhow::Result<()>,
}

/// All claims, in the order in which a user would meet them.
pub(crate) const PROOFS: &[Proof] = &[
    Proof {
        name: "image",
        claim: "the image holds the two programs and the two files that they read: no shell, no setuid file",
        run: image::run,
    },
    Proof {
        name: "sites",
        claim: "both sites show the same number in a real browser, and viewers are spread over the nodes",
        run: sites::run,
    },
    Proof {
        name: "breaking",
        claim: "under 3,000 viewers everything is scaled, killed, restarted and cut off in turn, and the number is exact after each",
        run: breaking::run,
    },
    Proof {
        name: "rolling",
        claim: "all nodes are restarted under 3,000 viewers, and every stream ends with its last frame and a clean goodbye",
        run: rolling::run,
    },
    Proof {
        name: "settings",
        claim: "the README's commands change a setting under 300 viewers, and Docker still restarts the nodes",
        run: settings::run,
    },
    Proof {
        name: "documents",
        claim: "every block of commands that the documents say is tested here does what it says, one after the other",
        run: documents::run,
    },
    Proof {
        name: "leaving",
        claim: "who leaves is gone from the number within 1 s, and who vanishes without a word within 45 s",
        run: leaving::run,
    },
    Proof {
        name: "addresses",
        claim: "a node knows its viewers' own addresses, and forged headers change nothing",
        run: addresses::run,
    },
    Proof {
        name: "game",
        claim: "the forum shows a game that is played through the load balancer, and another address sees each move",
        run: game::run,
    },
    Proof { name: "embeds", claim: "eight embeds in one page over TLS are all live in Chromium", run: embeds::run },
    Proof {
        name: "observing",
        claim: "Prometheus scrapes every node and evaluates the rules, and every query of the dashboard has data",
        run: observing::run,
    },
];

/// Viewers of the larger proofs.
const CROWD: usize = 3_000;

/// A viewer that came or went, as all others see it.
const CHANGE: Duration = Duration::from_secs(1);
/// A node that was killed or cut off, and a Redis that lost everything.
const NODE_LOST: Duration = headcount_testkit::promise::GONE;
