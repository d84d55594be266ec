//! [`RedisCluster`]: three masters that share the slots, and the move of a slot between two of them.

use std::{net::SocketAddr, time::Duration};

use crate::{
    Error, RedisServer,
    ports::{self, Reserved},
    wait_until,
};

/// Slots of a Redis Cluster.
const SLOTS: u16 = 16_384;
const MASTERS: u16 = 3;

/// How long the masters may take to agree.
const PATIENCE: Duration = Duration::from_secs(30);

/// A Redis Cluster of three masters, without replicas.
#[derive(Debug)]
pub struct RedisCluster {
    masters: Vec<RedisServer>,
    /// Their ids within the cluster.
    ids: Vec<String>,
    /// The ports on which they talk to each other.
    _buses: Vec<Reserved>,
}

impl RedisCluster {
    /// Starts it, and waits until every master reports it complete.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start() -> Result<Self, Error> {
        let (mut masters, mut buses) = (Vec::new(), Vec::new());
        for _ in 0..MASTERS {
            let bus = ports::reserve().map_err(Error::io("a port for the cluster's bus"))?;
            let number = bus.number().to_string();
            masters.push(RedisServer::start_with(&["--cluster-enabled", "yes", "--cluster-port", &number])?);
            buses.push(bus);
        }
        let mut ids = Vec::new();
        for (index, master) in (0..).zip(&masters) {
            let first = u32::from(SLOTS) * index / u32::from(MASTERS);
            let last = u32::from(SLOTS) * (index + 1) / u32::from(MASTERS) - 1;
            master.command(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()])?;
            ids.push(master.query(&["CLUSTER", "MYID"])?);
            let (_, bus): (String, String) = master.query(&["CONFIG", "GET", "cluster-port"])?;
            masters[0].command(&["CLUSTER", "MEET", "127.0.0.1", &master.address().port().to_string(), &bus])?;
        }
        for master in &masters {
            wait_until("the cluster", PATIENCE, || {
                let info: String = master.query(&["CLUSTER", "INFO"]).map_err(|error| error.to_string())?;
                let complete = info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3");
                if complete { Ok(()) } else { Err(info) }
            })?;
        }
        Ok(Self { masters, ids, _buses: buses })
    }

    /// The address for a node's `--redis`.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.masters.iter().map(|master| master.address().to_string()).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// The three masters.
    pub fn masters(&self) -> &[RedisServer] {
        &self.masters
    }

    /// The slot of a key.
    ///
    /// # Errors
    /// If there is no reply.
    pub fn slot_of(&self, key: &str) -> Result<u16, Error> {
        self.masters[0].query(&["CLUSTER", "KEYSLOT", key])
    }

    /// The index in [`masters`](Self::masters) of the master that has a slot.
    ///
    /// # Errors
    /// If there is no reply, or no master has the slot.
    pub fn owner_of(&self, slot: u16) -> Result<usize, Error> {
        let nodes: String = self.masters[0].query(&["CLUSTER", "NODES"])?;
        let owner = self.ids.iter().position(|id| owns(&nodes, id, slot));
        owner.ok_or_else(|| Error::Redis { command: "CLUSTER NODES".into(), answer: format!("nobody has slot {slot}") })
    }

    /// Moves a slot with its keys to another master, and waits until all three report it. Returns the number of keys moved.
    ///
    /// # Errors
    /// If a step fails.
    pub fn move_slot(&self, slot: u16, to: usize) -> Result<usize, Error> {
        let from = self.owner_of(slot)?;
        if from == to {
            return Ok(0);
        }
        let number = slot.to_string();
        let (source, target) = (&self.masters[from], &self.masters[to]);
        target.command(&["CLUSTER", "SETSLOT", &number, "IMPORTING", &self.ids[from]])?;
        source.command(&["CLUSTER", "SETSLOT", &number, "MIGRATING", &self.ids[to]])?;
        let mut moved = 0;
        loop {
            let keys: Vec<String> = source.query(&["CLUSTER", "GETKEYSINSLOT", &number, "100"])?;
            if keys.is_empty() {
                break;
            }
            let to: SocketAddr = target.address();
            let (host, port) = (to.ip().to_string(), to.port().to_string());
            let mut command = vec!["MIGRATE", &host, &port, "", "0", "5000", "KEYS"];
            command.extend(keys.iter().map(String::as_str));
            source.command(&command)?;
            moved += keys.len();
        }
        for master in [target, source] {
            master.command(&["CLUSTER", "SETSLOT", &number, "NODE", &self.ids[to]])?;
        }
        let known = || -> Result<(), String> {
            for master in &self.masters {
                let nodes: String = master.query(&["CLUSTER", "NODES"]).map_err(|error| error.to_string())?;
                if !owns(&nodes, &self.ids[to], slot) {
                    return Err(nodes);
                }
            }
            Ok(())
        };
        wait_until("the slot's new owner", PATIENCE, known)?;
        Ok(moved)
    }
}

/// Whether the reply to `CLUSTER NODES` gives a slot to the node `id`.
fn owns(nodes: &str, id: &str, slot: u16) -> bool {
    let node = nodes.lines().find(|line| line.starts_with(id)).unwrap_or_default();
    // Eight fields come before the ranges of slots.
    node.split(' ').skip(8).any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        matches!((first.parse(), last.parse()), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
    })
}
