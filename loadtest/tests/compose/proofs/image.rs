//! The image contains the two programs and the two files that they read, and nothing that helps an intruder.

use anyhow::{Context, ensure};

use crate::{
    command::output,
    stack::{Stack, inspect},
};

/// The files that the image is made of.
const FILES: [&str; 4] =
    ["etc/nsswitch.conf", "etc/ssl/certs/ca-certificates.crt", "usr/local/bin/headcount", "usr/local/bin/tictactoe"];
/// What Docker puts into every container by itself.
const DOCKERS: [&str; 8] =
    [".dockerenv", "dev/", "proc/", "sys/", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf"];

pub(super) fn run(stack: &Stack) -> anyhow::Result<()> {
    let image = inspect(&stack.container("headcount")?, "{{.Image}}")?;
    let user = output("docker", &["image", "inspect", "--format", "{{.Config.User}}", &image])?;
    ensure!(!matches!(user.split(':').next(), None | Some("" | "0" | "root")), "it runs as {user:?}");
    let container = output("docker", &["create", &image])?;
    let listed = output("sh", &["-c", &format!("docker export {container} | tar -tv --numeric-owner")]);
    output("docker", &["rm", "--volumes", &container])?;

    let mut files = Vec::new();
    for line in listed?.lines() {
        let (mode, path) = entry(line).with_context(|| format!("not a line of tar: {line:?}"))?;
        ensure!(!mode.contains(['s', 'S']), "{path} changes the user or group of whoever runs it: {line}");
        let is_dockers = DOCKERS.iter().any(|docker| path.starts_with(docker));
        if !mode.starts_with('d') && !is_dockers {
            ensure!(!is_shell(path), "{path} is a shell");
            files.push(path.to_owned());
        }
    }
    files.sort();
    ensure!(files == FILES, "the image holds {files:?}, not {FILES:?}");
    println!("  user {user}; {} files, no shell, nothing setuid: {}", files.len(), files.join(", "));
    Ok(())
}

/// The mode and the path in one line of `tar -tv`.
fn entry(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    let mode = words.next()?;
    // Owner, size, date, time.
    let path = words.nth(4)?;
    Some((mode, path.strip_prefix("./").unwrap_or(path)))
}

fn is_shell(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    matches!(name, "sh" | "ash" | "bash" | "dash" | "zsh" | "busybox" | "toybox")
}
