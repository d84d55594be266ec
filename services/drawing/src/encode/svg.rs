//! Encodes a [`Scene`] as SVG, with outlines instead of text, so that it looks the same everywhere.

use std::{
    collections::HashSet,
    fmt::{self, Write},
};

use ab_glyph::{OutlineCurve, Point, point};

use crate::{
    scene::{Element, Ink, Paint, Scene, Shade, Sprite, Stop},
    stamp::Stamp,
    text::{Fonts, Line},
};

/// Encodes a scene with its stamp. `alternative` is the text for those who cannot see the picture.
pub(crate) fn encode(fonts: &Fonts, scene: &Scene, scale: u32, alternative: &str, stamp: &Stamp) -> Vec<u8> {
    let mut svg = String::with_capacity(8 << 10);
    write(&mut svg, fonts, scene, scale, alternative, stamp).expect("writing to a String cannot fail");
    svg.into_bytes()
}

fn write(svg: &mut String, fonts: &Fonts, scene: &Scene, scale: u32, alternative: &str, stamp: &Stamp) -> fmt::Result {
    let (width, height) = (scene.width, scene.height);
    let (alternative, stamp) = (escaped(alternative), escaped(&stamp.to_string()));
    write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" aria-label=\"{alternative}\"><title>{alternative}</title><metadata>{stamp}</metadata>",
        width * scale,
        height * scale,
    )?;
    let mut defined = HashSet::new();
    for (index, element) in scene.elements.iter().enumerate() {
        match element {
            Element::Sprite(sprite) => {
                if defined.is_empty() && sprite.shade != Shade::Full {
                    svg.push_str("<filter id=\"grey\"><feColorMatrix type=\"saturate\" values=\"0\"/></filter>");
                }
                if defined.insert(sprite.number) {
                    define(svg, sprite, height)?;
                }
                write!(svg, "<use href=\"#s{}\" x=\"{}\"/>", sprite.number, sprite.x)?;
            }
            Element::Shape { shape, paint } => {
                let fill = match paint {
                    Paint::Solid(colour) => format!("#{colour}"),
                    Paint::Gradient(stops) => {
                        gradient(svg, index, stops)?;
                        format!("url(#g{index})")
                    }
                };
                write!(svg, "<path fill=\"{fill}\" d=\"")?;
                path(svg, &shape.curves, |at| at)?;
                svg.push_str("\"/>");
            }
            Element::Text { line, x, baseline, ink: Ink { colour, opacity } } => {
                write!(svg, "<path fill=\"#{colour}\"")?;
                if *opacity < 1.0 {
                    write!(svg, " fill-opacity=\"{opacity}\"")?;
                }
                svg.push_str(" d=\"");
                text(svg, fonts, line, point(*x as f32, *baseline as f32))?;
                svg.push_str("\"/>");
            }
        }
    }
    svg.push_str("</svg>\n");
    Ok(())
}

/// Defines a sprite, in the shade of its first use: a picture has one shade for all.
fn define(svg: &mut String, sprite: &Sprite, height: u32) -> fmt::Result {
    let (number, uri) = (sprite.number, sprite.set.uri(sprite.number));
    let width = sprite.set.width(number, height);
    let shade = match sprite.shade {
        Shade::Full => String::new(),
        Shade::Grey(opacity) => format!(" filter=\"url(#grey)\" opacity=\"{opacity}\""),
    };
    write!(
        svg,
        "<defs><image id=\"s{number}\" width=\"{width}\" height=\"{height}\" preserveAspectRatio=\"none\"{shade} \
         href=\"{uri}\"/></defs>"
    )
}

fn gradient(svg: &mut String, index: usize, stops: &[Stop]) -> fmt::Result {
    write!(svg, "<linearGradient id=\"g{index}\" x2=\"0\" y2=\"1\">")?;
    for Stop { at, colour, opacity } in stops {
        write!(svg, "<stop offset=\"{at}\" stop-color=\"#{colour}\"")?;
        if *opacity < 1.0 {
            write!(svg, " stop-opacity=\"{opacity}\"")?;
        }
        svg.push_str("/>");
    }
    svg.push_str("</linearGradient>");
    Ok(())
}

fn text(svg: &mut String, fonts: &Fonts, line: &Line, origin: Point) -> fmt::Result {
    for positioned in &line.glyphs {
        let Some(outline) = fonts.typeface(positioned.glyph.font).scaled(positioned.glyph.id, line.em) else {
            continue;
        };
        let (x, y) = (origin.x + positioned.exact_x, origin.y - positioned.y);
        path(svg, &outline.curves, |at| point(x + at.x, y - at.y))?;
    }
    Ok(())
}

fn path(svg: &mut String, curves: &[OutlineCurve], to: impl Fn(Point) -> Point) -> fmt::Result {
    let mut last = None;
    for curve in curves {
        let (first, rest): (Point, &[Point]) = match curve {
            OutlineCurve::Line(a, b) => (*a, &[*b]),
            OutlineCurve::Quad(a, b, c) => (*a, &[*b, *c]),
            OutlineCurve::Cubic(a, b, c, d) => (*a, &[*b, *c, *d]),
        };
        if last != Some(first) {
            let close = if last.is_some() { "Z" } else { "" };
            write!(svg, "{close}M{}", Pair(to(first)))?;
        }
        if let [end] = rest
            && (end.x == first.x || end.y == first.y)
        {
            // A chart has thousands of these.
            let (from, to) = (to(first), to(*end));
            let (letter, by, at) = if from.x == to.x { ('v', to.y - from.y, to.y) } else { ('h', to.x - from.x, to.x) };
            // Whole steps are shorter as such, and add up exactly.
            match by.fract() == 0.0 && at.fract() == 0.0 {
                true => write!(svg, "{letter}{by}")?,
                false => write!(svg, "{}{}", letter.to_ascii_uppercase(), hundredth(at))?,
            }

            last = Some(*end);
            continue;
        }
        svg.push(['L', 'Q', 'C'][rest.len() - 1]);
        for (index, point) in rest.iter().enumerate() {
            let separator = if index > 0 { " " } else { "" };
            write!(svg, "{separator}{}", Pair(to(*point)))?;
        }
        last = rest.last().copied();
    }
    if last.is_some() {
        svg.push('Z');
    }
    Ok(())
}

/// A point, written in pixels with at most two decimals.
struct Pair(Point);

impl fmt::Display for Pair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", hundredth(self.0.x), hundredth(self.0.y))
    }
}

fn hundredth(value: f32) -> f32 {
    (value * 100.0).round() / 100.0
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
