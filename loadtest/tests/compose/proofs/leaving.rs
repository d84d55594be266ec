//! How soon the others see that a viewer has left, for every port and protocol.

use std::time::{Duration, Instant};

use anyhow::ensure;
use headcount_testkit::promise::VANISHED;

use super::CHANGE;
use crate::{
    command,
    crowd::Crowd,
    namespace::{GATEWAY, Namespace},
    stack::Stack,
    timing::within,
};

/// The watching viewers: some on every node.
const WATCHERS: usize = 9;
/// A program starts and shakes hands.
const ARRIVAL: Duration = Duration::from_secs(10);

/// A way to the service.
struct Way {
    name: &'static str,
    scheme: &'static str,
    version: &'static str,
}

const WAYS: [Way; 3] = [
    Way { name: "8080", scheme: "http", version: "--http1.1" },
    Way { name: "8443, HTTP/1.1", scheme: "https", version: "--http1.1" },
    Way { name: "8443, HTTP/2", scheme: "https", version: "--http2" },
];

impl Way {
    /// The arguments with which curl watches this way.
    fn curl(&self, stack: &Stack, host: &str) -> Vec<String> {
        let port = if self.scheme == "https" { stack.ports.tls } else { stack.ports.service };
        let url = format!("{}://{host}:{port}/leaving.png", self.scheme);
        ["--silent", "--insecure", "--no-buffer", self.version, "--output", "/dev/null", &url].map(String::from).into()
    }
}

pub(super) fn run(stack: &Stack) -> anyhow::Result<()> {
    let crowd = Crowd::open(stack, "leaving", WATCHERS)?;
    for way in &WAYS {
        let arguments = way.curl(stack, &stack.outside()?.to_string());
        let viewer = command::start("curl", &arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
        // It has been there for a while: nothing of its arrival is on the way any more.
        crowd.viewers().all_see(WATCHERS as u64 + 1, ARRIVAL)?;
        let begun = Instant::now();
        drop(viewer);
        within(&format!("{}: closed, until all see it", way.name), begun, CHANGE, || shown(&crowd, WATCHERS))?;
    }

    let namespace = Namespace::new()?;
    let mut viewers = Vec::new();
    for way in &WAYS {
        let arguments = way.curl(stack, &GATEWAY.to_string());
        viewers.push(namespace.start("curl", &arguments.iter().map(String::as_str).collect::<Vec<_>>())?);
    }
    crowd.viewers().all_see((WATCHERS + WAYS.len()) as u64, ARRIVAL)?;
    let begun = Instant::now();
    namespace.pull_the_cable()?;
    for gone in 1..=WAYS.len() {
        let left = WATCHERS + WAYS.len() - gone;
        within(&format!("vanished without a word: {gone} of 3 noticed"), begun, VANISHED, || {
            // Two may be noticed at once.
            let now = crowd.snapshot()?;
            ensure!(now.unanimous().is_some_and(|number| number <= left as u64), "not yet: {now}");
            Ok(())
        })?;
    }
    crowd.exact("all of them", begun, VANISHED + CHANGE)
}

fn shown(crowd: &Crowd, number: usize) -> anyhow::Result<()> {
    let now = crowd.snapshot()?;
    ensure!(now.unanimous() == Some(number as u64), "{number} are left: {now}");
    Ok(())
}
