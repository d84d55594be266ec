//! [`Animation`]: a number that changes, as pages show it to their readers, in one animated PNG.

use std::time::Duration;

use ::png::{BlendOp, ColorType, Compression, DisposeOp, Encoder};
use image::{Rgba, RgbaImage, imageops};

use crate::{Artist, Figure, Look};

/// A page's least width and its height, in CSS pixels.
const PAGE: (u32, u32) = (200, 104);
/// Height of a page's bar.
const BAR: u32 = 18;
/// Space between two pages.
const GAP: u32 = 12;
/// Space between the number and the edges of its page.
const MARGIN: u32 = 16;
/// Radius of a page's corners.
const CORNER: f32 = 6.0;
/// Thickness of lines of text, and their shares of the page's width.
const LINE: u32 = 5;
const LINES: [f32; 3] = [0.82, 0.66, 0.74];

const EDGE: Rgba<u8> = Rgba([0xc4, 0xcb, 0xd3, 255]);
const CHROME: Rgba<u8> = Rgba([0xe9, 0xed, 0xf1, 255]);
const PAPER: Rgba<u8> = Rgba([255, 255, 255, 255]);
const TEXT: Rgba<u8> = Rgba([0xdd, 0xe2, 0xe7, 255]);

/// A number that changes, as it is drawn into one animated PNG that repeats for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Animation {
    /// The numbers, one a frame. At least one.
    pub numbers: Vec<u64>,
    /// How long each frame is shown, up to 65 s; it is rounded to milliseconds.
    pub frame_time: Duration,
    /// How many pages show the number beside one another; 0 draws it alone. Of the viewers, at most these are in the picture:
    /// where the number is 1, the first page is there and the others are not.
    pub pages: u32,
}

impl Artist {
    /// Draws an animation in a look. Programs that know only PNG show its first frame.
    ///
    /// # Panics
    /// If there is no number.
    pub fn animate(&self, look: &Look, animation: &Animation) -> Vec<u8> {
        let frames = self.animation_frames(look, animation);
        let (width, height) = frames.first().expect("an animation has a number").dimensions();
        let mut bytes = Vec::new();
        let mut written = || -> Result<(), ::png::EncodingError> {
            let mut encoder = Encoder::new(&mut bytes, width, height);
            encoder.set_color(ColorType::Rgba);
            encoder.set_compression(Compression::High);
            encoder.set_animated(frames.len() as u32, 0)?;
            encoder.set_frame_delay(u16::try_from(animation.frame_time.as_millis()).unwrap_or(u16::MAX), 1000)?;
            encoder.set_blend_op(BlendOp::Source)?;
            encoder.set_dispose_op(DisposeOp::None)?;
            let mut writer = encoder.write_header()?;
            let mut before: Option<&RgbaImage> = None;
            for frame in &frames {
                let (x, y, width, height) = before.map_or((0, 0, width, height), |before| difference(before, frame));
                // In this order: a smaller part at the origin fits wherever the last one was.
                writer.reset_frame_position()?;
                writer.set_frame_dimension(width, height)?;
                writer.set_frame_position(x, y)?;
                writer.write_image_data(imageops::crop_imm(frame, x, y, width, height).to_image().as_raw())?;
                before = Some(frame);
            }
            writer.finish()
        };
        written().expect("frames are within the picture, and writing to a Vec cannot fail");
        bytes
    }

    /// Draws the pixels of each frame, all of one size.
    pub fn animation_frames(&self, look: &Look, Animation { numbers, pages, .. }: &Animation) -> Vec<RgbaImage> {
        let pictures: Vec<_> = numbers
            .iter()
            .map(|&number| {
                let fewer_than = (number < look.small()).then_some(look.small());
                self.pixels(look, &Figure { number, epoch: 0, version: 0, stale: false, fewer_than })
            })
            .collect();
        let widest = pictures.iter().map(RgbaImage::width).max().unwrap_or(1);
        let highest = pictures.iter().map(RgbaImage::height).max().unwrap_or(1);
        let frame = |(picture, number): (&RgbaImage, &u64)| match *pages {
            0 => {
                let mut frame = RgbaImage::new(widest, highest);
                imageops::replace(&mut frame, picture, 0, 0);
                frame
            }
            pages => Pages { scale: look.scale(), widest, highest }.draw(picture, pages, *number),
        };
        pictures.iter().zip(numbers).map(frame).collect()
    }
}

