//! Bytes on the wire per frame of the default badge: 4 digits, 20 pixels high.

use headcount_drawing::{Artist, Figure, Format, Look};
use headcount_wire::Frame;

/// In bytes, with the headers of the next part.
const LARGEST_PNG_PART: usize = 400;
const LARGEST_JPEG_PART: usize = 1536;

/// Returns the sizes of the parts for all numbers of four digits, ascending.
fn part_sizes(format: Format) -> Vec<usize> {
    let (artist, look) = (Artist::new(), Look::default());
    let part_size = |number| {
        // Epochs are microseconds since 1970.
        let figure = Figure { epoch: 1_795_365_000_000_000, version: 12_345, ..Figure::of(number) };
        Frame::new(&artist.draw(&look, &figure, format), format.content_type()).bytes().len()
    };
    let mut sizes: Vec<usize> = (1000..10_000).map(part_size).collect();
    sizes.sort_unstable();
    sizes
}

#[test]
fn a_png_part_stays_within_400_bytes() {
    let sizes = part_sizes(Format::Png);
    println!("PNG part: median {} bytes, largest {}", sizes[sizes.len() / 2], sizes[sizes.len() - 1]);
    assert!(sizes[sizes.len() - 1] <= LARGEST_PNG_PART, "{} bytes", sizes[sizes.len() - 1]);
}

#[test]
fn a_jpeg_part_stays_within_one_and_a_half_kibibytes() {
    let sizes = part_sizes(Format::Jpeg);
    println!("JPEG part: median {} bytes, largest {}", sizes[sizes.len() / 2], sizes[sizes.len() - 1]);
    assert!(sizes[sizes.len() - 1] <= LARGEST_JPEG_PART, "{} bytes", sizes[sizes.len() - 1]);
}
