//! [`Scene`]: a picture before it is pixels or vectors. A style composes it; `rasterizer` and `encode::svg` draw it.
//!
//! Lengths are pixels of the unscaled picture, from its top left corner downwards.

use std::sync::Arc;

use ab_glyph::{OutlineCurve, Point, point};

use crate::{
    colour::Colour,
    sprites::{SetName, SpriteSet},
    text::Line,
};

/// A picture as a list of elements, each drawn over those before it.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) elements: Vec<Element>,
}

/// A filled shape, a line of text, or a sprite.
#[derive(Clone, Debug)]
pub(crate) enum Element {
    Shape { shape: Shape, paint: Paint },
    Text { line: Line, x: i32, baseline: i32, ink: Ink },
    Sprite(Sprite),
}

/// A sprite of a set, as high as the picture.
#[derive(Clone, Debug)]
pub(crate) struct Sprite {
    pub(crate) set_name: SetName,
    pub(crate) set: Arc<SpriteSet>,
    /// Its number in the set.
    pub(crate) number: usize,
    /// Its left edge.
    pub(crate) x: u32,
    /// What it is painted with: in its own colours, or as grey as they are bright.
    pub(crate) shade: Shade,
}

/// What a sprite is painted with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shade {
    /// Its own colours.
    Full,
    /// Greys that are as bright, with this opacity.
    Grey(f32),
}

/// What text is drawn with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ink {
    pub(crate) colour: Colour,
    pub(crate) opacity: f32,
}

/// What a shape is filled with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Paint {
    Solid(Colour),
    /// A vertical gradient, from the shape's top to its bottom.
    Gradient(Vec<Stop>),
}

/// A colour at a position of a gradient. Between two stops, colour and opacity change linearly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stop {
    /// 0 at the top, 1 at the bottom.
    pub(crate) at: f32,
    pub(crate) colour: Colour,
    pub(crate) opacity: f32,
}

/// A closed shape.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) curves: Vec<OutlineCurve>,
    pub(crate) min: Point,
    pub(crate) max: Point,
}

/// Which corners of a rectangle are round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounded {
    None,
    Left,
    Right,
    All,
}

impl Shape {
    /// A rectangle between two corners.
    pub(crate) fn rectangle(min: (f32, f32), max: (f32, f32), radius: f32, rounded: Rounded) -> Shape {
        let left = if matches!(rounded, Rounded::Left | Rounded::All) { radius } else { 0.0 };
        let right = if matches!(rounded, Rounded::Right | Rounded::All) { radius } else { 0.0 };
        let corners = [(min.0, min.1, left), (max.0, min.1, right), (max.0, max.1, right), (min.0, max.1, left)];
        // Clockwise: each side has a direction, and a corner turns from one to the next.
        let directions = [(0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)];
        let mut path = Path::default();
        for (index, (x, y, radius)) in corners.into_iter().enumerate() {
            let (before, after) = (directions[index], directions[(index + 1) % 4]);
            path.line_to(point(x - before.0 * radius, y - before.1 * radius));
            if radius > 0.0 {
                path.corner_to(point(x, y), point(x + after.0 * radius, y + after.1 * radius));
            }
        }
        path.close()
    }

    /// A band from one side to the other: its upper edge between two points, and its height.
    pub(crate) fn band(left: (f32, f32), right: (f32, f32), height: f32) -> Shape {
        let mut path = Path::default();
        for (x, y) in [left, right, (right.0, right.1 + height), (left.0, left.1 + height)] {
            path.line_to(point(x, y));
        }
        path.close()
    }

    /// Whether this is an unrounded rectangle at whole pixels.
    pub(crate) fn is_pixel_aligned(&self) -> bool {
        let whole = |at: Point| at.x.fract() == 0.0 && at.y.fract() == 0.0;
        let straight = |curve: &OutlineCurve| matches!(curve, OutlineCurve::Line(a, z) if a.x == z.x || a.y == z.y);
        self.curves.len() <= 4 && whole(self.min) && whole(self.max) && self.curves.iter().all(straight)
    }

    /// Polygons that are filled as one shape. Those with fewer than three corners are left out.
    pub(crate) fn polygons<'p>(polygons: impl IntoIterator<Item = &'p [(f32, f32)]>) -> Shape {
        let mut path = Path::default();
        for corners in polygons.into_iter().filter(|corners| corners.len() >= 3) {
            path.move_on();
            for &(x, y) in corners {
                path.line_to(point(x, y));
            }
        }
        path.close()
    }
}

/// Builds a [`Shape`] from its outline.
#[derive(Default)]
struct Path {
    first: Option<Point>,
    at: Point,
    curves: Vec<OutlineCurve>,
}

impl Path {
    fn line_to(&mut self, to: Point) {
        if self.first.is_none() {
            self.first = Some(to);
        } else if self.at != to {
            self.curves.push(OutlineCurve::Line(self.at, to));
        }
        self.at = to;
    }

    /// Closes what is there. The next point begins another outline of the same shape.
    fn move_on(&mut self) {
        if let Some(first) = self.first {
            self.line_to(first);
        }
        self.first = None;
    }

    /// Adds a quarter of a circle around a corner.
    fn corner_to(&mut self, corner: Point, to: Point) {
        /// How far the control points of a cubic curve lie towards the corner, to approximate a circle best.
        const CONTROL: f32 = 0.552_285;
        let towards =
            |from: Point| point(from.x + (corner.x - from.x) * CONTROL, from.y + (corner.y - from.y) * CONTROL);
        self.curves.push(OutlineCurve::Cubic(self.at, towards(self.at), towards(to), to));
        self.at = to;
    }

    fn close(mut self) -> Shape {
        if let Some(first) = self.first {
            self.line_to(first);
        }
        let points = self.curves.iter().map(|curve| match *curve {
            OutlineCurve::Line(_, z) | OutlineCurve::Quad(_, _, z) | OutlineCurve::Cubic(_, _, _, z) => z,
        });
        let (mut min, mut max) = (self.at, self.at);
        for at in points {
            (min.x, min.y) = (min.x.min(at.x), min.y.min(at.y));
            (max.x, max.y) = (max.x.max(at.x), max.y.max(at.y));
        }
        Shape { curves: self.curves, min, max }
    }
}
