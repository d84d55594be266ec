//! [`Sentinels`]: a master, a replica and three sentinels, and a failover that loses the last writes.

use std::{
    collections::HashMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    Error, Process, Proxy, RedisServer,
    ports::{self, Reserved},
    redis_server::query,
    wait_until,
};

/// The service's name with the sentinels.
const SERVICE: &str = "headcount";

/// After this silence a sentinel considers a master down.
const DOWN_AFTER: Duration = Duration::from_secs(1);

/// How long replicas and sentinels may take to find each other, and a failover may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Redis under Sentinel.
#[derive(Debug)]
pub struct Sentinels {
    master: RedisServer,
    replica: RedisServer,
    /// Between the replica and the master.
    replication: Proxy,
    sentinels: Vec<(Process, SocketAddr)>,
    _ports: Vec<Reserved>,
    _directory: TempDir,
}

impl Sentinels {
    /// Starts all five, and waits until the sentinels know of each other and of the replica.
    ///
    /// # Errors
    /// If one of them does not come up.
    pub fn start() -> Result<Self, Error> {
        let master = RedisServer::start()?;
        let replication = Proxy::raw(master.address()).map_err(Error::io("a proxy for the replica"))?;
        let replica = RedisServer::start_with(&["--repl-ping-replica-period", "1"])?;
        // Sentinel asks the master for its replicas, and the master would otherwise name the proxy's port.
        let port = replica.address().port().to_string();
        for setting in [["replica-announce-ip", "127.0.0.1"], ["replica-announce-port", &port]] {
            replica.command(&[&["CONFIG", "SET"], &setting[..]].concat())?;
        }
        replica.follow(replication.address())?;
        wait_until("the replica's link", PATIENCE, || match replica.info("master_link_status")?.as_str() {
            "up" => Ok(()),
            status => Err(Error::Redis { command: "INFO".into(), answer: status.into() }),
        })?;
        let directory = tempfile::tempdir().map_err(Error::io("a directory for sentinels"))?;
        let (mut sentinels, mut ports) = (Vec::new(), Vec::new());
        for index in 0..3 {
            let reserved = ports::reserve().map_err(Error::io("a port for a sentinel"))?;
            let port = reserved.number();
            let path = directory.path().join(format!("sentinel-{index}.conf"));
            let settings = format!(
                "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {SERVICE} 127.0.0.1 {} 2\n\
                 sentinel down-after-milliseconds {SERVICE} {}\nsentinel failover-timeout {SERVICE} 10000\n",
                directory.path().display(),
                master.address().port(),
                DOWN_AFTER.as_millis(),
            );
            fs::write(&path, settings).map_err(Error::io("a sentinel's settings"))?;
            let mut command = Command::new("redis-server");
            command.arg(&path).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null());
            sentinels.push((Process::start(command)?, SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
            ports.push(reserved);
        }
        let all = Self { master, replica, replication, sentinels, _ports: ports, _directory: directory };
        for (_, sentinel) in &all.sentinels {
            wait_until("the sentinels' agreement", PATIENCE, || all.knows_all(*sentinel))?;
        }
        Ok(all)
    }

    fn knows_all(&self, sentinel: SocketAddr) -> Result<(), String> {
        let list = |what| -> Result<Vec<HashMap<String, String>>, String> {
            query(sentinel, &["SENTINEL", what, SERVICE]).map_err(|error| error.to_string())
        };
        let others = list("SENTINELS")?.len();
        let healthy = list("REPLICAS")?.iter().any(|replica| replica["flags"] == "slave");
        if others == 2 && healthy { Ok(()) } else { Err(format!("{others} others, replica healthy: {healthy}")) }
    }

    /// The address for a node's `--redis`.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.sentinels.iter().map(|(_, address)| address.to_string()).collect();
        format!("redis+sentinel://{}/{SERVICE}", hosts.join(","))
    }

    /// The server that was the master at first.
    pub fn master(&self) -> &RedisServer {
        &self.master
    }

    /// The server that was the replica at first.
    pub fn replica(&self) -> &RedisServer {
        &self.replica
    }

    /// The server that the sentinels name as the master.
    ///
    /// # Errors
    /// If there is no reply.
    pub fn current_master(&self) -> Result<SocketAddr, Error> {
        let (host, port): (String, u16) =
            query(self.sentinels[0].1, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE])?;
        format!("{host}:{port}")
            .parse()
            .map_err(|_| Error::Redis { command: "SENTINEL GET-MASTER-ADDR-BY-NAME".into(), answer: host })
    }

    /// Cuts the replica off from all further writes.
    pub fn stop_replication(&self) {
        self.replication.hold_both();
    }

    /// Kills the master; returns when the sentinels have made the replica the master.
    ///
    /// # Errors
    /// If they do not.
    pub fn fail_over(&mut self) -> Result<(), Error> {
        self.master.kill();
        wait_until("the failover", PATIENCE, || match self.current_master() {
            Ok(master) if master == self.replica.address() => {
                let role = self.replica.info("role").map_err(|error| error.to_string())?;
                if role == "master" { Ok(()) } else { Err(role) }
            }
            Ok(master) => Err(master.to_string()),
            Err(error) => Err(error.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failover_loses_the_last_writes() {
        let mut all = Sentinels::start().unwrap();
        all.master().command(&["SET", "kept", "1"]).unwrap();
        wait_until("replication", PATIENCE, || match all.replica().keys() {
            Ok(keys) if keys == ["kept"] => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .unwrap();
        all.stop_replication();
        all.master().command(&["SET", "lost", "1"]).unwrap();
        all.fail_over().unwrap();
        assert_eq!(all.replica().keys().unwrap(), ["kept"]);
        all.replica().command(&["SET", "new", "1"]).unwrap();
    }
}
