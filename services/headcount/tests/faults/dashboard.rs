//! Grafana's dashboard and the alerts, against a real Prometheus that has scraped real nodes.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::ensure;
use headcount_testkit::{COUNTER, NodeOptions, NodeWithViewers, Process, RedisServer, http, ports, wait_until};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::fleet::{PATIENCE, start};

/// Prometheus has scraped several times, so that rates exist.
const SCRAPED: Duration = Duration::from_secs(60);

fn deploy() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy"))
}

/// Also runs the alerts' own tests. The two queries about HAProxy are left to the container test, which has one.
pub(crate) fn every_query_of_the_dashboard_has_data() -> anyhow::Result<()> {
    let mut promtool = Command::new("promtool");
    let said = promtool.args(["test", "rules", "alerts_test.yml"]).current_dir(deploy().join("prometheus")).output()?;
    ensure!(
        said.status.success(),
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );

    let redis = RedisServer::start()?;
    let mut nodes = [2, 3].map(|viewers| NodeWithViewers::of(start(NodeOptions::redis(redis.url())), viewers).unwrap());
    let folder = tempfile::tempdir()?;
    let targets: Vec<_> = nodes.iter().map(|node| node.node.admin().to_string()).collect();
    let rules = deploy().join("prometheus/alerts.yml");
    // A job of any name.
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [{}]\n\
         scrape_configs: [{{ job_name: any-name, static_configs: [{{ targets: {targets:?} }}] }}]\n",
        rules.display()
    );
    std::fs::write(folder.path().join("prometheus.yml"), config)?;
    let port = ports::reserve()?;
    let listen = SocketAddr::from(([127, 0, 0, 1], port.number()));
    let mut prometheus = Command::new("prometheus");
    prometheus.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    prometheus.arg(format!("--web.listen-address={listen}")).arg("--config.file=prometheus.yml");
    let _prometheus = Process::start(prometheus)?;

    let queries = queries()?;
    ensure!(queries.len() > 30, "a dashboard of {} queries", queries.len());
    let (balancers, nodes_own): (Vec<_>, Vec<_>) = queries.iter().partition(|query| query.contains("haproxy_"));
    ensure!(balancers.len() == 2, "the container test evaluates two queries: {balancers:?}");
    wait_until("data for every query", SCRAPED, || {
        // Changes, a refusal and an early end: some series begin with their event.
        nodes[0].join(1)?;
        nodes[0].leave(1)?;
        http::get(nodes[1].node.address(), "/no.such.thing/at.all")?;
        std::thread::sleep(Duration::from_secs(1));
        let missing =
            nodes_own.iter().filter(|query| !has_data(listen, query).is_ok_and(|has| has)).collect::<Vec<_>>();
        ensure!(missing.is_empty(), "no data for {missing:#?}");
        Ok::<_, anyhow::Error>(())
    })?;
    println!("{} queries of the dashboard have data", nodes_own.len());

    // Two healthy nodes ring nobody.
    let rules = ask(listen, "/api/v1/rules")?;
    let rules: Vec<&Value> =
        rules["groups"].as_array().into_iter().flatten().flat_map(|it| it["rules"].as_array()).flatten().collect();
    ensure!(rules.len() > 15, "{} rules", rules.len());
    for rule in rules {
        ensure!(rule["health"] == "ok", "{} is {}: {}", rule["name"], rule["health"], rule["lastError"]);
        ensure!(rule["state"] != "firing", "{} fires: {rule}", rule["name"]);
    }
    // The third query's number is the nodes'.
    let known = ask(listen, &query_path("count(headcount_presence_nodes)"))?;
    ensure!(known["result"][0]["value"][1] == "2", "{known}");
    for node in &nodes {
        ensure!(node.node.reading(COUNTER)?.count == 5, "{:?}", node.node.reading(COUNTER)?);
        node.node.ready(PATIENCE)?;
    }
    Ok(())
}

/// Every expression of the dashboard. Grafana's variable stands for a time that four scrapes fit into.
fn queries() -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(deploy().join("grafana/dashboards/headcount.json"))?;
    let dashboard: Value = serde_json::from_str(&text)?;
    let targets = dashboard["panels"].as_array().into_iter().flatten().filter_map(|panel| panel["targets"].as_array());
    let expressions = targets.flatten().filter_map(|target| target["expr"].as_str());
    Ok(expressions.map(|expression| expression.replace("$__rate_interval", "1m")).collect())
}

/// Whether a query has a number.
fn has_data(prometheus: SocketAddr, query: &str) -> anyhow::Result<bool> {
    let data = ask(prometheus, &query_path(query))?;
    let results = data["result"].as_array().into_iter().flatten();
    Ok(results.filter_map(|it| it["value"][1].as_str()).any(|value| value.parse::<f64>().is_ok_and(f64::is_finite)))
}

fn query_path(query: &str) -> String {
    format!("/api/v1/query?query={}", utf8_percent_encode(query, NON_ALPHANUMERIC))
}

fn ask(prometheus: SocketAddr, path: &str) -> anyhow::Result<Value> {
    let answer = http::get(prometheus, path)?;
    ensure!(answer.status == 200, "{path} answers {}: {}", answer.status, answer.text());
    let mut answer: Value = serde_json::from_slice(&answer.body)?;
    Ok(answer["data"].take())
}
