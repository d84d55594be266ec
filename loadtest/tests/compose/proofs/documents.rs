//! The commands of README.md and deploy/README.md, one block after the other, as a reader would type them.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use headcount_testkit::{documents, http, wait_until};

use crate::{
    command::output,
    stack::{BUILD, REPLICAS, Stack, inspect},
    timing::within,
};

/// The folder that the commands fill. Here it is another.
const FOLDER: &str = "/etc/headcount-tls";
/// The image's tag that the recipe for a new version names.
const NEW_VERSION: &str = "0.2.0";
/// A load balancer finds new nodes within 2 s, on a busy machine somewhat later.
const FOUND: Duration = Duration::from_secs(20);
/// Nodes without viewers drain at once: they need the time of a check of the load balancer.
const DRAINED: Duration = Duration::from_secs(40);

pub(super) fn run(stack: &Stack) -> anyhow::Result<()> {
    let outcome = read(stack);
    // The other proofs go on with what they know.
    stack.restore_settings()?;
    stack.compose(&["up", "-d", "--scale", &format!("headcount={REPLICAS}")])?;
    stack.healthy(&["balancer", "redis", "forum", "blog", "tictactoe", "headcount"])?;
    outcome
}

fn read(stack: &Stack) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path().display().to_string();
    // What a certificate authority would have sent.
    stack.shell(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
         -keyout privkey.pem -out fullchain.pem 2>/dev/null",
    )?;
    let blocks: Vec<_> =
        documents::blocks(stack.folder())?.into_iter().filter(|block| block.is_tested_by("compose")).collect();
    ensure!(blocks.len() > 5, "{} blocks", blocks.len());
    for block in blocks {
        let commands = block.commands.replace(FOLDER, &folder).replace(BUILD, &stack.build("$version"));
        println!("  {block}");
        let said = stack.shell(&commands).with_context(|| block.to_string())?;
        if commands.contains("docker compose up -d") {
            within("all of it is healthy, and serves", Instant::now(), FOUND, || serves(stack))?;
        }
        if commands.contains("headcount status") {
            let nodes = stack.nodes()?.len();
            ensure!(said.contains(&format!("{nodes} nodes")), "{nodes} nodes run: {said}");
        }
        if commands.contains("HEADCOUNT_TLS_DIR=") {
            certificate_is_used(stack)?;
            is_for_real(stack)?;
        }
        if commands.contains(NEW_VERSION) {
            all_have(stack, NEW_VERSION)?;
            // And the way back: the old number, and no build.
            let back = commands.replace(NEW_VERSION, &stack.version()).replace(&stack.build("$version"), "");
            stack.shell(&back)?;
            all_have(stack, &stack.version())?;
            output("docker", &["image", "rm", &format!("headcount:{NEW_VERSION}")])?;
        }
    }
    Ok(())
}

/// Checks what `.env` says for real: no demo, and only the counters that are named.
fn is_for_real(stack: &Stack) -> anyhow::Result<()> {
    for service in ["forum", "blog", "tictactoe"] {
        let containers = stack.containers(service)?;
        ensure!(containers.is_empty(), "{service} of the demo runs: {containers:?}");
    }
    let other = http::get(stack.service()?, "/other.json")?;
    ensure!(other.status == 404, "every name is a counter: {}", other.status);
    Ok(())
}

fn serves(stack: &Stack) -> anyhow::Result<()> {
    stack.healthy(&["balancer", "redis", "headcount"])?;
    let answer = http::get(stack.service()?, "/online.json")?;
    ensure!(answer.status == 200, "the service answers {}", answer.status);
    Ok(())
}

/// Checks that browsers get the certificate that the reader has put into the folder.
fn certificate_is_used(stack: &Stack) -> anyhow::Result<()> {
    let fingerprint = "openssl x509 -noout -fingerprint -sha256";
    let own = stack.shell(&format!("{fingerprint} -in fullchain.pem"))?;
    let port = stack.ports.tls;
    wait_until("the certificate", FOUND, || {
        let served = stack
            .shell(&format!("openssl s_client -connect localhost:{port} </dev/null 2>/dev/null | {fingerprint}"))?;
        ensure!(served == own, "{served} instead of {own}");
        Ok::<_, anyhow::Error>(())
    })?;
    Ok(())
}

/// Waits until all nodes that run are of a version, as many as there were.
fn all_have(stack: &Stack, version: &str) -> anyhow::Result<()> {
    within(&format!("all nodes have the image {version}"), Instant::now(), DRAINED, || {
        let nodes = stack.containers("headcount")?;
        ensure!(nodes.len() == REPLICAS, "{} nodes run", nodes.len());
        for node in nodes {
            let image = inspect(&node, "{{.Config.Image}}")?;
            ensure!(image == format!("headcount:{version}"), "a node has {image}");
        }
        serves(stack)
    })
}
