//! nchan on Debian's nginx.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit};

const CONF: &str = include_str!("../../peers/nginx.conf");

/// Where Debian's nginx keeps its modules.
const MODULES: &str = "/usr/lib/nginx/modules";

/// Worker processes: one a core, as nginx advises.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The command that runs it, its settings written into `directory`.
pub(super) fn command(directory: &Path, port: u16) -> anyhow::Result<Command> {
    let (files, _) = getrlimit(Resource::RLIMIT_NOFILE).context("the limit of open files")?;
    let path = directory.join("nginx.conf");
    let settings = CONF
        .replace("{modules}", MODULES)
        .replace("{workers}", &workers().to_string())
        .replace("{files}", &files.to_string())
        .replace("{directory}", &directory.display().to_string())
        .replace("{port}", &port.to_string());
    fs::write(&path, settings).context("writing nginx's settings")?;
    let mut command = Command::new("nginx");
    // Before it has read its settings, nginx would complain about a log that it may not write.
    command.arg("-e").arg(directory.join("error.log")).arg("-p").arg(directory).arg("-c").arg(path);
    command.stderr(Stdio::null());
    Ok(command)
}
