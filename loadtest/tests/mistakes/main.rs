//! The checks can fail: `headcount-load faults` and `churn` catch a node with a planted mistake, and pass the same node
//! without it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::LazyLock,
};

/// A node with the mistakes built in; each is enabled by the environment.
static MISTAKEN: LazyLock<PathBuf> = LazyLock::new(|| {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "headcount", "--bin", "headcount-mistaken"]);
    build.args(["--features", "planted-mistakes"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    assert!(build.status().unwrap().success(), "{build:?}");
    // Beside the program under test; without optimisations where that is built with them, which has none of it.
    Path::new(env!("CARGO_BIN_EXE_headcount-load")).parent().unwrap().join("../debug/headcount-mistaken")
});

fn start(command: &str, mistake: Option<&str>) -> Child {
    let mut load = Command::new(env!("CARGO_BIN_EXE_headcount-load"));
    load.args(command.split_whitespace()).arg("--program").arg(&*MISTAKEN);
    match mistake {
        Some(mistake) => load.env("HEADCOUNT_PLANTED_MISTAKE", mistake),
        None => load.env_remove("HEADCOUNT_PLANTED_MISTAKE"),
    };
    load.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A stop: viewers come and go first, so that there is something to get wrong.
const FAULTS: &str = "faults --seed 1 --steps 1 --only stop --viewers 20";
const CHURN: &str = "churn --viewers 100 --for 3 --turn 100";

/// What takes longer, each with a mistake that it finds: the seed is one that comes to the part that does. After a stall
/// nodes renew their leases before anybody ends one, so a step of the clock has to show that leases end hastily.
const LONG: [(&str, &str, &str); 3] = [
    ("--only redis-clock --seed 1 --steps 1", "hasty-end", "its viewers saw"),
    ("--only redis-clock --seed 3 --steps 1", "unfollowed-clock", "dies after a step back leave the count: not after"),
    ("--only eviction --seed 1 --steps 1", "unchecked-keys", "exact after the eviction of "),
];

#[track_caller]
fn passes(command: &str) {
    has_passed(command, start(command, None).wait_with_output().unwrap());
}

#[track_caller]
fn has_passed(command: &str, output: Output) {
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command}:\n{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!told.contains("MISSED   exact") && told.contains("reached"), "{told}");
}

/// The run fails, and prints what it saw.
#[track_caller]
fn is_caught(command: &str, mistake: &str, reasons: &[&str]) {
    was_caught(command, mistake, reasons, start(command, Some(mistake)).wait_with_output().unwrap());
}

#[track_caller]
fn was_caught(command: &str, mistake: &str, reasons: &[&str], output: Output) {
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{command} with {mistake}:\n{told}");
    for reason in reasons {
        assert!(told.contains(reason), "{command} with {mistake} does not say {reason:?}:\n{told}");
    }
}

#[test]
fn faults_passes_without_a_mistake() {
    passes(FAULTS);
}

#[test]
fn churn_passes_without_a_mistake() {
    passes(CHURN);
}

#[test]
fn faults_catches_a_lost_leave() {
    is_caught(FAULTS, "lost-leave", &["MISSED   seed 1: ", "was not reached within", "Timeline of seed 1"]);
}

#[test]
fn faults_catches_a_join_that_is_applied_again_later() {
    is_caught(FAULTS, "doubled-join", &["MISSED   seed 1: ", "shown: ", "Timeline of seed 1"]);
}

/// All run at the same time: nearly all of it is waiting.
#[test]
fn faults_of_redis_catch_what_only_they_show() {
    let runs = LONG.map(|(faults, mistake, reason)| {
        let command = format!("faults {faults} --viewers 20");
        let [right, wrong] = [None, Some(mistake)].map(|mistake| start(&command, mistake));
        (command, mistake, reason, right, wrong)
    });
    for (command, mistake, reason, right, wrong) in runs {
        has_passed(&command, right.wait_with_output().unwrap());
        was_caught(&command, mistake, &["MISSED   seed ", reason], wrong.wait_with_output().unwrap());
    }
}

#[test]
fn churn_catches_a_lost_leave() {
    is_caught(CHURN, "lost-leave", &["MISSED   everybody sees the exact number in the end: "]);
}

#[test]
fn churn_catches_a_join_that_is_applied_again_later() {
    is_caught(CHURN, "doubled-join", &["MISSED   everybody sees the exact number in the end: "]);
}
