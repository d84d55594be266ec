//! `headcount draw COUNT --out FILE`: draws the same pictures as the server.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use headcount_drawing::{Artist, Figure};

use crate::options::DrawOptions;

/// Draws one picture into a file or to standard output.
///
/// # Errors
/// Fails if the font cannot be used or lacks a character of the label, or if the file cannot be written.
pub(crate) fn run(options: &DrawOptions) -> anyhow::Result<()> {
    let artist = artist(options.font.as_deref())?;
    artist.check(&options.look)?;
    let fewer_than = (options.count < options.look.small()).then_some(options.look.small());
    let figure = Figure { number: options.count, epoch: 0, version: 0, stale: options.stale, fewer_than };
    let picture = artist.draw(&options.look, &figure, options.out.format);
    if options.out.path.as_os_str() == "-" {
        std::io::stdout().write_all(&picture).context("cannot write to standard output")?;
    } else {
        std::fs::write(&options.out.path, picture)
            .with_context(|| format!("cannot write {}", options.out.path.display()))?;
    }
    Ok(())
}

/// Returns an artist with the built-in font, or with the one in the file `font`.
///
/// # Errors
/// Fails if the file cannot be read or is not a font.
pub(crate) fn artist(font: Option<&Path>) -> anyhow::Result<Artist> {
    let Some(path) = font else { return Ok(Artist::new()) };
    let context = || format!("--font {}", path.display());
    let bytes = std::fs::read(path).with_context(context)?;
    Artist::with_font(bytes).with_context(context)
}
