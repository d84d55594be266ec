//! `headcount man FOLDER`: writes the manual pages, which have the same words as `--help`.

use anyhow::Context;

use crate::options::{self, ManOptions};

/// Writes `headcount.1`, and `headcount-COMMAND.1` for each command.
///
/// # Errors
/// Fails if the folder or a page cannot be written.
pub(crate) fn run(options: &ManOptions) -> anyhow::Result<()> {
    let folder = &options.folder;
    let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(options::described(), folder));
    written.with_context(|| format!("cannot write the manual pages into {}", folder.display()))
}
