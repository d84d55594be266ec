//! [`Node`]: one run of the service.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{ChildStderr, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use serde::Deserialize;

use crate::{Error, NodeOptions, Process, Usage, http, program, wait_until};

/// How long a node may take until it listens, and until it is ready.
const STARTUP: Duration = Duration::from_secs(20);

/// The answer to `GET /{counter}.json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Reading {
    /// The viewers.
    pub count: u64,
    /// The distinct people behind them.
    pub visitors: u64,
    /// Whether the number may be old.
    pub stale: bool,
    /// When it was known to be right, as text.
    pub as_of: Option<String>,
    /// The state's epoch.
    #[serde(default)]
    pub epoch: u64,
    /// The state's version within its epoch.
    #[serde(default)]
    pub version: u64,
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    process: Process,
    listen: SocketAddr,
    admin: SocketAddr,
    log: Arc<Mutex<VecDeque<String>>>,
}

impl Node {
    /// The number of log lines kept; older ones are dropped.
    pub const LOG_LINES: usize = 20_000;

    /// Starts a node, and waits until it listens. [`ready`](Self::ready) waits until it is ready.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start(options: &NodeOptions) -> Result<Self, Error> {
        let program = match &options.program {
            Some(program) => program.clone(),
            None => program::find("headcount")?,
        };
        let mut command = Command::new(program);
        command.args(["serve", "--log-format", "json"]);
        // An option may be given only once: the caller's replaces the default.
        for (name, value) in [("--listen", "127.0.0.1:0"), ("--admin", "127.0.0.1:0")] {
            let given = |argument: &String| argument == name || argument.starts_with(&format!("{name}="));
            if !options.arguments.iter().any(given) {
                command.args([name, value]);
            }
        }
        if let Some(redis) = &options.redis {
            command.args(["--redis", redis]);
        }
        command.args(&options.arguments);
        command.envs(options.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Process::start(command)?;
        let log: Arc<Mutex<VecDeque<String>>> = Arc::default();
        let addresses: Arc<Mutex<Option<(SocketAddr, SocketAddr)>>> = Arc::default();
        let stderr = process.child().stderr.take().expect("it is piped");
        let (kept, found) = (Arc::clone(&log), Arc::clone(&addresses));
        let reader = thread::Builder::new().name("node log".into());
        reader.spawn(move || read_log(stderr, &kept, &found)).map_err(Error::io("a thread for a node's log"))?;
        let up = wait_until("a node's address", STARTUP, || {
            let found = *addresses.lock();
            match found {
                Some(addresses) => Ok(Ok(addresses)),
                None if !process.is_alive() => Ok(Err(())),
                None => Err(last_lines(&log)),
            }
        })?;
        let (listen, admin) = up.map_err(|()| Error::TooLate {
            what: "a node's address; it ended".into(),
            within: STARTUP,
            heard: last_lines(&log),
        })?;
        Ok(Self { process, listen, admin, log })
    }

