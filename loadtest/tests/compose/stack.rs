//! The compose project under test.

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    process::Command,
    time::Duration,
};

use anyhow::{Context, ensure};
use headcount_testkit::wait_until;
use tempfile::TempDir;

use crate::{
    command::{clean_clone, finish, output},
    node::Node,
};

/// Replicas that `docker-compose.yml` starts.
pub(crate) const REPLICAS: usize = 3;
/// The subnet between load balancer and nodes, another than the file's own, which may be in use.
const SUBNET: &str = "10.143.81.0/24";
/// From `up` to health: images start in seconds, and the machine may be busy.
const START: Duration = Duration::from_secs(90);

/// The ports under which the project is published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) service: u16,
    pub(crate) tls: u16,
    pub(crate) forum: u16,
    pub(crate) blog: u16,
    pub(crate) prometheus: u16,
}

/// A running project; removed with its volumes and networks when it is dropped.
pub(crate) struct Stack {
    folder: TempDir,
    project: String,
    compose: &'static [&'static str],
    pub(crate) ports: Ports,
}

impl Stack {
    /// Clones, builds and starts the project, and waits until all of it is healthy.
    pub(crate) fn up() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let commit = clean_clone(folder.path())?;
        let [service, tls, forum, blog, prometheus] = free_ports()?;
        let stack = Self {
            folder,
            project: format!("headcount-test-{}", std::process::id()),
            compose: compose_program()?,
            ports: Ports { service, tls, forum, blog, prometheus },
        };
        println!("{} of {commit}, with `{}`", stack.project, stack.compose.join(" "));
        stack.compose(&["build", "--quiet", "headcount"])?;
        stack.compose(&["up", "-d"])?;
        stack.healthy(&["balancer", "redis", "forum", "blog", "headcount"])?;
        ensure!(stack.nodes()?.len() == REPLICAS, "the file is to start {REPLICAS} nodes");
        Ok(stack)
    }

    /// Runs `docker compose ARGUMENTS` on the project.
    pub(crate) fn compose(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(self.compose[0]);
        command.args(&self.compose[1..]).args(arguments).current_dir(self.folder.path());
        command.env("COMPOSE_PROJECT_NAME", &self.project).env("HEADCOUNT_VERSION", "test");
        command.env("HEADCOUNT_SUBNET", SUBNET);
        for (name, port) in [
            ("HEADCOUNT_PORT", self.ports.service),
            ("HEADCOUNT_TLS_PORT", self.ports.tls),
            ("FORUM_PORT", self.ports.forum),
            ("BLOG_PORT", self.ports.blog),
            ("PROMETHEUS_PORT", self.ports.prometheus),
        ] {
            command.env(name, port.to_string());
        }
        finish(&mut command)
    }

    /// The text of one of the clone's files.
    pub(crate) fn file(&self, path: &str) -> anyhow::Result<String> {
        std::fs::read_to_string(self.folder.path().join(path)).with_context(|| format!("cannot read {path}"))
    }

    /// Sets the number of nodes, and waits until all are healthy.
    pub(crate) fn scale(&self, nodes: usize) -> anyhow::Result<()> {
        self.compose(&["up", "-d", "--no-recreate", "--scale", &format!("headcount={nodes}"), "headcount"])?;
        self.healthy(&["headcount"])?;
        ensure!(self.nodes()?.len() == nodes, "{nodes} nodes were asked for, {} run", self.nodes()?.len());
        Ok(())
    }

    /// The ids of a service's containers that run.
    pub(crate) fn containers(&self, service: &str) -> anyhow::Result<Vec<String>> {
        let project = format!("label=com.docker.compose.project={}", self.project);
        let service = format!("label=com.docker.compose.service={service}");
        let ids = output("docker", &["ps", "--quiet", "--no-trunc", "--filter", &project, "--filter", &service])?;
        Ok(ids.lines().map(str::to_owned).collect())
    }

    /// The id of a service's only container.
    pub(crate) fn container(&self, service: &str) -> anyhow::Result<String> {
        self.containers(service)?.into_iter().next().with_context(|| format!("{service} does not run"))
    }

    /// The nodes that run.
    pub(crate) fn nodes(&self) -> anyhow::Result<Vec<Node>> {
        self.containers("headcount")?
            .into_iter()
            .map(|id| {
                let address =
                    format!("{{{{(index .NetworkSettings.Networks \"{}\").IPAddress}}}}", self.network("nodes"));
                let address = inspect(&id, &address)?.parse().with_context(|| format!("{id} has no address"))?;
                Ok(Node { id, address })
            })
            .collect()
    }

    /// Docker's name of one of the file's networks.
    pub(crate) fn network(&self, name: &str) -> String {
        format!("{}_{name}", self.project)
    }

    /// An address of this machine under which the published ports lead to the containers without Docker's userland
    /// proxy in between, as they do for a client from outside.
    pub(crate) fn outside(&self) -> anyhow::Result<IpAddr> {
        let network = self.network("edge");
        let gateway = output("docker", &["network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", &network])?;
        gateway.parse().with_context(|| format!("{network} has no gateway"))
    }

    /// The plain port's address, as [`Self::outside`] says.
    pub(crate) fn service(&self) -> anyhow::Result<SocketAddr> {
        Ok(SocketAddr::new(self.outside()?, self.ports.service))
    }

    /// Waits until every container of these services is healthy.
    pub(crate) fn healthy(&self, services: &[&str]) -> anyhow::Result<()> {
        for service in services {
            wait_until(&format!("{service} healthy"), START, || {
                let containers = self.containers(service)?;
                ensure!(!containers.is_empty(), "{service} does not run");
                for id in containers {
                    let health = inspect(&id, "{{.State.Health.Status}}")?;
                    ensure!(health == "healthy", "{service} is {health}");
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Waits until the stack is as it was when it came up, without viewers: each proof begins there.
    pub(crate) fn at_rest(&self) -> anyhow::Result<()> {
        if self.nodes()?.len() != REPLICAS {
            self.scale(REPLICAS)?;
        }
        wait_until("a stack at rest", START, || {
            for node in self.nodes()? {
                node.is_ready()?;
                let viewers = node.viewers()?;
                ensure!(viewers == 0, "{viewers} viewers are left on {}", node.address);
            }
            Ok::<_, anyhow::Error>(())
        })?;
        Ok(())
    }

    /// Prints the containers and the ends of their logs, to find out what failed.
    pub(crate) fn explain(&self) {
        for arguments in [&["ps"][..], &["logs", "--no-color", "--tail", "15"]] {
            match self.compose(arguments) {
                Ok(text) => eprintln!("{text}"),
                Err(error) => eprintln!("{error:#}"),
            }
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::env::var_os("HEADCOUNT_COMPOSE_KEEP").is_some() {
            println!("{} is left running: http://localhost:{}/", self.project, self.ports.service);
            return;
        }
        if let Err(error) = self.compose(&["--profile", "observe", "down", "--volumes", "--timeout", "2"]) {
            eprintln!("the stack could not be removed: {error:#}");
        }
    }
}

/// The output of `docker inspect` for a container.
pub(crate) fn inspect(id: &str, format: &str) -> anyhow::Result<String> {
    output("docker", &["inspect", "--format", format, id])
}

/// `docker compose`, or where there is only the older program, that.
fn compose_program() -> anyhow::Result<&'static [&'static str]> {
    for program in [&["docker", "compose"][..], &["docker-compose"]] {
        if Command::new(program[0]).args(&program[1..]).arg("version").output().is_ok_and(|said| said.status.success())
        {
            return Ok(program);
        }
    }
    anyhow::bail!("neither `docker compose` nor docker-compose is here")
}

/// Ports that nobody listens on, from a range that Linux gives to nobody by itself: between here and `up` lies a build
/// of many minutes, and a port of the usual range may be somebody's outgoing connection by then.
fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let range = 20_000..32_768;
    let start = range.start + u16::try_from(std::process::id() % 10_000).expect("below 10,000");
    let mut free = (start..range.end).filter(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok());
    let mut ports = [0; N];
    for port in &mut ports {
        *port = free.next().context("no port is free")?;
    }
    Ok(ports)
}
