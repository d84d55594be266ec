//! Bytes on the wire per frame of the default badge: 4 digits, 20 pixels high.

use headcount_drawing::{Artist, Figure, Format, Look};
use headcount_wire::Part;

/// In bytes, with the headers of the next part.
const LARGEST_PNG_PART: usize = 400;
/// Of a marked picture: its stamp has a word more, and its line a colour. A stream has few of them.
const LARGEST_MARKED_PNG_PART: usize = 410;
const LARGEST_JPEG_PART: usize = 1536;

/// Returns the sizes of the parts for all numbers of four digits, ascending.
fn part_sizes(format: Format, stale: bool) -> Vec<usize> {
    let (artist, look) = (Artist::new(), Look::default());
    let part_size = |number| {
        // Epochs are microseconds since 1970.
        let figure = Figure { epoch: 1_795_365_000_000_000, version: 12_345, stale, ..Figure::of(number) };
        Part::new(&artist.draw(&look, &figure, format), format.content_type()).bytes().len()
    };
    let mut sizes: Vec<usize> = (1000..10_000).map(part_size).collect();
    sizes.sort_unstable();
    sizes
}

fn check(format: Format, stale: bool, most: usize) {
    let sizes = part_sizes(format, stale);
    let (median, largest) = (sizes[sizes.len() / 2], sizes[sizes.len() - 1]);
    println!("{format:?} part, stale {stale}: median {median} bytes, largest {largest}");
    assert!(largest <= most, "{largest} bytes");
}

#[test]
fn a_png_part_stays_within_400_bytes() {
    check(Format::Png, false, LARGEST_PNG_PART);
    check(Format::Png, true, LARGEST_MARKED_PNG_PART);
}

#[test]
fn a_jpeg_part_stays_within_one_and_a_half_kibibytes() {
    check(Format::Jpeg, false, LARGEST_JPEG_PART);
    check(Format::Jpeg, true, LARGEST_JPEG_PART);
}
