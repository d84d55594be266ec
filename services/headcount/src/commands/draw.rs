//! `headcount draw COUNT --out FILE`: draws the same pictures as the server, and animations of them.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use headcount_drawing::{Animation, Artist, Figure, Format, SpriteSets};

use crate::options::DrawOptions;

/// Draws one picture into a file or to standard output.
///
/// # Errors
/// Fails if the font or the sprites cannot be used, if the font lacks a character of the label, if an animation is to be no PNG, or if
/// the file cannot be written.
pub(crate) fn run(options: &DrawOptions) -> anyhow::Result<()> {
    let artist = artist(options.font.as_deref(), options.sprites.as_deref())?;
    artist.check(&options.look)?;
    let picture = match options.then.is_empty() {
        true => still(&artist, options),
        false if options.out.format == Format::Png => {
            let numbers = [&[options.count], &options.then[..]].concat();
            let animation = Animation { numbers, frame_time: options.frame_time, pages: options.pages };
            artist.animate(&options.look, &animation)
        }
        false => bail!("--then draws an animated PNG: --out must end in .png, or be - for standard output"),
    };
    if options.out.path.as_os_str() == "-" {
        std::io::stdout().write_all(&picture).context("cannot write to standard output")?;
    } else {
        std::fs::write(&options.out.path, picture)
            .with_context(|| format!("cannot write {}", options.out.path.display()))?;
    }
    Ok(())
}

fn still(artist: &Artist, options: &DrawOptions) -> Vec<u8> {
    let fewer_than = (options.count < options.look.small()).then_some(options.look.small());
    let figure = Figure { number: options.count, epoch: 0, version: 0, stale: options.stale, fewer_than };
    artist.draw(&options.look, &figure, options.out.format)
}

/// Returns an artist with the built-in font, or with the one in the file `font`, and with the sets in the folder `sprites` besides the
/// built-in one.
///
/// # Errors
/// Fails if the file cannot be read or is not a font, or if something is wrong with a set.
pub(crate) fn artist(font: Option<&Path>, sprites: Option<&Path>) -> anyhow::Result<Artist> {
    let artist = match font {
        None => Artist::new(),
        Some(path) => {
            let context = || format!("--font {}", path.display());
            let bytes = std::fs::read(path).with_context(context)?;
            Artist::with_font(bytes).with_context(context)?
        }
    };
    let Some(folder) = sprites else { return Ok(artist) };
    let sets = SpriteSets::read(folder).with_context(|| format!("--sprites {}", folder.display()))?;
    Ok(artist.with_sprites(sets))
}
