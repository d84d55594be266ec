//! The compose project under test.

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    path::Path,
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
/// The documents' command that builds the image.
pub(crate) const BUILD: &str = "docker compose build headcount";
/// From `up` to health: images start in seconds, and the machine may be busy.
const START: Duration = Duration::from_secs(90);

/// The ports under which the project is published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) service: u16,
    pub(crate) tls: u16,
    pub(crate) forum: u16,
    pub(crate) blog: u16,
    pub(crate) game: u16,
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
        let [service, tls, forum, blog, game, prometheus] = free_ports()?;
        let stack = Self {
            folder,
            project: format!("headcount-test-{}", std::process::id()),
            compose: compose_program()?,
            ports: Ports { service, tls, forum, blog, game, prometheus },
        };
        println!("{} of {commit}, with `{}`", stack.project, stack.compose.join(" "));
        stack.restore_settings()?;
        stack.shell(&stack.build(&stack.version()))?;
        stack.compose(&["up", "-d"])?;
        stack.healthy(&["balancer", "redis", "forum", "blog", "tictactoe", "headcount"])?;
        ensure!(stack.nodes()?.len() == REPLICAS, "the file is to start {REPLICAS} nodes");
        Ok(stack)
    }

    /// Runs `docker compose ARGUMENTS` on the project.
    pub(crate) fn compose(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(self.compose[0]);
        command.args(&self.compose[1..]).args(arguments);
        self.finish(command)
    }

    /// Runs commands of the documents, in which the machine's Compose stands for `docker compose`, until one fails.
    pub(crate) fn shell(&self, commands: &str) -> anyhow::Result<String> {
        let mut command = Command::new("sh");
        command.args(["-e", "-c"]).arg(commands.replace("docker compose", &self.compose.join(" ")));
        self.finish(command)
    }

    fn finish(&self, mut command: Command) -> anyhow::Result<String> {
        command.current_dir(self.folder.path());
        command.env("COMPOSE_PROJECT_NAME", &self.project);
        command.env("HEADCOUNT_SUBNET", SUBNET);
        for (name, port) in [
            ("HEADCOUNT_PORT", self.ports.service),
            ("HEADCOUNT_TLS_PORT", self.ports.tls),
            ("FORUM_PORT", self.ports.forum),
            ("BLOG_PORT", self.ports.blog),
            ("GAME_PORT", self.ports.game),
            ("PROMETHEUS_PORT", self.ports.prometheus),
        ] {
            command.env(name, port.to_string());
        }
        finish(&mut command)
    }

    /// The clone.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The command that makes the image under a tag, which `.env` has: the documents', or with `HEADCOUNT_COMPOSE_IMAGE` another
    /// name for that image.
    pub(crate) fn build(&self, tag: &str) -> String {
        match std::env::var("HEADCOUNT_COMPOSE_IMAGE") {
            Ok(image) => format!("docker tag {image} headcount:{tag}"),
            Err(_) => BUILD.to_owned(),
        }
    }

    /// The tag of the image under test.
    pub(crate) fn version(&self) -> String {
        format!("test-{}", std::process::id())
    }

    /// Makes `.env` what it was at the beginning.
    pub(crate) fn restore_settings(&self) -> anyhow::Result<()> {
        self.write(".env", &format!("HEADCOUNT_VERSION={}\n", self.version()))
    }

    /// The text of one of the clone's files.
    pub(crate) fn file(&self, path: &str) -> anyhow::Result<String> {
        std::fs::read_to_string(self.folder.path().join(path)).with_context(|| format!("cannot read {path}"))
    }

    /// Writes one of the clone's files.
    pub(crate) fn write(&self, path: &str, text: &str) -> anyhow::Result<()> {
        std::fs::write(self.folder.path().join(path), text).with_context(|| format!("cannot write {path}"))
    }

    /// Removes one of the clone's files.
    pub(crate) fn remove(&self, path: &str) -> anyhow::Result<()> {
        std::fs::remove_file(self.folder.path().join(path)).with_context(|| format!("cannot remove {path}"))
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
        if let Err(error) = output("docker", &["image", "rm", &format!("headcount:{}", self.version())]) {
            eprintln!("the image could not be removed: {error:#}");
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
