//! Lays out labels of any script: bidirectional order, font fallback and shaping.

use std::ops::Range;

use ab_glyph::GlyphId;
use rustybuzz::{Direction, UnicodeBuffer};
use unicode_bidi::BidiInfo;

use super::{
    fonts::{Fonts, is_invisible},
    line::{FontGlyph, Line, PositionedGlyph},
};

/// Where the next glyph goes, with hinting and without.
#[derive(Default)]
struct Pen {
    x: f32,
    exact_x: f32,
}

/// Lays out `text` at `em` pixels per em.
pub(super) fn lay_out(fonts: &Fonts, text: &str, em: f32) -> Line {
    let mut line = Line { em, ..Line::default() };
    let mut pen = Pen::default();
    let bidi = BidiInfo::new(text, None);
    for paragraph in &bidi.paragraphs {
        let (levels, runs) = bidi.visual_runs(paragraph, paragraph.range.clone());
        for run in runs {
            let right_to_left = levels[run.start].is_rtl();
            let run = &text[run];
            let mut pieces = split_by_font(fonts, run);
            if right_to_left {
                pieces.reverse();
            }
            for (font, piece) in pieces {
                shape(fonts, font, &run[piece], right_to_left, &mut line, &mut pen);
            }
            pen.x = pen.x.round();
        }
    }
    line.width = f32::max(pen.x, 0.0).round() as u32;
    let stretch = if pen.exact_x > 0.0 { pen.x / pen.exact_x } else { 1.0 };
    for positioned in &mut line.glyphs {
        positioned.exact_x *= stretch;
    }
    line
}

/// Splits a run into pieces of one font each.
fn split_by_font(fonts: &Fonts, run: &str) -> Vec<(usize, Range<usize>)> {
    let mut pieces: Vec<(usize, Range<usize>)> = Vec::new();
    for (start, character) in run.char_indices() {
        let end = start + character.len_utf8();
        let last = pieces.last().map(|(font, _)| *font);
        // A mark or joiner belongs to the letter before it, whichever font that came from.
        let font = last.filter(|_| is_attached(character)).or(fonts.font_of(character)).unwrap_or(Fonts::MAIN);
        match pieces.last_mut() {
            Some((last, piece)) if *last == font => piece.end = end,
            _ => pieces.push((font, start..end)),
        }
    }
    pieces
}

/// Appends the glyphs of `text` to `line`, and advances the pen.
fn shape(fonts: &Fonts, font: usize, text: &str, right_to_left: bool, line: &mut Line, pen: &mut Pen) {
    let typeface = fonts.typeface(font);
    let Some(face) = rustybuzz::Face::from_slice(typeface.file(), 0) else { return };
    let mut buffer = UnicodeBuffer::new();
    buffer.push_str(text);
    buffer.guess_segment_properties();
    buffer.set_direction(if right_to_left { Direction::RightToLeft } else { Direction::LeftToRight });
    let shaped = rustybuzz::shape(&face, &[], buffer);
    let factor = typeface.factor(line.em);
    for (info, position) in shaped.glyph_infos().iter().zip(shaped.glyph_positions()) {
        let glyph = FontGlyph { font, id: GlyphId(info.glyph_id as u16), hinted: !right_to_left };
        let (dx, dy) = (position.x_offset as f32 * factor, position.y_offset as f32 * factor);
        let advance = position.x_advance as f32 * factor;
        let exact_x = pen.exact_x + dx;
        let x = if right_to_left { exact_x } else { pen.x + dx.round() };
        line.glyphs.push(PositionedGlyph { glyph, x, exact_x, y: dy });
        pen.exact_x += advance;
        pen.x += if right_to_left { advance } else { advance.round() };
    }
}

fn is_attached(character: char) -> bool {
    is_invisible(character) || matches!(character, '\u{300}'..='\u{36f}')
}
