//! Draws the built-in set of sprites, `nixie`: digits of glowing wire in glass tubes.
//!
//! `cargo run -p headcount-drawing --example nixie` writes `sprites/nixie` again.

use std::{error::Error, path::Path};

use image::{Rgba, RgbaImage};

/// Height of a tube in pixels, and its width if it holds a digit, a letter or a sign, or only a point.
const HEIGHT: f32 = 96.0;
const WIDTH: f32 = 56.0;
const NARROW: f32 = 26.0;
/// Where the wire is: the left and upper corner of its box, and the box's size.
const BOX: [f32; 4] = [14.0, 19.0, 28.0, 55.0];
/// Half of the wire's thickness, and how far its light reaches until it is a third as strong.
const WIRE: f32 = 3.7;
const REACH: f32 = 6.0;
/// Steps of light: PNGs of few colours are small.
const STEPS: f32 = 40.0;
/// The light's colours, from none to the wire's middle.
const LIGHT: [(f32, [f32; 3]); 6] = [
    (0.0, [24.0, 17.0, 16.0]),
    (0.22, [66.0, 24.0, 12.0]),
    (0.5, [158.0, 50.0, 8.0]),
    (0.72, [255.0, 112.0, 20.0]),
    (0.86, [255.0, 172.0, 74.0]),
    (1.0, [255.0, 236.0, 190.0]),
];
/// The tube's edge in the light, and its foot.
const RIM: [f32; 3] = [104.0, 84.0, 76.0];
const FOOT: [f32; 3] = [52.0, 40.0, 36.0];

/// A piece of wire in a box from 0 to 1: a straight one, or a cubic curve.
enum Wire {
    Line([(f32, f32); 2]),
    Curve([(f32, f32); 4]),
}

use Wire::{Curve, Line};

/// Part of the way from the middle of a circle's side to its corner, at which a cubic curve has its control points.
const ROUND: f32 = 0.552;

/// An ellipse as four curves.
fn ellipse(x: f32, y: f32, across: f32, down: f32) -> Vec<Wire> {
    let quarter = |dx: f32, dy: f32| {
        let (right, below) = (x + dx * across, y + dy * down);
        Curve([(x, below), (x + dx * across * ROUND, below), (right, y + dy * down * ROUND), (right, y)])
    };
    vec![quarter(-1.0, -1.0), quarter(1.0, -1.0), quarter(1.0, 1.0), quarter(-1.0, 1.0)]
}

/// The same wire, turned by half a turn.
fn turned(wires: Vec<Wire>) -> Vec<Wire> {
    let turn = |(x, y): (f32, f32)| (1.0 - x, 1.0 - y);
    let wire = |wire: Wire| match wire {
        Line(points) => Line(points.map(turn)),
        Curve(points) => Curve(points.map(turn)),
    };
    wires.into_iter().map(wire).collect()
}

fn six() -> Vec<Wire> {
    let mut wires = ellipse(0.5, 0.68, 0.5, 0.32);
    wires.push(Curve([(0.0, 0.68), (0.0, 0.38), (0.36, 0.1), (0.74, 0.0)]));
    wires
}

