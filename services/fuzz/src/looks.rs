//! Fuzz target: options of a look, and its pictures.

use std::{io::Cursor, sync::LazyLock};

use headcount_drawing::{Artist, Figure, Format, Look, OPTIONS, read_stamp};

/// Widest picture, in multiples of its height: a spark of 1,200 pixels that is 12 high. 32 characters of label and 26 of a number
/// are less, as none is wider than the height.
const WIDEST: u32 = 100;
/// Largest encoded picture, in bytes.
const LARGEST: usize = 1 << 20;

static ARTIST: LazyLock<Artist> = LazyLock::new(Artist::new);

/// Parses the first line as a look's query, and the rest as a byte of flags and a number of up to eight bytes. Checks that an
/// accepted look has a canonical query that is accepted too, and that its pictures stay within the bounds in every format,
/// each with a stamp that states what the picture shows.
pub fn looks(bytes: &[u8]) {
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    // hyper accepts only ASCII and UTF-8 in a query.
    let Ok(query) = std::str::from_utf8(&bytes[..end]) else { return };
    let look = match Look::from_query(query) {
        Ok(look) => look,
        Err(error) => {
            let sentence = error.to_string();
            assert!(!sentence.is_empty() && sentence.len() < 400, "{sentence:?}");
            return;
        }
    };
    assert_eq!(Look::from_query(&look.query()).as_ref(), Ok(&look), "{query:?}");
    assert!(look.query().is_ascii() && look.query().len() < 1024, "{:?}", look.query());
    assert!(look.values().len() <= OPTIONS.len());
    if ARTIST.check(&look).is_ok() {
        draw(&look, &figure(bytes.get(end + 1..).unwrap_or_default()));
    }
}

fn figure(bytes: &[u8]) -> Figure {
    let (flags, number) = bytes.split_first().unwrap_or((&0, &[]));
    let number = number.iter().take(8).fold(0, |number, &byte| number << 8 | u64::from(byte));
    let fewer_than = (flags & 2 != 0).then_some(u64::from(*flags) * 4);
    Figure { number, epoch: u64::MAX, version: number, stale: flags & 1 != 0, fewer_than }
}

fn draw(look: &Look, figure: &Figure) {
    let height = look.height() * look.scale();
    let count = look.count(figure);
    for format in [Format::Png, Format::Jpeg, Format::Svg] {
        let picture = ARTIST.draw(look, figure, format);
        assert!(picture.len() <= LARGEST, "{look:?}: {} bytes", picture.len());
        let stamp = read_stamp(&picture).expect("every picture has a stamp");
        assert_eq!((stamp.count, stamp.stale, stamp.version), (count, figure.stale, figure.version), "{look:?}");
        match format {
            Format::Png => {
                let reader = png::Decoder::new(Cursor::new(&picture)).read_info().expect("a PNG");
                let info = reader.info();
                assert_eq!(info.height, height, "{look:?}");
                assert!(info.width >= 1 && info.width <= height * WIDEST, "{look:?}: {} wide", info.width);
            }
            Format::Svg => {
                let text = std::str::from_utf8(&picture).expect("text");
                let document = roxmltree::Document::parse(text).expect("XML");
                assert_eq!(document.root_element().tag_name().name(), "svg");
            }
            Format::Jpeg => assert!(picture.starts_with(&[0xff, 0xd8]) && picture.ends_with(&[0xff, 0xd9]), "{look:?}"),
        }
    }
    let words = look.alternative(figure);
    assert!(words.len() < 400, "{words:?}");
}
