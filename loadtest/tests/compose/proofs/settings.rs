//! Settings are changed as deploy/README.md says, under viewers, by its own commands.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use headcount_testkit::http;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::CHANGE;
use crate::{
    command::output,
    crowd::Crowd,
    stack::{REPLICAS, Stack, inspect},
    timing::within,
};

/// Viewers that must not notice.
const VIEWERS: usize = 300;
/// The folder that the README's commands fill. Here it is another.
const FOLDER: &str = "/etc/headcount";
/// The file from which Compose takes what the README adds.
const OVERRIDES: &str = "docker-compose.override.yml";
/// A load balancer finds new nodes within 2 s, on a busy machine somewhat later.
const FOUND: Duration = Duration::from_secs(20);
/// Time for a killed container to be started again.
const RESTARTED: Duration = Duration::from_secs(30);

pub(super) fn run(stack: &Stack) -> anyhow::Result<()> {
    let readme = stack.file("deploy/README.md")?;
    let folder = tempfile::tempdir()?;
    let settings = folder.path().join("headcount").display().to_string();
    let mount = |folder: &str| format!("- {folder}:");
    let overrides =
        between(&readme, "```yaml\n", "```", "HEADCOUNT_CONFIG")?.replace(&mount(FOLDER), &mount(&settings));
    let install: Vec<String> = commands(&readme, &["install -d /etc/headcount", "install -o 65532"])?;
    let [reload] = &commands(&readme, &["for node in $(docker compose ps -q headcount); do docker exec"])?[..] else {
        unreachable!("one is asked for")
    };
    let put = |text: &str| -> anyhow::Result<()> {
        fs::write(folder.path().join("headcount.toml"), text)?;
        for command in &install {
            stack.shell(&format!("cd {} && {}", folder.path().display(), command.replace(FOLDER, &settings)))?;
        }
        Ok(())
    };

    put("")?;
    with_overrides(stack, &overrides, || {
        within("the load balancer knows the new nodes", Instant::now(), FOUND, || is_served(stack))?;
        let crowd = Crowd::open(stack, "online", VIEWERS)?;
        crowd.exact("300 arrivals", Instant::now(), Duration::from_secs(30))?;

        put("counters = 'online'\n")?;
        let said = stack.shell(reload)?;
        let changed = said.lines().filter(|line| line.ends_with("; changed: counters")).count();
        ensure!(changed == REPLICAS, "{REPLICAS} nodes should say that `counters` has changed: {said}");
        for node in stack.nodes()? {
            ensure!(node.reading("settings").is_err(), "{} still has every counter", node.address);
        }
        put("counter = 'online'\n")?;
        ensure!(stack.shell(reload).is_err(), "a wrong setting is no success");
        crowd.exact("the number after two reloads", Instant::now(), CHANGE)?;
        let after = crowd.snapshot()?;
        ensure!(after.lost() == 0, "a reload ended streams: {after}");

        reload_the_balancer(stack, &readme)?;
        crowd.exact("the number after a reload of the load balancer", Instant::now(), CHANGE)?;
        let after = crowd.snapshot()?;
        ensure!(after.lost() == 0, "a reload of the load balancer ended streams: {after}");

        // A reload by this command does not look to the engine as if somebody had stopped the container.
        put("counters = 'online'\n")?;
        let victim = stack.nodes()?.into_iter().next().context("there are nodes")?;
        let restarts = || inspect(&victim.id, "{{.RestartCount}} {{.State.Running}}");
        ensure!(restarts()? == "0 true", "it has been restarted before");
        let begun = Instant::now();
        kill(Pid::from_raw(inspect(&victim.id, "{{.State.Pid}}")?.parse()?), Signal::SIGKILL)?;
        within("a node that was reloaded and then killed runs again", begun, RESTARTED, || {
            let now = restarts()?;
            ensure!(now == "1 true", "restarts and state: {now}");
            Ok(())
        })
    })
}

/// A new worker takes the newcomers, and the old one keeps its viewers.
fn reload_the_balancer(stack: &Stack, readme: &str) -> anyhow::Result<()> {
    let command = "docker compose exec -T balancer sh -c 'kill -USR2 1'";
    ensure!(readme.matches(command).count() == 2, "deploy/README.md reloads the load balancer in another way");
    let balancer = stack.container("balancer")?;
    let processes = || anyhow::Ok(output("docker", &["top", &balancer])?.lines().skip(1).count());
    let before = processes()?;
    stack.shell(command)?;
    within("the load balancer has another worker", Instant::now(), FOUND, || {
        let after = processes()?;
        ensure!(after == before + 1, "{before} processes became {after}");
        Ok(())
    })?;
    within("it knows the nodes", Instant::now(), FOUND, || is_served(stack))
}

/// Checks that the load balancer forwards to a node.
fn is_served(stack: &Stack) -> anyhow::Result<()> {
    let answer = http::get(stack.service()?, "/online.json")?;
    ensure!(answer.status == 200, "the service answers {}", answer.status);
    Ok(())
}

/// Runs a part of the proof on other nodes, and replaces them again.
fn with_overrides(stack: &Stack, overrides: &str, part: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let recreate = || -> anyhow::Result<()> {
        stack.compose(&["up", "-d", "headcount"])?;
        stack.healthy(&["headcount"])
    };
    stack.write(OVERRIDES, overrides)?;
    let outcome = recreate().and_then(|()| part());
    stack.remove(OVERRIDES)?;
    recreate()?;
    outcome
}

/// The README's commands that begin so, each once.
fn commands(readme: &str, beginnings: &[&str]) -> anyhow::Result<Vec<String>> {
    let command = |beginning: &&str| {
        let found =
            readme.lines().find_map(|line| line.strip_prefix("    ").filter(|line| line.starts_with(*beginning)));
        found.map(str::to_owned).with_context(|| format!("deploy/README.md has no command `{beginning}…`"))
    };
    beginnings.iter().map(command).collect()
}

/// The README's first text between two marks that contains a word.
fn between(readme: &str, begin: &str, end: &str, word: &str) -> anyhow::Result<String> {
    let blocks = readme.split(begin).skip(1).filter_map(|rest| rest.split(end).next());
    let block = blocks.into_iter().find(|block| block.contains(word));
    block.map(str::to_owned).with_context(|| format!("deploy/README.md has no block with {word}"))
}