/// The wire of a sprite, by the name of its file.
fn wires(name: &str) -> Vec<Wire> {
    match name {
        "0" => ellipse(0.5, 0.5, 0.5, 0.5),
        "1" => vec![Line([(0.55, 0.0), (0.55, 1.0)]), Line([(0.2, 0.2), (0.55, 0.0)])],
        "2" => vec![
            Curve([(0.02, 0.27), (0.02, 0.1), (0.2, 0.0), (0.5, 0.0)]),
            Curve([(0.5, 0.0), (0.8, 0.0), (0.97, 0.12), (0.97, 0.29)]),
            Curve([(0.97, 0.29), (0.97, 0.55), (0.25, 0.72), (0.02, 1.0)]),
            Line([(0.02, 1.0), (1.0, 1.0)]),
        ],
        "3" => vec![
            Curve([(0.03, 0.2), (0.08, 0.07), (0.25, 0.0), (0.48, 0.0)]),
            Curve([(0.48, 0.0), (0.76, 0.0), (0.93, 0.1), (0.93, 0.24)]),
            Curve([(0.93, 0.24), (0.93, 0.39), (0.74, 0.47), (0.4, 0.47)]),
            Curve([(0.4, 0.47), (0.8, 0.47), (1.0, 0.58), (1.0, 0.73)]),
            Curve([(1.0, 0.73), (1.0, 0.9), (0.8, 1.0), (0.48, 1.0)]),
            Curve([(0.48, 1.0), (0.22, 1.0), (0.04, 0.93), (0.0, 0.79)]),
        ],
        "4" => vec![Line([(0.72, 0.0), (0.0, 0.7)]), Line([(0.0, 0.7), (1.0, 0.7)]), Line([(0.72, 0.0), (0.72, 1.0)])],
        "5" => vec![
            Line([(0.92, 0.0), (0.14, 0.0)]),
            Line([(0.14, 0.0), (0.06, 0.44)]),
            Curve([(0.06, 0.44), (0.2, 0.38), (0.34, 0.36), (0.48, 0.36)]),
            Curve([(0.48, 0.36), (0.8, 0.36), (1.0, 0.48), (1.0, 0.68)]),
            Curve([(1.0, 0.68), (1.0, 0.88), (0.8, 1.0), (0.48, 1.0)]),
            Curve([(0.48, 1.0), (0.24, 1.0), (0.06, 0.93), (0.0, 0.82)]),
        ],
        "6" => six(),
        "7" => vec![Line([(0.0, 0.0), (1.0, 0.0)]), Curve([(1.0, 0.0), (0.72, 0.34), (0.4, 0.6), (0.36, 1.0)])],
        "8" => [ellipse(0.5, 0.24, 0.43, 0.24), ellipse(0.5, 0.74, 0.5, 0.26)].into_iter().flatten().collect(),
        "9" => turned(six()),
        "less" => vec![Line([(1.0, 0.22), (0.0, 0.52)]), Line([(0.0, 0.52), (1.0, 0.82)])],
        "k" => {
            vec![Line([(0.1, 0.0), (0.1, 1.0)]), Line([(0.9, 0.38), (0.1, 0.72)]), Line([(0.36, 0.61), (0.95, 1.0)])]
        }
        "m" => vec![
            Line([(0.0, 1.0), (0.0, 0.0)]),
            Line([(0.0, 0.0), (0.5, 0.6)]),
            Line([(0.5, 0.6), (1.0, 0.0)]),
            Line([(1.0, 0.0), (1.0, 1.0)]),
        ],
        "g" => vec![
            Curve([(0.96, 0.2), (0.86, 0.06), (0.7, 0.0), (0.52, 0.0)]),
            Curve([(0.52, 0.0), (0.2, 0.0), (0.0, 0.2), (0.0, 0.5)]),
            Curve([(0.0, 0.5), (0.0, 0.8), (0.2, 1.0), (0.52, 1.0)]),
            Curve([(0.52, 1.0), (0.72, 1.0), (0.88, 0.94), (1.0, 0.82)]),
            Line([(1.0, 0.82), (1.0, 0.54)]),
            Line([(1.0, 0.54), (0.58, 0.54)]),
        ],
        "t" => vec![Line([(0.0, 0.0), (1.0, 0.0)]), Line([(0.5, 0.0), (0.5, 1.0)])],
        "p" => vec![
            Line([(0.06, 1.0), (0.06, 0.0)]),
            Line([(0.06, 0.0), (0.5, 0.0)]),
            Curve([(0.5, 0.0), (0.84, 0.0), (1.0, 0.12), (1.0, 0.28)]),
            Curve([(1.0, 0.28), (1.0, 0.44), (0.84, 0.56), (0.5, 0.56)]),
            Line([(0.5, 0.56), (0.06, 0.56)]),
        ],
        "e" => vec![
            Line([(0.06, 0.0), (0.06, 1.0)]),
            Line([(0.06, 0.0), (0.96, 0.0)]),
            Line([(0.06, 0.48), (0.82, 0.48)]),
            Line([(0.06, 1.0), (0.96, 1.0)]),
        ],
        "dot" => vec![Line([(0.5, 0.97), (0.5, 1.0)])],
        _ => vec![Curve([(0.5, 0.93), (0.56, 1.0), (0.46, 1.1), (0.22, 1.16)])],
    }
}

/// The wire as short straight pieces, in pixels.
fn pieces(wires: &[Wire], left: f32, width: f32) -> Vec<[(f32, f32); 2]> {
    let place = |(x, y): (f32, f32)| (left + x * width, BOX[1] + y * BOX[3]);
    let mut pieces = Vec::new();
    for wire in wires {
        match *wire {
            Line([a, b]) => pieces.push([place(a), place(b)]),
            Curve([a, b, c, d]) => {
                let at = |step: u8| {
                    let (t, u) = (f32::from(step) / 32.0, 1.0 - f32::from(step) / 32.0);
                    let mix = |a: f32, b: f32, c: f32, d: f32| {
                        u * u * u * a + 3.0 * u * u * t * b + 3.0 * u * t * t * c + t * t * t * d
                    };
                    place((mix(a.0, b.0, c.0, d.0), mix(a.1, b.1, c.1, d.1)))
                };
                pieces.extend((0..32).map(|step| [at(step), at(step + 1)]));
            }
        }
    }
    pieces
}

