//! Properties of every picture, whatever its look.

use std::collections::HashMap;

use headcount_drawing::{Artist, Count, Figure, Format, Look, Stamp, Style, Writing, read_stamp};
use image::ImageFormat;
use proptest::prelude::*;

use crate::strategies::{figure, look};

/// Above the widest picture: 32 wide characters and 20 drums, 96 pixels high, at scale 3.
const WIDEST: u32 = 12_000;

fn artist() -> &'static Artist {
    static ARTIST: std::sync::LazyLock<Artist> = std::sync::LazyLock::new(Artist::new);
    &ARTIST
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_look_draws_any_figure(look in look(), figure in figure()) {
        prop_assert_eq!(artist().check(&look), Ok(()));
        let pixels = artist().pixels(&look, &figure);
        prop_assert_eq!(pixels.height(), look.height() * look.scale());
        prop_assert!(pixels.width().is_multiple_of(look.scale()) && (1..WIDEST).contains(&pixels.width()));

        let png = artist().draw(&look, &figure, Format::Png);
        let decoded = image::load_from_memory_with_format(&png, ImageFormat::Png).expect("a PNG");
        prop_assert!(decoded.into_rgba8() == pixels, "the PNG has other pixels");
        prop_assert!(png.windows(4).any(|name| name == b"PLTE"), "the PNG is not indexed");

        let jpeg = artist().draw(&look, &figure, Format::Jpeg);
        let decoded = image::load_from_memory_with_format(&jpeg, ImageFormat::Jpeg).expect("a JPEG").into_rgb8();
        prop_assert_eq!(decoded.dimensions(), pixels.dimensions());
        let off: u64 = decoded.pixels().zip(pixels.pixels()).map(|(jpeg, exact)| {
            let [red, green, blue, alpha] = exact.0.map(u64::from);
            let on_white = [red, green, blue].map(|channel| (channel * alpha + 255 * (255 - alpha)) / 255);
            jpeg.0.iter().zip(on_white).map(|(near, exact)| u64::from(*near).abs_diff(exact)).sum::<u64>()
        }).sum();
        let samples = u64::from(pixels.width() * pixels.height() * 3);
        prop_assert!(off < samples * 24, "the JPEG is off by {} on the average", off / samples);

        let svg = String::from_utf8(artist().draw(&look, &figure, Format::Svg)).expect("an SVG is UTF-8");
        let svg = roxmltree::Document::parse(&svg).expect("an SVG is XML");
        let root = svg.root_element();
        let length = |name| root.attribute(name).and_then(|value| value.parse::<u32>().ok());
        prop_assert_eq!((length("width"), length("height")), (Some(pixels.width()), Some(pixels.height())));
        prop_assert_eq!(root.attribute("role"), Some("img"));
        let alternative = look.alternative(&figure);
        prop_assert_eq!(root.attribute("aria-label"), Some(alternative.as_str()));
        let title = root.children().find(|child| child.has_tag_name("title")).and_then(|title| title.text());
        prop_assert_eq!(title, Some(alternative.as_str()));
    }

    #[test]
    fn the_stamp_reads_back_from_every_format(look in look(), figure in figure()) {
        let Figure { epoch, version, stale, .. } = figure;
        let expected = Stamp { count: look.count(&figure), epoch, version, stale };
        for format in Format::ALL {
            prop_assert_eq!(read_stamp(&artist().draw(&look, &figure, format)), Ok(expected));
        }
    }

    #[test]
    fn a_hidden_number_does_not_affect_the_bytes(look in look(), figure in figure(), bound in 1..=1000u64, other in any::<u64>()) {
        let hidden = Figure { number: figure.number % bound, fewer_than: Some(bound), ..figure };
        let other = Figure { number: other % bound, ..hidden };
        prop_assert!(look.text(&hidden).starts_with('<'));
        for format in Format::ALL {
            prop_assert!(artist().draw(&look, &hidden, format) == artist().draw(&look, &other, format));
        }
    }

    #[test]
    fn the_same_text_is_the_same_picture(look in look(), figure in figure(), step in prop_oneof![Just(0), 0..200u64]) {
        let next = Figure { number: figure.number.saturating_add(step), version: 1, ..figure };
        let same = artist().pixels(&look, &figure) == artist().pixels(&look, &next);
        prop_assert!(same || look.text(&figure) != look.text(&next));
        // Only text in the background's colour could hide a difference.
        prop_assert!(!same || look.text(&figure) == look.text(&next) || look.foreground().is_some());
    }

    #[test]
    fn the_width_depends_on_the_number_of_digits_alone(look in look(), digits in 1..=19u32, a: u64, b: u64) {
        prop_assume!(look.writing() != Writing::Compact && look.small() == 0);
        let least = 10_u64.pow(digits - 1);
        let width = |number: u64| artist().pixels(&look, &Figure::of(least + number % (9 * least))).width();
        prop_assert_eq!(width(a), width(b));
    }

    #[test]
    fn a_stale_number_is_struck_out_in_a_picture_of_the_same_size(look in look(), figure in figure()) {
        let live = artist().pixels(&look, &Figure { stale: false, ..figure });
        let marked = artist().pixels(&look, &Figure { stale: true, ..figure });
        prop_assert_eq!(live.dimensions(), marked.dimensions());
        let height = live.height();
        if look.style() == Style::Odometer {
            prop_assert!(has_rising_line(&live, &marked));
            return Ok(());
        }
        if look.style() == Style::Chart {
            // The number is at the top, and has a line through its middle.
            let scale = look.scale();
            let is_struck = |row: u32| {
                let row: Vec<_> = (0..marked.width()).map(|x| (live.get_pixel(x, row), marked.get_pixel(x, row))).collect();
                row.chunk_by(|one, next| one.1 == next.1).any(|run| {
                    let standing_out = run.iter().filter(|(live, marked)| stands_out(live, marked)).count() as u32;
                    run.len() as u32 >= 10 * scale && standing_out >= 3 * scale
                })
            };
            prop_assert!((8 * scale..height / 3).any(is_struck));
            return Ok(());
        }
        // A row below the middle holds a line of one colour. It stands out from what is there in the live picture, except where
        // it crosses strokes of digits.
        let is_struck = |row: u32| {
            let pixels: Vec<_> = (0..marked.width()).map(|x| (live.get_pixel(x, row), marked.get_pixel(x, row))).collect();
            pixels.chunk_by(|one, next| one.1 == next.1).any(|run| {
                let standing_out = run.iter().filter(|(live, marked)| stands_out(live, marked)).count();
                run.len() as u32 >= height / 4 && standing_out as u32 >= height / 10
            })
        };
        prop_assert!((height / 2..height * 3 / 5).any(is_struck));
    }
}

