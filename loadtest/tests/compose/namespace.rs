//! [`Namespace`]: a separate machine for viewers, as a network namespace that a pair of virtual Ethernet ends connects. Its
//! cable can be unplugged.

use std::net::Ipv4Addr;

use headcount_testkit::Process;

use crate::command::{self, output};

/// This machine's end. The addresses are of a network set aside for examples (TEST-NET-3), public to the nodes' eyes.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The viewers' end has these two.
pub(crate) const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(203, 0, 113, 10), Ipv4Addr::new(203, 0, 113, 11)];

/// A namespace; removed with its link when it is dropped.
pub(crate) struct Namespace {
    name: String,
    outer: String,
}

impl Namespace {
    /// Makes one, linked and with its addresses set.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let tag = std::process::id();
        let namespace = Self { name: format!("headcount-{tag}"), outer: format!("hc{tag}") };
        let (name, outer, inner) = (&namespace.name, &namespace.outer, "viewer");
        output("ip", &["netns", "add", name])?;
        output("ip", &["link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name])?;
        output("ip", &["address", "add", &format!("{GATEWAY}/24"), "dev", outer])?;
        output("ip", &["link", "set", outer, "up"])?;
        for address in ADDRESSES {
            output("ip", &["-n", name, "address", "add", &format!("{address}/24"), "dev", inner])?;
        }
        output("ip", &["-n", name, "link", "set", inner, "up"])?;
        output("ip", &["-n", name, "link", "set", "lo", "up"])?;
        output("ip", &["-n", name, "route", "add", "default", "via", &GATEWAY.to_string()])?;
        Ok(namespace)
    }

    /// Starts a program inside.
    pub(crate) fn start(&self, program: &str, arguments: &[&str]) -> anyhow::Result<Process> {
        // `ip netns exec` becomes the program, so to kill the one is to kill the other.
        let mut all = vec!["netns", "exec", self.name.as_str(), program];
        all.extend_from_slice(arguments);
        command::start("ip", &all)
    }

    /// Runs a program inside to its end.
    pub(crate) fn output(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut all = vec!["netns", "exec", self.name.as_str(), program];
        all.extend_from_slice(arguments);
        output("ip", &all)
    }

    /// Unplugs the cable: from now on no packet passes, and neither end is notified.
    pub(crate) fn pull_the_cable(&self) -> anyhow::Result<()> {
        output("ip", &["link", "set", &self.outer, "down"]).map(drop)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        for arguments in [&["netns", "delete", self.name.as_str()][..], &["link", "delete", self.outer.as_str()]] {
            // The link goes with the namespace, sooner or later.
            let _ = output("ip", arguments);
        }
    }
}
