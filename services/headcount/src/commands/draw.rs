//! `headcount draw COUNT --out FILE`: draws the same pictures as the server, animations of them, and charts of a counter's past.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use headcount_drawing::{Animation, Artist, Chart, Figure, Format, Look, SpriteSets, Style};
use headcount_wire::history::History;
use serde::Deserialize;

use crate::options::DrawOptions;

/// Draws one picture into a file or to standard output.
///
/// # Errors
/// Fails if the font or the sprites cannot be used, if the font lacks a character of the label, if an animation is to be no PNG, or if
/// the file cannot be written, or if the past is not in the form of `/online/history.json`.
pub(crate) fn run(options: &DrawOptions) -> anyhow::Result<()> {
    let artist = artist(options.font.as_deref(), options.sprites.as_deref())?;
    artist.check(&options.look)?;
    let picture = match options.then.is_empty() {
        true => still(&artist, options)?,
        false if options.out.format == Format::Png => {
            let numbers = options.count.into_iter().chain(options.then.iter().copied()).collect();
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

fn still(artist: &Artist, options: &DrawOptions) -> anyhow::Result<Vec<u8>> {
    let past = options.history.as_deref().map(past).transpose()?;
    let look = match past {
        Some(_) if options.look.is_default() => Look::of_style(Style::Chart),
        _ => options.look.clone(),
    };
    ensure!(
        past.is_none() || look.style().shows_past(),
        "--history draws a chart: --look must have style=chart or style=spark"
    );
    let chart = past.as_ref().map(|past| Chart { history: &past.history, small: past.fewer_than });
    let number = options.count.or(chart.map(|chart| chart.history.count)).unwrap_or_default();
    let small = look.small().max(chart.map_or(0, |chart| chart.small));
    let fewer_than = (number < small).then_some(small);
    let figure = Figure { number, epoch: 0, version: 0, stale: options.stale, fewer_than };
    Ok(artist.draw_chart(&look, &figure, chart, options.out.format))
}

/// A counter's past, as `/online/history.json` gives it.
#[derive(Deserialize)]
struct Past {
    #[serde(flatten)]
    history: History,
    /// Smaller numbers are hidden.
    #[serde(default)]
    fewer_than: u64,
}

fn past(path: &Path) -> anyhow::Result<Past> {
    let context = || format!("--history {}", path.display());
    let bytes = std::fs::read(path).with_context(context)?;
    let past: Past = serde_json::from_slice(&bytes)
        .context("it is not a counter's past, as /online/history.json gives it")
        .with_context(context)?;
    let (history, span) = (&past.history, past.history.span);
    let (name, step, most) = (span.name(), span.step_seconds(), span.points());
    let checked = || {
        ensure!(history.step_seconds == step, "step_seconds of span \"{name}\" is {step}");
        ensure!(history.start.is_multiple_of(step), "start is a multiple of step_seconds");
        ensure!(history.points.len() <= most, "span \"{name}\" has {most} points at most");
        Ok(())
    };
    checked().with_context(context)?;
    Ok(past)
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