/// Draws pages, all in device pixels.
struct Pages {
    scale: u32,
    /// The largest width and height of a number's picture.
    widest: u32,
    highest: u32,
}

impl Pages {
    /// Draws so many pages with a picture in each, of which at most `viewers` are there.
    fn draw(&self, picture: &RgbaImage, pages: u32, viewers: u64) -> RgbaImage {
        let (gap, page) = (GAP * self.scale, (self.width(), self.height()));
        let mut frame = RgbaImage::new(pages * (page.0 + gap) - gap, page.1);
        for left in (0..pages).take_while(|page| u64::from(*page) < viewers).map(|number| number * (page.0 + gap)) {
            self.page(&mut frame, left);
            let number_left = left + (page.0 - picture.width()) / 2;
            imageops::overlay(&mut frame, picture, number_left.into(), self.number_top().into());
        }
        frame
    }

    fn width(&self) -> u32 {
        (PAGE.0 * self.scale).max(self.widest + 2 * MARGIN * self.scale)
    }

    fn number_top(&self) -> u32 {
        (BAR + MARGIN) * self.scale
    }

    fn height(&self) -> u32 {
        (PAGE.1 * self.scale).max(self.number_top() + self.highest + 4 * MARGIN * self.scale)
    }

    /// A window with a bar, three buttons and some lines of text.
    fn page(&self, frame: &mut RgbaImage, left: u32) {
        let (scale, width, height) = (self.scale, self.width(), self.height());
        let corner = CORNER * scale as f32;
        let area = Area { left, top: 0, width, height };
        rounded(frame, area, corner, EDGE);
        rounded(frame, area.inset(scale), corner - scale as f32, PAPER);
        let bar = Area { left: left + scale, top: scale, width: width - 2 * scale, height: BAR * scale };
        // Square at its lower corners: the lower half is filled again.
        rounded(frame, bar, corner - scale as f32, CHROME);
        rounded(frame, Area { top: bar.top + bar.height / 2, height: bar.height - bar.height / 2, ..bar }, 0.0, CHROME);
        for button in 0..3 {
            let size = 6 * scale;
            let area = Area { left: left + (8 + 10 * button) * scale, top: 7 * scale, width: size, height: size };
            rounded(frame, area, size as f32 / 2.0, EDGE);
        }
        let text = width - 2 * MARGIN * scale;
        let mut top = self.number_top() + self.highest + MARGIN * scale * 3 / 4;
        for share in LINES {
            let area =
                Area { left: left + MARGIN * scale, top, width: (text as f32 * share) as u32, height: LINE * scale };
            rounded(frame, area, LINE as f32 * scale as f32 / 2.0, TEXT);
            top += 2 * LINE * scale;
        }
    }
}

