//! Fits outlines to the pixel grid, as a font file's own hinting instructions would.
//!
//! Stems are moved so that an edge lies on a pixel's edge, and get whole pixels if that is nearly their width anyway.
//! The heights that all letters share (baseline, x-height, capitals) become whole pixels. Points between two edges are
//! interpolated.

use ab_glyph::{Outline, point};

use super::{
    outline::{ends, map, scale},
    stems::{Axis, edges, stems},
};

/// How far curves reach beyond the height of flat letters, in ems, at most.
const OVERSHOOT: f32 = 0.02;
/// The same in pixels. In larger type the overshoot is meant to be seen.
const OVERSHOOT_PIXELS: f32 = 0.75;
/// Stems whose width is within this share of the usual one get the usual one.
const USUAL_WIDTH_TOLERANCE: f32 = 0.25;
/// A stem's width is rounded to whole pixels if that changes it by at most this.
const ROUNDED_WIDTH: f32 = 0.34;

/// What a font's letters have in common, in font units.
#[derive(Clone, Debug)]
pub(super) struct HintingMetrics {
    pub(super) em: f32,
    /// Alignment zones: the heights at which flat letters begin and end. Empty for a font that is not hinted.
    pub(super) zones: Vec<f32>,
    /// The usual width of vertical stems.
    pub(super) vertical_stem: Option<f32>,
    /// The usual width of horizontal stems.
    pub(super) horizontal_stem: Option<f32>,
}

/// Scales an outline to pixels by `factor`, and hints it.
pub(super) fn hint(mut outline: Outline, factor: f32, metrics: &HintingMetrics) -> Outline {
    if metrics.zones.is_empty() {
        return scale(outline, factor);
    }
    let horizontal = knots(&outline, Axis::Horizontal, factor, metrics);
    let vertical = knots(&outline, Axis::Vertical, factor, metrics);
    map(&mut outline, |at| point(interpolate(&horizontal, at.x, factor), interpolate(&vertical, at.y, factor)));
    outline
}

/// Returns the hinted positions along an axis, as pairs of font units and pixels, both ascending.
fn knots(outline: &Outline, axis: Axis, factor: f32, metrics: &HintingMetrics) -> Vec<(f32, f32)> {
    let edges = edges(outline, axis, metrics.em);
    let zone = |at: f32| match axis {
        Axis::Horizontal => None,
        Axis::Vertical => zone(at, factor, metrics).map(|height| (height * factor).round()),
    };
    let usual = match axis {
        Axis::Horizontal => metrics.vertical_stem,
        Axis::Vertical => metrics.horizontal_stem,
    };
    let mut knots: Vec<(f32, f32)> = Vec::new();
    for stem in stems(&edges, metrics.em) {
        let width = width((stem.high - stem.low) * factor, usual.map(|usual| usual * factor));
        let (low, high) = match (zone(stem.low), zone(stem.high)) {
            (Some(low), _) => (low, low + width),
            (None, Some(high)) => (high - width, high),
            (None, None) => {
                let low = ((stem.low + stem.high) / 2.0 * factor - width / 2.0).round();
                (low, low + width)
            }
        };
        knots.extend([(stem.low, low), (stem.high, high)]);
    }
    // A single edge, or the tip of a slanting stroke, is moved to its zone too.
    let along = || outline.curves.iter().flat_map(ends).map(|at| axis.along(at));
    let tips = [along().min_by(f32::total_cmp), along().max_by(f32::total_cmp)];
    let single = edges.iter().map(|edge| edge.at).chain(tips.into_iter().flatten());
    for (at, height) in single.filter_map(|at| Some((at, zone(at)?))) {
        if knots.iter().all(|(known, _)| (known - at).abs() > 0.5) {
            knots.push((at, height));
        }
    }
    knots.sort_by(|a, b| a.0.total_cmp(&b.0));
    for index in 1..knots.len() {
        knots[index].1 = knots[index].1.max(knots[index - 1].1);
    }
    knots
}

/// Returns the alignment zone nearest to `at`, if one is near enough.
fn zone(at: f32, factor: f32, metrics: &HintingMetrics) -> Option<f32> {
    let slack = f32::min(OVERSHOOT * metrics.em, OVERSHOOT_PIXELS / factor);
    metrics
        .zones
        .iter()
        .copied()
        .filter(|zone| (zone - at).abs() <= slack)
        .min_by(|a, b| (a - at).abs().total_cmp(&(b - at).abs()))
}

