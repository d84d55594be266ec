//! What a real Chromium paints: the number that a picture on its screen shows.

use anyhow::{Context, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use headcount_drawing::{Artist, Figure, Look};
use headcount_testkit::WebDriver;
use image::{RgbImage, RgbaImage};

/// How far from the ideal picture a painted one may be: mean difference of a channel, of 255. The browser's colour
/// management comes to less than 1.
const TOLERANCE: f64 = 1.0;
/// Numbers tried when a picture is read.
const READABLE: std::ops::RangeInclusive<u64> = 0..=400;

/// A browser with one window.
pub(crate) struct Browser(WebDriver);

impl Browser {
    /// Starts one that accepts the demo's self-signed certificate.
    pub(crate) fn start() -> anyhow::Result<Self> {
        Ok(Self(WebDriver::start(&[])?))
    }

    /// Opens a page, and waits until it has been read.
    pub(crate) fn open(&self, url: &str) -> anyhow::Result<()> {
        Ok(self.0.open(url)?)
    }

    /// The elements that a CSS selector picks.
    pub(crate) fn elements(&self, selector: &str) -> anyhow::Result<Vec<String>> {
        Ok(self.0.elements(selector)?)
    }

    /// The number that a picture shows in the look that its address names, read from the pixels on the screen.
    pub(crate) fn number(&self, element: &str) -> anyhow::Result<u64> {
        let address = self.0.ask("GET", &format!("element/{element}/attribute/src"), None)?;
        let look =
            Look::from_query(address.as_str().and_then(|src| src.split_once('?')).map_or("", |(_, query)| query))?;
        let shot = self.0.ask("GET", &format!("element/{element}/screenshot"), None)?;
        let png = BASE64_STANDARD.decode(shot.as_str().context("a screenshot is text")?)?;
        let painted = image::load_from_memory(&png)?.into_rgb8();
        let artist = Artist::new();
        let ideal = |number| artist.pixels(&look, &Figure::of(number));
        let scored = READABLE.filter_map(|number| Some((difference(&painted, &ideal(number))?, number)));
        let (score, number) = scored
            .min_by(|(one, _), (other, _)| one.total_cmp(other))
            .with_context(|| format!("no number is {}×{} pixels", painted.width(), painted.height()))?;
        ensure!(score <= TOLERANCE, "the picture is no number: {number} comes nearest, and is off by {score:.1}");
        Ok(number)
    }
}

/// The mean difference of a channel between what was painted and the opaque pixels of a picture (through the others
/// the page shows); `None` where the sizes differ.
fn difference(painted: &RgbImage, ideal: &RgbaImage) -> Option<f64> {
    if painted.dimensions() != ideal.dimensions() {
        return None;
    }
    let opaque = painted.pixels().zip(ideal.pixels()).filter(|(_, ideal)| ideal.0[3] == u8::MAX);
    let channels = opaque.flat_map(|(painted, ideal)| painted.0.into_iter().zip(ideal.0));
    let (sum, count) =
        channels.fold((0u64, 0u64), |(sum, count), (one, other)| (sum + u64::from(one.abs_diff(other)), count + 1));
    (count > 0).then(|| sum as f64 / count as f64)
}