/// The distance of a pixel from a straight piece.
fn distance(x: f32, y: f32, [a, b]: [(f32, f32); 2]) -> f32 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let along = (((x - a.0) * dx + (y - a.1) * dy) / (dx * dx + dy * dy).max(1e-6)).clamp(0.0, 1.0);
    (x - a.0 - along * dx).hypot(y - a.1 - along * dy)
}

/// How far a pixel is outside of the tube; negative inside. Its top is a dome.
fn outside(x: f32, y: f32, width: f32) -> f32 {
    let (half, radius) = (width / 2.0 - 1.5, if y < HEIGHT / 2.0 { width / 2.0 - 2.0 } else { 7.0 });
    let across = (x - width / 2.0).abs() - half + radius;
    let down = (y - HEIGHT / 2.0).abs() - (HEIGHT / 2.0 - 1.0) + radius;
    across.max(0.0).hypot(down.max(0.0)) + across.max(down).min(0.0) - radius
}

fn mix(from: [f32; 3], to: [f32; 3], share: f32) -> [f32; 3] {
    [0, 1, 2].map(|channel| from[channel] + (to[channel] - from[channel]) * share)
}

/// The colour of an amount of light.
fn lit(light: f32) -> [f32; 3] {
    let next = LIGHT.iter().position(|(at, _)| *at >= light).unwrap_or(LIGHT.len() - 1).max(1);
    let ((low, from), (high, to)) = (LIGHT[next - 1], LIGHT[next]);
    mix(from, to, (light - low) / (high - low))
}

fn step(value: f32, steps: f32) -> f32 {
    (value.clamp(0.0, 1.0) * steps).round() / steps
}

fn sprite(name: &str) -> RgbaImage {
    let is_narrow = matches!(name, "comma" | "dot");
    let width = if is_narrow { NARROW } else { WIDTH };
    let wires = wires(name);
    let pieces = if is_narrow { pieces(&wires, 3.0, NARROW - 6.0) } else { pieces(&wires, BOX[0], BOX[2]) };
    RgbaImage::from_fn(width as u32, HEIGHT as u32, |column, row| {
        let (x, y) = (column as f32 + 0.5, row as f32 + 0.5);
        let from_wire = pieces.iter().map(|piece| distance(x, y, *piece)).fold(f32::MAX, f32::min);
        // The wire is white in its middle; around it there is its light.
        let wire = 1.0 - 0.3 * (from_wire / WIRE).powi(2);
        let around = 0.56 * (-(from_wire - WIRE).max(0.0) / REACH).exp();
        let edge = (from_wire - WIRE + 0.5).clamp(0.0, 1.0);
        let light = if edge >= 1.0 { around } else { wire * (1.0 - edge) + around * edge };
        let mut colour = lit(step(light, STEPS));
        let outside = outside(x, y, width);
        let foot = step((y - 86.0) / 2.0, 2.0);
        colour = mix(colour, FOOT, foot * 0.75);
        // The glass: light on its edge from above, and a reflection beside it.
        let rim = step(1.0 - (outside + 1.6).abs() / 1.6, 3.0) * (1.0 - 0.6 * step(y / HEIGHT, 3.0));
        colour = mix(colour, RIM, rim);
        let reflection = 1.0 - (outside + 6.0).abs() / 1.8;
        if x < width * 0.4 && (14.0..62.0).contains(&y) && !is_narrow {
            colour = mix(colour, [255.0, 240.0, 226.0], 0.2 * step(reflection, 2.0));
        }
        let [red, green, blue] = colour.map(|channel| channel.round() as u8);
        Rgba([red, green, blue, (step(0.5 - outside, 4.0) * 255.0).round() as u8])
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sprites/nixie");
    let digits = ('0'..='9').map(String::from);
    let others = ["comma", "dot", "less", "k", "m", "g", "t", "p", "e"].map(str::to_owned);
    for name in digits.chain(others) {
        // The node decodes them once, so that they need not be the smallest.
        sprite(&name).save(folder.join(name).with_extension("png"))?;
    }
    Ok(())
}