    /// Starts a node with presence in the Redis at `url`, and waits until it is ready.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn with_redis(url: &str) -> Result<Self, Error> {
        let node = Self::start(&NodeOptions::redis(url))?;
        node.ready(STARTUP)?;
        Ok(node)
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Errors
    /// If the time runs out.
    pub fn ready(&self, within: Duration) -> Result<(), Error> {
        wait_until("a node's readiness", within, || match http::get(self.admin, "/readyz") {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(format!("{} {}", answer.status, answer.text())),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Waits until `/readyz` answers 503.
    ///
    /// # Errors
    /// If the time runs out.
    pub fn unready(&self, within: Duration) -> Result<(), Error> {
        wait_until("a node's unreadiness", within, || match http::get(self.admin, "/readyz") {
            Ok(answer) if answer.status == 503 => Ok(()),
            other => Err(format!("{other:?}")),
        })
    }

    /// Waits until a metric, as in [`metric`](Self::metric), is at least this.
    ///
    /// # Errors
    /// If the time runs out.
    pub fn reaches(&self, metric: &str, least: f64, within: Duration) -> Result<(), Error> {
        wait_until(&format!("{metric} of {least}"), within, || match self.metric(metric) {
            Ok(value) if value >= least => Ok(()),
            other => Err(format!("{other:?}")),
        })
    }

    /// Waits until a line of its log contains this.
    ///
    /// # Errors
    /// If the time runs out.
    pub fn logs(&self, text: &str, within: Duration) -> Result<(), Error> {
        wait_until(&format!("{text:?} in a node's log"), within, || {
            let log = self.log();
            if log.iter().any(|line| line.contains(text)) { Ok(()) } else { Err(log.join("\n")) }
        })
    }

    /// Where viewers connect.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Where health and metrics are.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The address of a stream or snapshot: `node.url("online.png")`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.listen)
    }

    /// The node's answer to `GET /{counter}.json`.
    ///
    /// # Errors
    /// If it does not answer, or not with a reading.
    pub fn reading(&self, counter: &str) -> Result<Reading, Error> {
        let (url, answer) = self.get(self.listen, &format!("/{counter}.json"))?;
        serde_json::from_slice(&answer.body).map_err(|_| Error::Answer {
            url,
            status: answer.status,
            body: answer.text(),
        })
    }

    /// Its metrics as text.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn metrics(&self) -> Result<String, Error> {
        Ok(self.get(self.admin, "/metrics")?.1.text())
    }

    /// The sum of all series of one metric; zero if there is none.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn metric(&self, name: &str) -> Result<f64, Error> {
        let series = self.metrics()?;
        let values = series.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let bare = series.split('{').next()?;
            (bare == name).then(|| value.parse::<f64>().ok())?
        });
        Ok(values.sum())
    }

    fn get(&self, address: SocketAddr, path: &str) -> Result<(String, http::Answer), Error> {
        let url = format!("http://{address}{path}");
        let answer = http::get(address, path).map_err(Error::io(url.clone()))?;
        match answer.status {
            200 => Ok((url, answer)),
            status => Err(Error::Answer { url, status, body: answer.text() }),
        }
    }

    /// Its process, to freeze, thaw and signal.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// If the time runs out.
    pub fn stop(&mut self, within: Duration) -> Result<ExitStatus, Error> {
        self.process.stop(within)
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// If the time runs out.
    pub fn process_ended(&mut self, within: Duration) -> Result<ExitStatus, Error> {
        self.process.ended(within)
    }

    /// Memory and processor time.
    ///
    /// # Errors
    /// If it has ended.
    pub fn usage(&self) -> Result<Usage, Error> {
        self.process.usage()
    }

    /// Its last log lines, JSON each.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().iter().cloned().collect()
    }
}

fn last_lines(log: &Mutex<VecDeque<String>>) -> String {
    let log = log.lock();
    let lines: Vec<&str> = log.iter().rev().take(5).rev().map(String::as_str).collect();
    if lines.is_empty() { "nothing".into() } else { lines.join("\n") }
}

/// Keeps a node's log, and finds in it the addresses on which it listens.
fn read_log(stderr: ChildStderr, log: &Mutex<VecDeque<String>>, addresses: &Mutex<Option<(SocketAddr, SocketAddr)>>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if line.contains("listening")
            && let Some(found) = listening(&line)
        {
            *addresses.lock() = Some(found);
        }
        let mut log = log.lock();
        if log.len() == Node::LOG_LINES {
            log.pop_front();
        }
        log.push_back(line);
    }
}

fn listening(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let fields: serde_json::Value = serde_json::from_str(line).ok()?;
    if fields.get("message")?.as_str()? != "listening" {
        return None;
    }
    let address = |name: &str| fields.get(name)?.as_str()?.parse().ok();
    Some((address("listen")?, address("admin")?))
}
