//! [`RedisServer`]: a redis-server of one's own.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    Error, Process, Usage,
    ports::{self, Reserved},
    resp, wait_until,
};

/// How long a server may take to answer its first PING.
const STARTUP: Duration = Duration::from_secs(10);

/// What a server has in memory after it is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// Nothing.
    Lost,
    /// What it had: it saves a snapshot before it is killed.
    Kept,
}

/// A redis-server on a free port of 127.0.0.1, without persistence.
#[derive(Debug)]
pub struct RedisServer {
    process: Process,
    /// Kept while the server is down as well.
    port: Reserved,
    arguments: Vec<String>,
    directory: TempDir,
}

impl RedisServer {
    /// Starts one, and waits until it answers.
    ///
    /// # Errors
    /// If redis-server is not installed or does not come up.
    pub fn start() -> Result<Self, Error> {
        Self::start_with::<&str>(&[])
    }

    /// Starts one with more options, as on redis-server's command line: `["--requirepass", "secret"]`.
    ///
    /// # Errors
    /// If redis-server is not installed or does not come up.
    pub fn start_with<A: AsRef<str>>(arguments: &[A]) -> Result<Self, Error> {
        let arguments: Vec<String> = arguments.iter().map(|argument| argument.as_ref().to_owned()).collect();
        let directory = tempfile::tempdir().map_err(Error::io("a directory for Redis"))?;
        let port = ports::reserve().map_err(Error::io("a port for Redis"))?;
        let process = spawn(port.number(), directory.path(), &arguments)?;
        let mut server = Self { process, port, arguments, directory };
        server.await_up()?;
        Ok(server)
    }

    fn await_up(&mut self) -> Result<(), Error> {
        let address = self.address();
        let process = &mut self.process;
        let mut dead = false;
        let up = wait_until("Redis's first answer", STARTUP, || {
            dead = !process.is_alive();
            match resp::ask(address, &["PING"]) {
                _ if dead => Ok(()),
                // One with a password refuses, and one that still loads asks for patience.
                Ok(resp::Value::Error(error)) if !error.starts_with("NOAUTH") => Err(error),
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        });
        if dead {
            return Err(Error::TooLate {
                what: "Redis's first answer".into(),
                within: STARTUP,
                heard: "it ended".into(),
            });
        }
        up
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number()).into()
    }

    /// Its address for a node's `--redis`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port.number())
    }

    /// Its process, to freeze, thaw and measure.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// `kill -9`, if it still runs, and a new server on the same port.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn restart(&mut self, data: Data) -> Result<(), Error> {
        if self.process.is_alive() {
            if data == Data::Kept {
                self.command(&["SAVE"])?;
            }
            self.process.kill();
        }
        if data == Data::Lost {
            // There is none where nothing was ever saved.
            let _ = std::fs::remove_file(self.directory.path().join("dump.rdb"));
        }
        self.process = spawn(self.port.number(), self.directory.path(), &self.arguments)?;
        self.await_up()
    }

    /// Runs a command, for instance `["FLUSHALL"]`.
    ///
    /// # Errors
    /// If there is no connection, or Redis answers with an error.
    pub fn command<A: AsRef<[u8]>>(&self, arguments: &[A]) -> Result<resp::Value, Error> {
        ask(self.address(), arguments)
    }

    /// All keys, in order.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        let mut keys: Vec<String> = self.command(&["KEYS", "*"])?.list().iter().map(resp::Value::text).collect();
        keys.sort();
        Ok(keys)
    }

    /// One field of `INFO`, for instance `total_commands_processed`.
    ///
    /// # Errors
    /// If there is no answer, or no such field.
    pub fn info(&self, field: &str) -> Result<String, Error> {
        let info = self.command(&["INFO", "everything"])?.text();
        let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::to_owned);
        value.ok_or_else(|| Error::Redis { command: "INFO".into(), answer: format!("nothing about {field}") })
    }

    /// Makes it a replica of another.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn follow(&self, master: SocketAddr) -> Result<(), Error> {
        self.command(&["REPLICAOF", &master.ip().to_string(), &master.port().to_string()]).map(drop)
    }

    /// Memory and processor time.
    ///
    /// # Errors
    /// If it has ended.
    pub fn usage(&self) -> Result<Usage, Error> {
        self.process.usage()
    }
}

fn spawn(port: u16, directory: &Path, arguments: &[String]) -> Result<Process, Error> {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.arg("--dir").arg(directory).args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    Process::start(command)
}

/// Asks a Redis, and takes an error for one.
pub(super) fn ask<A: AsRef<[u8]>>(address: SocketAddr, arguments: &[A]) -> Result<resp::Value, Error> {
    let command = || {
        let words: Vec<_> = arguments.iter().map(|argument| String::from_utf8_lossy(argument.as_ref())).collect();
        words.join(" ")
    };
    match resp::ask(address, arguments) {
        Ok(resp::Value::Error(answer)) => Err(Error::Redis { command: command(), answer }),
        Ok(value) => Ok(value),
        Err(source) => Err(Error::Io { what: format!("{} to Redis at {address}", command()), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_restarts_with_and_without_its_data() {
        let mut server = RedisServer::start().unwrap();
        server.command(&["SET", "a", "1"]).unwrap();
        server.restart(Data::Kept).unwrap();
        assert_eq!(server.keys().unwrap(), ["a"]);
        server.restart(Data::Lost).unwrap();
        assert_eq!(server.keys().unwrap(), [""; 0]);
        server.kill();
        assert!(server.command(&["PING"]).is_err());
        server.restart(Data::Lost).unwrap();
        assert_eq!(server.info("loading").unwrap(), "0");
        assert!(server.command(&["NOSUCH"]).is_err());
    }
}
