//! The blocks of commands in the documents: each is executed by a test, or says why not. Those that need nothing but the program
//! are executed here.

use std::path::Path;
use std::process::Command;

use headcount_testkit::documents::{self, Block, Mark};

/// The tests that execute blocks: this one, two proofs of `loadtest/tests/compose` (`compose` is its proof `documents`), and
/// `.ci/package-test`.
const TESTS: [&str; 4] = ["node", "compose", "settings", "package-test"];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn blocks() -> Vec<Block> {
    documents::blocks(root()).unwrap()
}

#[test]
fn every_block_of_commands_is_tested_or_says_why_not() {
    let blocks = blocks();
    let unmarked: Vec<_> = blocks
        .iter()
        .filter(|block| match &block.mark {
            Some(Mark::Test(test)) => !TESTS.contains(&test.as_str()),
            Some(Mark::NoTest(reason)) => reason.split(' ').count() < 3,
            None => true,
        })
        .map(|block| format!("{block} ({:?})", block.mark))
        .collect();
    assert!(unmarked.is_empty(), "blocks without a mark, or with a wrong one: {unmarked:#?}");
    for test in TESTS {
        assert!(blocks.iter().any(|block| block.is_tested_by(test)), "{test} has no block");
    }
}

#[test]
fn no_document_for_operators_is_left_out() {
    let mut folders = vec![root().join("deploy")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
                assert!(documents::DOCUMENTS.contains(&name), "{name} is not in documents::DOCUMENTS");
            }
        }
    }
}

#[test]
fn the_blocks_that_need_the_program_alone_do_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    // What a reader has: a clone, with the configuration file where it is read.
    let copied = Command::new("cp").arg("-r").arg(root().join("deploy")).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    std::fs::copy(root().join("deploy/headcount.toml"), folder.path().join("headcount.toml")).unwrap();
    let binaries = Path::new(env!("CARGO_BIN_EXE_headcount")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let mut said = String::new();
    for block in blocks().iter().filter(|block| block.is_tested_by("node")) {
        let mut shell = Command::new("sh");
        shell.args(["-e", "-c", &block.commands]).current_dir(folder.path()).env("PATH", &path);
        let output = shell.output().unwrap();
        let [out, error] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        assert!(output.status.success(), "{block}: {out}{error}");
        said.push_str(&out);
    }
    assert!(said.lines().any(|line| line.starts_with("customer-17~") && line.len() == 28), "{said}");
    let image = std::fs::read_to_string(folder.path().join("deploy/kubernetes/kustomization.yaml")).unwrap();
    assert!(image.contains("newName: registry.your.example/headcount"), "{image}");
    for file in std::fs::read_dir(folder.path().join("deploy/kubernetes")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("count.example") && !text.contains("registry.example/"), "{text}");
    }
    rendered(folder.path());
}

/// Renders the files for Kubernetes, where there is a program that does.
fn rendered(folder: &Path) {
    let Ok(output) = Command::new("kubectl").args(["kustomize", "deploy/kubernetes"]).current_dir(folder).output()
    else {
        println!("NOT RUN: kubectl is not installed");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for part in ["image: registry.your.example/headcount:0.1.0", "kind: Gateway", "type: ClusterIP"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}
