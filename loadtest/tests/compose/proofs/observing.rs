//! Prometheus as the profile `observe` starts it. (Grafana's dashboard is read as a file: what it asks Prometheus for
//! must exist there.)

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use headcount_testkit::{http, wait_until};
use serde_json::Value;

use super::NODE_LOST;
use crate::{
    command::output,
    crowd::Crowd,
    stack::{REPLICAS, Stack},
};

/// Two scrapes and an evaluation.
const SCRAPED: Duration = Duration::from_secs(60);

pub(super) fn run(stack: &Stack) -> anyhow::Result<()> {
    stack.compose(&["--profile", "observe", "up", "-d", "prometheus"])?;
    let container = stack.container("prometheus")?;
    let in_container = |arguments: &[&str]| {
        let mut all = vec!["exec", container.as_str(), "promtool"];
        all.extend_from_slice(arguments);
        output("docker", &all)
    };
    println!("  {}", in_container(&["check", "config", "/etc/headcount/prometheus.yml"])?.replace('\n', "\n  "));
    println!("  {}", in_container(&["test", "rules", "/etc/headcount/alerts_test.yml"])?.replace('\n', "\n  "));

    // Some metrics exist only after their event: so viewers watch, requests are refused, and Redis goes away and comes
    // back.
    let crowd = Crowd::open(stack, "observing", 10)?;
    for node in stack.nodes()? {
        node.ask_for_nonsense()?;
    }
    stack.compose(&["restart", "--timeout", "5", "redis"])?;
    crowd.exact("restart of Redis", Instant::now(), NODE_LOST)?;
    let prometheus = SocketAddr::from((Ipv4Addr::LOCALHOST, stack.ports.prometheus));
    let up = wait_until("every target scraped", SCRAPED, || {
        let targets = query(prometheus, "/api/v1/targets?state=active")?;
        let up = |job: &str| {
            let active = targets["activeTargets"].as_array().into_iter().flatten();
            active.filter(|target| target["labels"]["job"] == job && target["health"] == "up").count()
        };
        ensure!(up("headcount") == REPLICAS, "{} of {REPLICAS} nodes are up", up("headcount"));
        ensure!(up("balancer") == 1, "the load balancer is not up");
        Ok::<_, anyhow::Error>(up("headcount") + up("balancer"))
    })?;
    println!("  {up} targets are scraped: {REPLICAS} nodes and the load balancer");

    let rules = wait_until("every rule evaluated", SCRAPED, || {
        let groups = query(prometheus, "/api/v1/rules")?;
        let rules: Vec<Value> = groups["groups"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|group| group["rules"].as_array().cloned())
            .flatten()
            .collect();
        ensure!(!rules.is_empty(), "there are no rules");
        for rule in &rules {
            ensure!(rule["health"] == "ok", "{} is {}", rule["name"], rule["health"]);
        }
        Ok(rules)
    })?;
    println!("  {} rules are evaluated without error", rules.len());

    let mut asked = expressions(stack)?;
    asked.extend(rules.iter().filter_map(|rule| rule["query"].as_str().map(str::to_owned)));
    let names: BTreeSet<&str> = asked.iter().flat_map(|expression| metrics(expression)).collect();
    ensure!(names.len() > 10, "a dashboard of {} metrics", names.len());
    wait_until("every metric scraped", SCRAPED, || {
        let values = query(prometheus, "/api/v1/label/__name__/values")?;
        let known: BTreeSet<&str> = values.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let missing: Vec<_> = names.difference(&known).collect();
        ensure!(missing.is_empty(), "the dashboard or the rules name what nobody exports: {missing:?}");
        Ok(())
    })?;
    println!("  {} metrics are named by the dashboard and the rules, and all exist", names.len());

    let queries: Vec<_> =
        expressions(stack)?.iter().map(|expression| expression.replace("$__rate_interval", "2m")).collect();
    wait_until("data for every query", SCRAPED, || {
        // Rates need events between two scrapes: frames are sent when somebody comes and leaves.
        drop(Crowd::open(stack, "observing", 1)?);
        let missing: Vec<_> =
            queries.iter().filter(|expression| !has_data(prometheus, expression).is_ok_and(|has| has)).collect();
        ensure!(missing.is_empty(), "the dashboard has no data for {missing:#?}");
        Ok::<_, anyhow::Error>(())
    })?;
    println!("  {} queries of the dashboard have data", queries.len());
    Ok(())
}

/// Whether a query has a number.
fn has_data(prometheus: SocketAddr, expression: &str) -> anyhow::Result<bool> {
    let encoded: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let data = query(prometheus, &format!("/api/v1/query?query={encoded}"))?;
    let results = data["result"].as_array().into_iter().flatten();
    Ok(results.filter_map(|it| it["value"][1].as_str()).any(|value| value.parse::<f64>().is_ok_and(f64::is_finite)))
}

/// Asks Prometheus.
fn query(prometheus: SocketAddr, path: &str) -> anyhow::Result<Value> {
    let answer = http::get(prometheus, path)?;
    ensure!(answer.status == 200, "{path} answers {}: {}", answer.status, answer.text());
    let mut answer: Value = serde_json::from_slice(&answer.body)?;
    Ok(answer["data"].take())
}

/// Every expression of the dashboard.
fn expressions(stack: &Stack) -> anyhow::Result<Vec<String>> {
    let dashboard: Value = serde_json::from_str(&stack.file("deploy/grafana/dashboards/headcount.json")?)?;
    let panels = dashboard["panels"].as_array().context("a dashboard has panels")?;
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    Ok(targets.filter_map(|target| target["expr"].as_str().map(str::to_owned)).collect())
}

/// The metrics that an expression names.
fn metrics(expression: &str) -> impl Iterator<Item = &str> {
    expression
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| word.starts_with("headcount_") || word.starts_with("haproxy_") || word.starts_with("process_"))
}