/// Returns a stem's width in pixels, given its natural and its usual one.
fn width(natural: f32, usual: Option<f32>) -> f32 {
    let width = match usual {
        Some(usual) if (natural - usual).abs() <= usual * USUAL_WIDTH_TOLERANCE => usual,
        _ => natural,
    };
    let whole = width.round();
    if (width - whole).abs() <= ROUNDED_WIDTH { whole.max(1.0) } else { width.max(1.0) }
}

/// Maps a position to pixels. Outside the knots it moves with the nearest one.
fn interpolate(knots: &[(f32, f32)], at: f32, factor: f32) -> f32 {
    let above = knots.partition_point(|(from, _)| *from <= at);
    match (above.checked_sub(1).map(|index| knots[index]), knots.get(above)) {
        (None, None) => at * factor,
        (Some((from, to)), None) => to + (at - from) * factor,
        (None, Some((from, to))) => to + (at - from) * factor,
        (Some((from, to)), Some((next_from, next_to))) => to + (at - from) / (next_from - from) * (next_to - to),
    }
}

#[cfg(test)]
mod tests {
    use ab_glyph::{Font, FontArc};

    use super::*;
    use crate::text::{stems::stem_widths, typeface::Typeface};

    fn typeface() -> (FontArc, Typeface) {
        let font = FontArc::try_from_slice(dejavu::sans::regular()).unwrap();
        (font.clone(), Typeface::new(font).unwrap())
    }

    fn hinted(character: char, em: f32) -> Outline {
        let (font, typeface) = typeface();
        typeface.hinted(font.glyph_id(character), em).unwrap()
    }

    fn positions(outline: &Outline, axis: Axis, em: f32) -> Vec<(f32, bool)> {
        edges(outline, axis, em).iter().map(|edge| (edge.at, edge.begins)).collect()
    }

    #[test]
    fn stems_are_found_by_their_edges() {
        let (font, _) = typeface();
        let outline = |character| font.outline(font.glyph_id(character)).unwrap();
        let em = font.units_per_em().unwrap();
        assert_eq!(stem_widths(&outline('l'), Axis::Horizontal, em).len(), 1);
        assert_eq!(stem_widths(&outline('n'), Axis::Horizontal, em).len(), 2);
        assert_eq!(stem_widths(&outline('m'), Axis::Horizontal, em).len(), 3);
        assert_eq!(stem_widths(&outline('E'), Axis::Vertical, em).len(), 3);
        assert_eq!(stem_widths(&outline('v'), Axis::Horizontal, em).len(), 0);
        for (width, expected) in stem_widths(&outline('o'), Axis::Horizontal, em).iter().zip([190.0, 190.0]) {
            assert!((width - expected).abs() < 20.0, "{width}");
        }
    }

    #[test]
    fn vertical_stems_lie_on_pixels() {
        for em in [10.0, 11.0, 13.7, 16.5, 22.0, 33.0] {
            for character in "nlHhimdpb1".chars() {
                let outline = hinted(character, em);
                for (at, _) in positions(&outline, Axis::Horizontal, em).iter().filter(|(_, begins)| *begins).take(1) {
                    assert!((at - at.round()).abs() < 0.02, "{character} at {em}: {at}");
                }
            }
        }
    }

    #[test]
    fn letters_stand_on_the_baseline_and_end_at_whole_pixels() {
        for em in [10.0, 11.0, 13.7, 16.5, 22.0, 33.0] {
            for character in "xzoneHEO0123456789".chars() {
                let bounds = hinted(character, em).bounds;
                for (edge, name) in [(bounds.min.y, "top"), (bounds.max.y, "bottom")] {
                    assert!((edge - edge.round()).abs() < 0.02, "{name} of {character} at {em}: {edge}");
                }
                assert!(bounds.max.y.abs() < 0.02, "{character} at {em} stands at {}", bounds.max.y);
            }
        }
    }

    #[test]
    fn hinting_moves_no_point_by_more_than_a_pixel() {
        let (font, typeface) = typeface();
        for em in [8.2, 11.0, 19.0, 47.0] {
            for character in ('!'..='~').chain('а'..='я').chain('α'..='ω') {
                let id = font.glyph_id(character);
                let (plain, hinted) = (typeface.scaled(id, em).unwrap(), typeface.hinted(id, em).unwrap());
                for (before, after) in plain.curves.iter().flat_map(ends).zip(hinted.curves.iter().flat_map(ends)) {
                    let moved = (before.x - after.x).abs().max((before.y - after.y).abs());
                    assert!(moved <= 1.1, "{character} at {em} by {moved}");
                }
            }
        }
    }
}