/// Whether there is a line in the marked picture that rises from its first column to its last, and is new there. Its ends
/// have its colour; in between it lies between the pixels at some heights, so that its colour is a little different in each.
fn has_rising_line(live: &image::RgbaImage, marked: &image::RgbaImage) -> bool {
    let mut new: HashMap<_, Vec<(u32, u32)>> = HashMap::new();
    for (x, y, pixel) in marked.enumerate_pixels().filter(|(x, y, pixel)| stands_out(live.get_pixel(*x, *y), pixel)) {
        new.entry(pixel.0).or_default().push((x, y));
    }
    let all: Vec<_> = new.values().flatten().copied().collect();
    new.into_values().any(|at| {
        let (first, last) = (at.iter().min().expect("a pixel"), at.iter().max().expect("a pixel"));
        let (width, rise) = (last.0 - first.0, first.1.saturating_sub(last.1));
        if rise < live.height() / 3 {
            return false;
        }
        let on_the_line = all.iter().filter(|(x, y)| {
            let expected =
                f64::from(first.1) - f64::from(rise) * (f64::from(*x) - f64::from(first.0)) / f64::from(width);
            (first.0..=last.0).contains(x) && (f64::from(*y) - expected).abs() <= f64::from(live.height()) / 12.0
        });
        let mut columns: Vec<_> = on_the_line.map(|(x, _)| *x).collect();
        columns.sort_unstable();
        columns.dedup();
        // Where it crosses strokes of digits, it may not stand out.
        columns.len() as u32 >= width / 3
    })
}

/// Whether two pixels differ much, in any channel.
fn stands_out(one: &image::Rgba<u8>, other: &image::Rgba<u8>) -> bool {
    one.0.iter().zip(other.0).any(|(one, other)| one.abs_diff(other) >= 48)
}

#[test]
fn drawing_is_deterministic() {
    let look = Look::from_query("label=again&style=odometer&scale=2").expect("good options");
    let figure = Figure::of(1234);
    let first = Artist::new().draw(&look, &figure, Format::Png);
    for _ in 0..3 {
        assert_eq!(artist().draw(&look, &figure, Format::Png), first);
    }
}

#[test]
fn the_alternative_text_has_label_number_and_staleness() {
    let look = Look::from_query("label=a+%3C+b&small=5&format=grouped").expect("good options");
    let stale = Figure { stale: true, ..Figure::of(12345) };
    assert_eq!(look.alternative(&stale), "a < b: 12,345 (not up to date)");
    assert_eq!(look.alternative(&Figure::of(3)), "a < b: fewer than 5");
    let drums = Look::of_style(Style::Odometer);
    assert_eq!(drums.text(&Figure::of(42)), "00042");
    assert_eq!(drums.alternative(&Figure::of(42)), "42");
}

#[test]
fn small_numbers_are_hidden_by_the_look_or_the_figure() {
    let look = Look::from_query("small=5").expect("a good option");
    let hidden_below_10 = Figure { fewer_than: Some(10), ..Figure::of(3) };
    assert_eq!(look.count(&Figure::of(4)), Count::FewerThan(5));
    assert_eq!(look.count(&Figure::of(5)), Count::Exactly(5));
    assert_eq!(look.count(&hidden_below_10), Count::FewerThan(10));
    assert_eq!(Look::default().count(&hidden_below_10), Count::FewerThan(10));
    assert_eq!(Look::default().text(&hidden_below_10), "<10");
}

#[test]
fn grey_looks_give_grey_jpegs() {
    let components = |query: &str| {
        let look = Look::from_query(query).expect("good options");
        let jpeg = artist().draw(&look, &Figure::of(1), Format::Jpeg);
        image::load_from_memory_with_format(&jpeg, ImageFormat::Jpeg).expect("a JPEG").color().channel_count()
    };
    assert_eq!(components("style=plain&fg=333"), 1);
    assert_eq!(components(""), 3);
}
