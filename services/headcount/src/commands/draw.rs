//! `headcount draw COUNT --out FILE`: the same pictures as over HTTP, without a server.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use headcount_drawing::{Artist, Figure};

use crate::options::DrawOptions;

/// Draws one picture into a file or to standard output.
///
/// # Errors
/// A font that is none or lacks a character of the label; a file that cannot be written.
pub(crate) fn run(options: &DrawOptions) -> anyhow::Result<()> {
    let artist = artist(options.font.as_deref())?;
    artist.check(&options.look)?;
    let fewer_than = (options.count < options.look.small()).then_some(options.look.small());
    let figure = Figure { number: options.count, epoch: 0, version: 0, stale: options.stale, fewer_than };
    let picture = artist.draw(&options.look, &figure, options.out.format);
    if options.out.path.as_os_str() == "-" {
        std::io::stdout().write_all(&picture).context("standard output cannot be written")?;
    } else {
        std::fs::write(&options.out.path, picture)
            .with_context(|| format!("{} cannot be written", options.out.path.display()))?;
    }
    Ok(())
}

/// Who draws: with the built-in font, or with the one in `font`.
///
/// # Errors
/// A file that cannot be read or holds no font.
pub(crate) fn artist(font: Option<&Path>) -> anyhow::Result<Artist> {
    let Some(path) = font else { return Ok(Artist::new()) };
    let wrong = || format!("--font {}", path.display());
    let bytes = std::fs::read(path).with_context(wrong)?;
    Artist::with_font(bytes).with_context(wrong)
}
