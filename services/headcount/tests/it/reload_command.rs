//! `headcount reload`: the outcome of a reload as an exit status and one line.

use std::{
    fs,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use headcount_testkit::wait_until;
use nix::sys::signal::Signal;

use crate::{
    exchange::get,
    node::PATIENCE,
    options::{headcount, text},
    reload::ReloadedNode,
    stream::{Stream, number},
};

const SECRET: &str = "a key that nobody shall read";

fn start_command(reloaded: &ReloadedNode) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headcount"));
    command.arg("reload").env("MAINPID", reloaded.node.process().id().to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn command(reloaded: &ReloadedNode) -> Output {
    headcount(&["reload", "--pid", &reloaded.node.process().id().to_string()], &[])
}

/// Checks that the command has failed, with one line that says why.
fn assert_failed(output: &Output, why: &str) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty() && said.starts_with("headcount: ") && said.contains(why), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(said.matches("headcount: ").count(), 1, "{said}");
}

#[test]
fn a_reload_is_waited_for_and_names_the_options_that_have_changed() {
    let reloaded = ReloadedNode::start([]);
    let mut stream = Stream::open(&reloaded.node, "/online.png");
    stream.wait_for(1);
    let output = command(&reloaded);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "headcount: reloaded, 1 viewers taken over; changed: no option\n");
    // It has taken effect when the command ends.
    let settings = format!("counters = 'online'\nsmall = 3\nsign-key = '{SECRET}'\n");
    fs::write(reloaded.file("headcount.toml"), settings).unwrap();
    let output = command(&reloaded);
    assert_eq!(
        text(&output.stdout),
        "headcount: reloaded, 1 viewers taken over; changed: counters, sign-key, small\n",
        "{}",
        text(&output.stderr)
    );
    assert_eq!(get(&reloaded.node, "/blog.json").status(), 404);
    // A secret of the same length is another one.
    let settings = format!("counters = 'online'\nsmall = 3\nsign-key = '{}'\n", SECRET.replace('y', "Y"));
    fs::write(reloaded.file("headcount.toml"), settings).unwrap();
    assert!(text(&command(&reloaded).stdout).ends_with("; changed: sign-key\n"));
    reloaded.node.logs("\"changed\":\"counters, sign-key, small\"", PATIENCE).unwrap();
    reloaded.node.logs("\"changed\":\"no option\"", PATIENCE).unwrap();
    reloaded.node.logs("\"changed\":\"sign-key\"", PATIENCE).unwrap();
    assert!(!reloaded.has_logged("nobody shall read") && !reloaded.has_logged("nobodY"));
    stream.next().expect("the stream goes on");
}

#[test]
fn a_rejected_reload_fails_with_the_nodes_reason() {
    let reloaded = ReloadedNode::start([]);
    let mut stream = Stream::open(&reloaded.node, "/online.png");
    fs::write(reloaded.file("headcount.toml"), "frame-rat = 20\n").unwrap();
    assert_failed(&command(&reloaded), "did you mean frame-rate?");
    // Each time anew.
    fs::write(reloaded.file("headcount.toml"), "small = 'few'\n").unwrap();
    let output = command(&reloaded);
    assert_failed(&output, "small");
    assert!(!text(&output.stderr).contains("frame-rat"), "{}", text(&output.stderr));
    fs::write(reloaded.file("headcount.toml"), "").unwrap();
    // It says that it would start, and cannot be run.
    reloaded.install(Some("#!/bin/sh\nrm -f \"$0\"\n"));
    assert_failed(&command(&reloaded), "cannot be run");
    reloaded.install(None);
    assert!(command(&reloaded).status.success());
    while number(&stream.next().expect("the stream goes on")) != 1 {}
}

#[test]
fn a_program_that_cannot_go_on_with_the_viewers_is_no_success() {
    let reloaded = ReloadedNode::start([]);
    let mut stream = Stream::open(&reloaded.node, "/online.png");
    reloaded.install_with_another_format();
    assert_failed(&command(&reloaded), "their streams have ended");
    while stream.next().is_some() {}
    // It is a node again.
    reloaded.install(None);
    assert!(command(&reloaded).status.success());
}

#[test]
fn commands_at_once_each_wait_for_a_reload_that_begins_after_them() {
    let reloaded = ReloadedNode::start([]);
    let mut stream = Stream::open(&reloaded.node, "/online.png");
    let commands: Vec<Child> = (0..6)
        .map(|index| {
            fs::write(reloaded.file("headcount.toml"), format!("small = {index}\n")).unwrap();
            std::thread::sleep(Duration::from_millis(40));
            start_command(&reloaded)
        })
        .collect();
    for command in commands {
        let output = command.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    // The newest settings hold.
    assert!(get(&reloaded.node, "/online.json").text().contains("\"fewer_than\":5"));
    stream.next().expect("the stream goes on");
}

#[test]
fn a_node_that_stops_is_not_reloaded() {
    let mut reloaded = ReloadedNode::start(["--drain-delay", "10m", "--drain", "0s"]);
    let mut stream = Stream::open(&reloaded.node, "/online.png");
    stream.wait_for(1);
    reloaded.node.process().signal(Signal::SIGTERM).unwrap();
    reloaded.node.unready(PATIENCE).unwrap();
    assert_failed(&command(&reloaded), "the node is stopping");
    assert!(reloaded.node.stop(PATIENCE).unwrap().success());
}

#[test]
fn a_process_that_is_no_node_is_left_alone() {
    let mut other = Command::new("sleep").arg("60").spawn().unwrap();
    let output = headcount(&["reload", "--pid", &other.id().to_string()], &[]);
    assert_failed(&output, &format!("process {} is no node", other.id()));
    assert!(other.try_wait().unwrap().is_none(), "SIGHUP would have ended it");
    other.kill().unwrap();
    other.wait().unwrap();
    assert_failed(&headcount(&["reload", "--pid", "4194304"], &[]), "process 4194304 is no node");
}

/// The name that this process's node would have.
fn address_of(pid: u32) -> std::os::unix::net::SocketAddr {
    use std::os::{linux::net::SocketAddrExt, unix::fs::MetadataExt};
    let namespace = fs::metadata("/proc/self/ns/pid").unwrap().ino();
    std::os::unix::net::SocketAddr::from_abstract_name(format!("headcount-{namespace}-{pid}")).unwrap()
}

#[test]
fn nobody_answers_for_another_process() {
    let mut other = Command::new("sleep").arg("60").spawn().unwrap();
    let impostor = std::os::unix::net::UnixListener::bind_addr(&address_of(other.id())).unwrap();
    let output = headcount(&["reload", "--pid", &other.id().to_string()], &[]);
    assert_failed(&output, "another process answers in its place");
    assert!(other.try_wait().unwrap().is_none(), "SIGHUP would have ended it");
    drop(impostor);
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn a_reader_that_stays_holds_up_nobody() {
    let reloaded = ReloadedNode::start([]);
    let address = address_of(reloaded.node.process().id());
    let _silent: Vec<_> = (0..50).map(|_| std::os::unix::net::UnixStream::connect_addr(&address).unwrap()).collect();
    wait_until("an answer", PATIENCE, || match command(&reloaded) {
        output if output.status.success() => Ok(()),
        output => Err(text(&output.stderr).to_owned()),
    })
    .unwrap();
}
