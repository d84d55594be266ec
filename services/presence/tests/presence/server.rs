//! A real redis-server of the test's own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A redis-server on a free port, without persistence. Ends with the value.
pub(crate) struct Server {
    process: Child,
    port: u16,
    directory: TempDir,
    options: Vec<String>,
}

impl Server {
    /// Starts a server and waits until it answers.
    pub(crate) fn start() -> Server {
        Server::start_with(&[])
    }

    /// Starts a server with more options.
    pub(crate) fn start_with(options: &[&str]) -> Server {
        // Another process may take the port between our look and the server's start.
        (0..5).find_map(|_| Server::start_on(free_port(), options)).expect("redis-server must be installed, and start")
    }

    fn start_on(port: u16, options: &[&str]) -> Option<Server> {
        let directory = tempfile::tempdir().unwrap();
        let options: Vec<_> = options.iter().map(ToString::to_string).collect();
        let process = spawn(port, &directory, &options);
        let server = Server { process, port, directory, options };
        server.wait_until_up().then_some(server)
    }

    /// The server's Unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    /// The server's address.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// The server's port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Kills the server. All that it knew is lost.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts the server again, empty, on its old port.
    pub(crate) fn restart(&mut self) {
        self.process = spawn(self.port, &self.directory, &self.options);
        assert!(self.wait_until_up(), "redis-server does not start again on port {}", self.port);
    }

    /// A connection of the test's own.
    pub(crate) fn connection(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    fn wait_until_up(&self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            let client = redis::Client::open(self.url()).unwrap();
            let answer = client.get_connection().and_then(|mut connection| {
                let info: String = redis::cmd("INFO").arg("server").query(&mut connection)?;
                Ok(info)
            });
            match answer {
                Ok(info) => return info.contains(&format!("process_id:{}", self.process.id())),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _already_dead = self.process.kill();
        let _already_waited_for = self.process.wait();
    }
}

fn spawn(port: u16, directory: &TempDir, options: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .arg("--dir")
        .arg(directory.path())
        .arg("--unixsocket")
        .arg(directory.path().join("redis.sock"))
        .args(options)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server must be installed")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
