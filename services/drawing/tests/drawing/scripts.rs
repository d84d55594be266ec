//! Labels in many scripts, and fonts from files.

use headcount_drawing::{Artist, Figure, FontError, Look, LookError};
use image::RgbaImage;

fn labelled(artist: &Artist, label: &str) -> RgbaImage {
    let look = Look::from_query(&format!("label={label}")).expect("a good label");
    assert_eq!(artist.check(&look), Ok(()), "{label}");
    artist.pixels(&look, &Figure::of(1))
}

#[test]
fn labels_are_drawn_in_many_scripts() {
    let artist = Artist::new();
    let blank = labelled(&artist, "");
    for label in [
        "online",
        "en ligne",
        "på nett",
        "çevrimiçi",
        "włączony",
        "trực tuyến",
        "онлайн",
        "на линии",
        "σε σύνδεση",
        "առցանց",
        "ონლაინ",
        "מחוברים",
        "متصل الآن",
        "ອອນລາຍ",
        "👀 watching",
        "❤ fans",
        "→ ★ ½ ∞",
    ] {
        assert!(labelled(&artist, label).width() > blank.width() + 10, "{label}");
    }
}

#[test]
fn a_missing_character_is_reported() {
    let artist = Artist::new();
    let look = Look::from_query("label=now 在线").expect("a good label");
    let error = artist.check(&look).expect_err("no font has Chinese");
    assert_eq!(error, LookError::Character('在'));
    let sentence = "the label's character '在' (U+5728) cannot be drawn: allowed are the characters of the font";
    assert_eq!(error.to_string(), sentence);
    artist.pixels(&look, &Figure::of(1));
}

#[test]
fn combining_marks_equal_precomposed_characters() {
    let artist = Artist::new();
    assert!(labelled(&artist, "caf\u{e9} \u{439}") == labelled(&artist, "cafe\u{301} \u{438}\u{306}"));
}

#[test]
fn a_font_file_precedes_the_built_in_fonts() {
    let serif = Artist::with_font(dejavu::serif::regular().to_vec()).expect("a font");
    let built_in = Artist::new();
    assert!(labelled(&serif, "online") != labelled(&built_in, "online"));
    // DejaVu Serif has no Hebrew.
    let look = Look::from_query("label=אבג").expect("a good label");
    assert_eq!(serif.check(&look), Ok(()));
}

#[test]
fn invalid_fonts_are_rejected() {
    assert_eq!(Artist::with_font(Vec::new()).err(), Some(FontError::Malformed));
    assert_eq!(Artist::with_font(b"OTTO and nothing more".to_vec()).err(), Some(FontError::Malformed));
    let without_digits = epaint_default_fonts::EMOJI_ICON.to_vec();
    assert!(matches!(Artist::with_font(without_digits).err(), Some(FontError::Digit('0'))));
}