#[derive(Clone, Copy)]
struct Area {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

impl Area {
    fn inset(self, by: u32) -> Area {
        Area { left: self.left + by, top: self.top + by, width: self.width - 2 * by, height: self.height - 2 * by }
    }
}

/// Fills a rectangle with round corners.
fn rounded(frame: &mut RgbaImage, area: Area, radius: f32, colour: Rgba<u8>) {
    let half = (area.width as f32 / 2.0, area.height as f32 / 2.0);
    let mut layer = RgbaImage::new(area.width, area.height);
    for (x, y, pixel) in layer.enumerate_pixels_mut() {
        // The signed distance of the pixel's centre from the edge.
        let across = (x as f32 + 0.5 - half.0).abs() - half.0 + radius;
        let down = (y as f32 + 0.5 - half.1).abs() - half.1 + radius;
        let distance = across.max(0.0).hypot(down.max(0.0)) + across.max(down).min(0.0) - radius;
        let coverage = (0.5 - distance).clamp(0.0, 1.0);
        *pixel = Rgba([colour[0], colour[1], colour[2], (f32::from(colour[3]) * coverage).round() as u8]);
    }
    imageops::overlay(frame, &layer, area.left.into(), area.top.into());
}

/// The smallest part in which two pictures of one size differ, as left, top, width and height: one pixel if they are equal,
/// because a frame cannot be empty.
fn difference(before: &RgbaImage, after: &RgbaImage) -> (u32, u32, u32, u32) {
    let differing = before.enumerate_pixels().zip(after.pixels()).filter(|((_, _, a), b)| a != b);
    let area = differing.map(|((x, y, _), _)| (x, y)).fold(None, |area, (x, y)| {
        let (left, top, right, bottom) = area.unwrap_or((x, y, x, y));
        Some((left.min(x), top.min(y), right.max(x), bottom.max(y)))
    });
    area.map_or((0, 0, 1, 1), |(left, top, right, bottom)| (left, top, right - left + 1, bottom - top + 1))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// The frames of an animated PNG, each in full.
    fn decoded(bytes: &[u8]) -> Vec<RgbaImage> {
        let mut reader = ::png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
        let control = *reader.info().animation_control().unwrap();
        assert_eq!(control.num_plays, 0);
        let mut shown = RgbaImage::new(reader.info().width, reader.info().height);
        let mut frames = Vec::new();
        for _ in 0..control.num_frames {
            let mut buffer = vec![0; reader.output_buffer_size().unwrap()];
            let part = reader.next_frame(&mut buffer).unwrap();
            let at = *reader.info().frame_control().unwrap();
            assert_eq!((at.delay_num, at.delay_den), (1500, 1000));
            buffer.truncate(part.buffer_size());
            let part = RgbaImage::from_raw(part.width, part.height, buffer).unwrap();
            imageops::replace(&mut shown, &part, at.x_offset.into(), at.y_offset.into());
            frames.push(shown.clone());
        }
        frames
    }

    #[test]
    fn what_is_decoded_is_what_was_drawn() {
        let (artist, look) = (Artist::new(), Look::from_query("scale=2").unwrap());
        for pages in [0, 1, 2] {
            let frame_time = Duration::from_millis(1_500);
            let animation = Animation { numbers: vec![1, 2, 100, 100, 0, 1], frame_time, pages };
            let frames = artist.animation_frames(&look, &animation);
            assert_eq!(decoded(&artist.animate(&look, &animation)), frames, "{pages} pages");
            assert_ne!(frames[0], frames[1]);
            assert_eq!(frames[2], frames[3]);
        }
    }

    #[test]
    fn a_page_is_there_for_each_viewer() {
        let animation = Animation { numbers: vec![0, 1, 2, 9], frame_time: Duration::from_secs(1), pages: 2 };
        let frames = Artist::new().animation_frames(&Look::default(), &animation);
        let has_page = |frame: &RgbaImage, x: u32| frame.get_pixel(x, frame.height() / 2)[3] > 0;
        let there: Vec<_> = frames.iter().map(|it| (has_page(it, 20), has_page(it, it.width() - 20))).collect();
        assert_eq!(there, [(false, false), (true, false), (true, true), (true, true)]);
    }

    #[test]
    fn every_page_shows_the_number_that_is_drawn_alone() {
        let (artist, look) = (Artist::new(), Look::default());
        let animation = Animation { numbers: vec![1234], frame_time: Duration::from_secs(1), pages: 2 };
        let frame = &artist.animation_frames(&look, &animation)[0];
        let figure = Figure { number: 1234, epoch: 0, version: 0, stale: false, fewer_than: None };
        let badge = artist.pixels(&look, &figure);
        let page = frame.width() - (frame.width() - GAP) / 2;
        for left in [0, page] {
            let (x, y) = (left + ((frame.width() - GAP) / 2 - badge.width()) / 2, BAR + MARGIN);
            let part = imageops::crop_imm(frame, x, y, badge.width(), badge.height()).to_image();
            let opaque = |(a, b): (&Rgba<u8>, &Rgba<u8>)| a[3] < 255 || a == b;
            assert!(badge.pixels().zip(part.pixels()).all(opaque), "at {left}");
        }
    }
}
