//! One replica of the stream node, seen from the machine that it runs on.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, ensure};
use headcount_testkit::http;
use serde::Deserialize;

/// The public port within the container.
const PUBLIC_PORT: u16 = 8080;
/// The admin port within the container.
const ADMIN_PORT: u16 = 8079;
/// A node without an answer for this time is gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// This machine has an address in the network from which nodes expect load balancers, and these introduce themselves.
const INTRODUCTION: &str = "PROXY UNKNOWN\r\n";
/// The rest of a request's head.
const REST: &str = "Host: node\r\nConnection: close\r\n\r\n";

/// A running container of the service `headcount`.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Docker's id of it.
    pub(crate) id: String,
    /// Its address on the network that it shares with the load balancer.
    pub(crate) address: IpAddr,
}

/// The answer to `/{counter}.json`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Reading {
    pub(crate) count: u64,
    pub(crate) visitors: u64,
    pub(crate) stale: bool,
}

impl Node {
    /// The number that this node knows.
    pub(crate) fn reading(&self, counter: &str) -> anyhow::Result<Reading> {
        let answer = self.public(&format!("{INTRODUCTION}GET /{counter}.json HTTP/1.1\r\n{REST}"))?;
        let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no head in {answer:?}"))?;
        ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
        serde_json::from_str(body).with_context(|| format!("no reading in {body:?}"))
    }

    /// Asks for what does not exist, and then without the introduction that is due from a load balancer.
    pub(crate) fn ask_for_nonsense(&self) -> anyhow::Result<()> {
        let answer = self.public(&format!("{INTRODUCTION}GET /no/such/thing HTTP/1.1\r\n{REST}"))?;
        ensure!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        let answer = self.public(&format!("GET / HTTP/1.1\r\n{REST}")).unwrap_or_default();
        ensure!(!answer.starts_with("HTTP/1.1 200 "), "answered without a PROXY header: {answer}");
        Ok(())
    }

    /// Sends this to the public port, and returns the whole answer.
    fn public(&self, request: &str) -> anyhow::Result<String> {
        let address = SocketAddr::new(self.address, PUBLIC_PORT);
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// The viewers whose streams this node holds.
    pub(crate) fn viewers(&self) -> anyhow::Result<u64> {
        let metrics = self.admin("/metrics")?;
        let of_state = |line: &str| -> Option<u64> {
            line.strip_prefix("headcount_viewers_by_state{")?.split(' ').nth(1)?.parse().ok()
        };
        Ok(metrics.lines().filter_map(of_state).sum())
    }

    /// How often its program has been run anew under its viewers.
    pub(crate) fn reloads(&self) -> anyhow::Result<u64> {
        let metrics = self.admin("/metrics")?;
        let done = metrics.lines().find_map(|line| line.strip_prefix("headcount_reloads_total{outcome=\"done\"} "));
        done.and_then(|done| done.parse().ok()).context("no metric of reloads")
    }

    /// Whether the load balancer may send it viewers.
    pub(crate) fn is_ready(&self) -> anyhow::Result<()> {
        self.admin("/readyz").map(drop)
    }

    fn admin(&self, path: &str) -> anyhow::Result<String> {
        let answer = http::get(SocketAddr::new(self.address, ADMIN_PORT), path)?;
        ensure!(answer.status == 200, "{path} of {} answers {}: {}", self.address, answer.status, answer.text());
        Ok(answer.text())
    }
}
