//! [`NodeOptions`]: how a node is started.

use std::path::PathBuf;

use crate::{BALANCER, faketime};

/// A scale of [`NodeOptions::scaled`]: a lease is still half a second, which a busy machine keeps.
pub const TIME_SCALE: u32 = 20;

/// How a node is started.
#[derive(Clone, Debug, Default)]
pub struct NodeOptions {
    /// The binary; by default that of this workspace.
    pub program: Option<PathBuf>,
    /// `--redis`; embedded presence by default.
    pub redis: Option<String>,
    /// Further arguments of `serve`.
    pub arguments: Vec<String>,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
}

impl NodeOptions {
    /// A node whose presence is in the Redis at `url`.
    pub fn redis(url: impl Into<String>) -> Self {
        Self { redis: Some(url.into()), ..Self::default() }
    }

    /// Adds arguments of `serve`.
    #[must_use]
    pub fn with<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Shifts its clock with libfaketime, for instance by `+1h`; monotonic clocks stay as they are.
    #[must_use]
    pub fn with_clock(mut self, shift: &str) -> Self {
        self.environment.extend([
            ("LD_PRELOAD".into(), faketime::library()),
            ("FAKETIME".into(), shift.into()),
            ("DONT_FAKE_MONOTONIC".into(), "1".into()),
        ]);
        self
    }

    /// Trusts the load balancer at [`BALANCER`], from which [`visitors`](crate::visitors) come.
    #[must_use]
    pub fn behind_balancer(self) -> Self {
        let balancer = BALANCER.to_string();
        self.with(["--proxy-protocol-from", &balancer])
    }

    /// Divides all lives and leases by `scale`, so that minutes pass in seconds. All nodes of a Redis must have the same.
    #[must_use]
    pub fn scaled(mut self, scale: u32) -> Self {
        self.environment.push(("HEADCOUNT_TIME_SCALE".into(), scale.to_string()));
        self
    }
}
