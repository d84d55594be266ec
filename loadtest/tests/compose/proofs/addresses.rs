//! The client address that a node sees. Nodes expose no address, but they count distinct visitors: the same browser from
//! one address is one visitor, from two addresses it is two.

use std::{thread, time::Duration};

use anyhow::ensure;
use headcount_testkit::{Process, wait_until};

use crate::{
    namespace::{ADDRESSES, GATEWAY, Namespace},
    node::Reading,
    stack::Stack,
};

const COUNTER: &str = "addresses";
/// A program starts and shakes hands.
const ARRIVAL: Duration = Duration::from_secs(10);
/// Nothing is to happen in this time, where something would in a tenth of it.
const NOTHING_HAPPENS: Duration = Duration::from_secs(2);

pub(super) fn run(stack: &Stack) -> anyhow::Result<()> {
    let namespace = Namespace::new()?;
    let plain = format!("http://{GATEWAY}:{}/{COUNTER}.png", stack.ports.service);
    let secure = format!("https://{GATEWAY}:{}/{COUNTER}.png", stack.ports.tls);
    let mut viewers: Vec<Process> = Vec::new();
    let mut people = 0;
    let mut watch = |from: usize, url: &str, claim: &[&str], new_people: u64| {
        let source = ADDRESSES[from].to_string();
        let mut arguments = vec!["--silent", "--insecure", "--output", "/dev/null", "--interface", &source];
        for header in claim {
            arguments.extend(["--header", header]);
        }
        arguments.push(url);
        viewers.push(namespace.start("curl", &arguments)?);
        people += new_people;
        everywhere(stack, viewers.len() as u64, people)
    };

    watch(0, &plain, &[], 1)?;
    watch(1, &plain, &[], 1)?;
    println!("  two addresses through 8080 are two visitors");
    watch(0, &secure, &[], 0)?;
    watch(1, &secure, &[], 0)?;
    watch(1, &secure, &["User-Agent: another browser"], 1)?;
    println!("  the same two through 8443 are the same visitors; another browser there is a third");
    for url in [&plain, &secure] {
        watch(0, url, &["X-Forwarded-For: 198.51.100.7"], 0)?;
        watch(0, url, &["Forwarded: for=198.51.100.8", "X-Real-IP: 198.51.100.9"], 0)?;
    }
    println!("  forged X-Forwarded-For, Forwarded and X-Real-IP make nobody new");

    let before = (viewers.len() as u64, people);
    for header in ["PROXY TCP4 198.51.100.7 203.0.113.1 4711 8080\\r\\n", PROXY_V2] {
        let answer = namespace.output("bash", &["-c", &forged(stack, header)])?;
        ensure!(!answer.starts_with("HTTP/1.1 200"), "a forged PROXY header is taken for good: {answer}");
    }
    thread::sleep(NOTHING_HAPPENS);
    everywhere(stack, before.0, before.1)?;
    println!("  a forged PROXY header, version 1 or 2, is a bad request and nobody's viewer");
    Ok(())
}

/// Version 2 of the same claim, as printf writes it.
const PROXY_V2: &str =
    "\\r\\n\\r\\n\\x00\\r\\nQUIT\\n\\x21\\x11\\x00\\x0c\\xc6\\x33\\x64\\x07\\xcb\\x00\\x71\\x01\\x12\\x67\\x1f\\x90";

/// A shell's line that asks for a stream behind a PROXY header of the client's own, and prints the first line answered.
fn forged(stack: &Stack, header: &str) -> String {
    let request = format!("GET /{COUNTER}.png HTTP/1.1\\r\\nHost: forged\\r\\n\\r\\n");
    let port = stack.ports.service;
    format!("exec 3<>/dev/tcp/{GATEWAY}/{port}; printf '{header}{request}' >&3; read -r -t 5 line <&3; echo \"$line\"")
}

/// Waits until every node counts this many streams and visitors.
fn everywhere(stack: &Stack, count: u64, visitors: u64) -> anyhow::Result<()> {
    wait_until(&format!("{count} streams of {visitors} visitors"), ARRIVAL, || {
        for node in stack.nodes()? {
            let reading: Reading = node.reading(COUNTER)?;
            ensure!((reading.count, reading.visitors) == (count, visitors), "{} says {reading:?}", node.address);
        }
        Ok(())
    })?;
    Ok(())
}
