//! [`RedisServer`]: a redis-server for one test.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use redis::{Client, Cmd, Connection, FromRedisValue, RedisResult, Value};
use tempfile::TempDir;

use crate::{
    Error, Process, Usage,
    faketime::SteppedClock,
    ports::{self, Reserved},
    wait_until,
};

/// How long a server may take until its first reply.
const STARTUP: Duration = Duration::from_secs(10);

/// How long a connection, or a reply, may take.
const REPLY: Duration = Duration::from_secs(5);

/// What a server has in memory after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// Nothing.
    Lost,
    /// What it had before: it saves a snapshot before it is killed.
    Kept,
}

/// A redis-server on a free port of 127.0.0.1, without persistence.
#[derive(Debug)]
pub struct RedisServer {
    process: Process,
    /// Reserved while the server is down too.
    port: Reserved,
    arguments: Vec<String>,
    /// Its own clock, where that can be stepped.
    clock: Option<SteppedClock>,
    directory: TempDir,
}

impl RedisServer {
    /// Starts one, and waits until it replies.
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
        Self::start_in(directory, arguments, None)
    }

    /// Starts one whose own clock can be stepped: see [`step_clock`](Self::step_clock).
    ///
    /// # Errors
    /// If redis-server or libfaketime is not installed, or the server does not come up.
    pub fn start_with_clock() -> Result<Self, Error> {
        let directory = tempfile::tempdir().map_err(Error::io("a directory for Redis"))?;
        let clock = SteppedClock::new(directory.path()).map_err(Error::io("a clock for Redis"))?;
        Self::start_in(directory, Vec::new(), Some(clock))
    }

    fn start_in(directory: TempDir, arguments: Vec<String>, clock: Option<SteppedClock>) -> Result<Self, Error> {
        let port = ports::reserve().map_err(Error::io("a port for Redis"))?;
        let process = spawn(port.number(), directory.path(), &arguments, clock.as_ref())?;
        let mut server = Self { process, port, arguments, clock, directory };
        server.await_up()?;
        Ok(server)
    }

    fn await_up(&mut self) -> Result<(), Error> {
        let address = self.address();
        let ping = || match connect(address).and_then(|mut connection| Cmd::new().arg("PING").exec(&mut connection)) {
            // A server with a password replies too.
            Err(error) if error.code() != Some("NOAUTH") => Err(error),
            _ => Ok(()),
        };
        let process = &mut self.process;
        wait_until("Redis's first reply", STARTUP, || match ping() {
            Err(error) if process.is_alive() => Err(error),
            reply => Ok(reply),
        })?
        .map_err(|error| Error::Redis { command: "PING".into(), answer: format!("{error}; it has ended") })
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

    /// Freezes it for this time.
    ///
    /// # Errors
    /// If it has ended.
    pub fn stall(&self, time: Duration) -> Result<(), Error> {
        self.process.freeze()?;
        std::thread::sleep(time);
        self.process.thaw()
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
            // Missing if nothing was ever saved.
            let _ = std::fs::remove_file(self.directory.path().join("dump.rdb"));
        }
        self.process = spawn(self.port.number(), self.directory.path(), &self.arguments, self.clock.as_ref())?;
        self.await_up()
    }

    /// A connection to it.
    ///
    /// # Errors
    /// If there is none.
    pub fn connection(&self) -> Result<Connection, Error> {
        connect(self.address())
            .map_err(|error| Error::Redis { command: "a connection".into(), answer: error.to_string() })
    }

    /// Runs a command, for instance `["FLUSHALL"]`, and discards the reply.
    ///
    /// # Errors
    /// If there is no connection, or the reply is an error.
    pub fn command(&self, arguments: &[impl AsRef<[u8]>]) -> Result<(), Error> {
        self.query::<Value>(arguments).map(drop)
    }

    /// Runs a command and returns its reply.
    ///
    /// # Errors
    /// If there is no connection, or the reply is an error or of another type.
    pub fn query<T: FromRedisValue>(&self, arguments: &[impl AsRef<[u8]>]) -> Result<T, Error> {
        query(self.address(), arguments)
    }

    /// All keys, in order.
    ///
    /// # Errors
    /// If there is no reply.
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        let mut keys: Vec<String> = self.query(&["KEYS", "*"])?;
        keys.sort();
        Ok(keys)
    }

    /// One field of `INFO`, for instance `total_commands_processed`.
    ///
    /// # Errors
    /// If there is no reply, or no such field.
    pub fn info(&self, field: &str) -> Result<String, Error> {
        let info: String = self.query(&["INFO", "everything"])?;
        let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::to_owned);
        value.ok_or_else(|| Error::Redis { command: "INFO".into(), answer: format!("no field {field}") })
    }

    /// Makes it a replica of another.
    ///
    /// # Errors
    /// If there is no reply.
    pub fn follow(&self, master: SocketAddr) -> Result<(), Error> {
        self.command(&["REPLICAOF", &master.ip().to_string(), &master.port().to_string()])
    }

    /// Steps its clock by this number of seconds, forward or back, at once.
    ///
    /// # Errors
    /// If the clock's file cannot be written.
    ///
    /// # Panics
    /// If it was started without a clock of its own.
    pub fn step_clock(&mut self, seconds: i64) -> Result<(), Error> {
        let clock = self.clock.as_mut().expect("the server was started with a clock of its own");
        clock.step(seconds).map_err(Error::io("the clock of Redis"))
    }

    /// Memory and processor time.
    ///
    /// # Errors
    /// If it has ended.
    pub fn usage(&self) -> Result<Usage, Error> {
        self.process.usage()
    }
}

fn spawn(port: u16, directory: &Path, arguments: &[String], clock: Option<&SteppedClock>) -> Result<Process, Error> {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.arg("--dir").arg(directory).args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    command.envs(clock.map(SteppedClock::environment).into_iter().flatten());
    Process::start(command)
}

/// Runs one command on a new connection.
///
/// # Errors
/// If there is no connection, no reply within 5 s, an error as the reply, or a reply of another type.
pub fn query<T: FromRedisValue>(address: SocketAddr, arguments: &[impl AsRef<[u8]>]) -> Result<T, Error> {
    let mut command = Cmd::new();
    for argument in arguments {
        command.arg(argument.as_ref());
    }
    connect(address).and_then(|mut connection| command.query(&mut connection)).map_err(|source| {
        let words: Vec<_> = arguments.iter().map(|argument| String::from_utf8_lossy(argument.as_ref())).collect();
        Error::Redis { command: words.join(" "), answer: source.to_string() }
    })
}

fn connect(address: SocketAddr) -> RedisResult<Connection> {
    let connection = Client::open(format!("redis://{address}/"))?.get_connection_with_timeout(REPLY)?;
    connection.set_read_timeout(Some(REPLY))?;
    Ok(connection)
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

    #[test]
    fn its_clock_is_stepped_while_it_runs() {
        let mut server = RedisServer::start_with_clock().unwrap();
        let ahead = |server: &RedisServer| {
            let (seconds, _): (i64, i64) = server.query(&["TIME"]).unwrap();
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            seconds - i64::try_from(now.as_secs()).unwrap()
        };
        assert!((-1..=1).contains(&ahead(&server)));
        server.command(&["SET", "a", "1", "EX", "600"]).unwrap();
        server.step_clock(-3_600).unwrap();
        assert!((-3_601..=-3_599).contains(&ahead(&server)));
        server.step_clock(7_200).unwrap();
        assert!((3_599..=3_601).contains(&ahead(&server)));
        assert_eq!(server.keys().unwrap(), [""; 0], "what expires does so by this clock");
    }
}
