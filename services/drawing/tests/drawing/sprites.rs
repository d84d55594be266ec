//! Sets of sprites from folders.

use std::{fs, path::Path};

use headcount_drawing::{Artist, Figure, Format, Look, LookError, SetName, SpriteSets, read_stamp};
use image::{ImageFormat, Rgba, RgbaImage};
use tempfile::TempDir;

/// The sprite of a digit: a square of its own colour, on nothing.
fn digit(digit: u8, width: u32, height: u32) -> RgbaImage {
    RgbaImage::from_fn(width, height, |x, y| {
        let is_inside = (1..width - 1).contains(&x) && (1..height - 1).contains(&y);
        if is_inside { Rgba([250 - 20 * digit, 20 * digit, 90, 255]) } else { Rgba([0; 4]) }
    })
}

fn save(folder: &Path, name: &str, image: &RgbaImage, format: ImageFormat) {
    fs::create_dir_all(folder).expect("the folder is writable");
    let image = image::DynamicImage::ImageRgba8(image.clone());
    let opaque = format == ImageFormat::Jpeg;
    let image = if opaque { image.into_rgb8().into() } else { image };
    image.save_with_format(folder.join(name), format).expect("the folder is writable");
}

/// A folder with a set of each format that is accepted.
fn sets() -> TempDir {
    let folder = tempfile::tempdir().expect("the folder is writable");
    for (name, extension, format) in [
        ("pngs", "png", ImageFormat::Png),
        ("gifs", "gif", ImageFormat::Gif),
        ("jpegs", "JPG", ImageFormat::Jpeg),
        ("webps", "webp", ImageFormat::WebP),
    ] {
        for number in 0..10 {
            save(&folder.path().join(name), &format!("{number}.{extension}"), &digit(number, 18, 40), format);
        }
    }
    // What is no sprite is left alone.
    fs::write(folder.path().join("README.md"), "sets").expect("the folder is writable");
    fs::write(folder.path().join("pngs/LICENSE"), "ours").expect("the folder is writable");
    fs::create_dir(folder.path().join(".git")).expect("the folder is writable");
    folder
}

fn mistakes(folder: &Path) -> Vec<String> {
    let errors = SpriteSets::read(folder).expect_err("something is wrong");
    errors.iter().map(str::to_owned).collect()
}

#[test]
fn sets_of_every_format_are_drawn() {
    let folder = sets();
    let read = SpriteSets::read(folder.path()).expect("nothing is wrong");
    let names: Vec<&str> = read.names().map(SetName::as_str).collect();
    assert_eq!(names, ["gifs", "jpegs", "nixie", "pngs", "webps"]);
    let artist = Artist::new().with_sprites(read);
    for name in ["gifs", "jpegs", "pngs", "webps"] {
        let look = Look::from_query(&format!("style=sprites&set={name}&height=40")).unwrap();
        artist.check(&look).unwrap();
        let figure = Figure { version: 7, ..Figure::of(13_579) };
        let pixels = artist.pixels(&look, &figure);
        assert_eq!(pixels.dimensions(), (5 * 18, 40), "{name}");
        for (place, shown) in [1, 3, 5, 7, 9].into_iter().enumerate() {
            let expected = digit(shown, 18, 40);
            let (drawn, expected) = (pixels.get_pixel(place as u32 * 18 + 9, 20), expected.get_pixel(9, 20));
            let off: u8 = drawn.0.iter().zip(expected.0).map(|(one, other)| one.abs_diff(other)).max().unwrap();
            assert!(off <= 12, "{name}: {drawn:?} is not {expected:?}");
        }
        for format in Format::ALL {
            assert_eq!(read_stamp(&artist.draw(&look, &figure, format)).unwrap().version, 7, "{name} {format:?}");
        }
    }
}

#[test]
fn a_set_that_is_not_there_is_an_error_and_draws_as_the_built_in_one() {
    let artist = Artist::new();
    let look = Look::from_query("style=sprites&set=cats").unwrap();
    let error = artist.check(&look).expect_err("there are no cats");
    assert!(matches!(error, LookError::Set { .. }));
    assert_eq!(error.to_string(), "set=\"cats\" is not allowed: the sets of sprites here are nixie");
    let built_in = Look::from_query("style=sprites").unwrap();
    assert!(artist.pixels(&look, &Figure::of(42)) == artist.pixels(&built_in, &Figure::of(42)));
    // In any other style it does not matter.
    assert_eq!(artist.check(&Look::from_query("set=cats").unwrap()), Ok(()));
}

#[test]
fn a_folders_set_takes_the_place_of_the_built_in_one() {
    let folder = sets();
    fs::rename(folder.path().join("pngs"), folder.path().join("nixie")).unwrap();
    let artist = Artist::new().with_sprites(SpriteSets::read(folder.path()).unwrap());
    let look = Look::from_query("style=sprites&height=40").unwrap();
    assert_eq!(artist.pixels(&look, &Figure::of(1)).get_pixel(9, 20), digit(0, 18, 40).get_pixel(9, 20));
}

#[test]
fn narrow_digits_stand_in_the_middle_and_fonts_draw_what_a_set_lacks() {
    let folder = sets();
    save(&folder.path().join("pngs"), "1.png", &digit(1, 8, 40), ImageFormat::Png);
    let artist = Artist::new().with_sprites(SpriteSets::read(folder.path()).unwrap());
    let look = |query: &str| Look::from_query(&format!("style=sprites&set=pngs&height=40{query}")).unwrap();
    let pixels = artist.pixels(&look(""), &Figure::of(11_111));
    assert_eq!(pixels.width(), 5 * 18);
    assert_eq!((pixels.get_pixel(4, 20).0[3], pixels.get_pixel(9, 20).0[3]), (0, 255));
    let grouped = artist.pixels(&look("&format=grouped&fg=red"), &Figure::of(11_111));
    let red = grouped.enumerate_pixels().filter(|(_, _, pixel)| pixel.0 == [255, 0, 0, 255]).map(|(x, _, _)| x);
    let columns: Vec<u32> = red.collect();
    assert!(grouped.width() > pixels.width() && columns.iter().all(|x| (36..36 + 18).contains(x)), "{columns:?}");
    assert!(!columns.is_empty());
}

#[test]
fn a_marked_picture_is_grey_with_a_line() {
    let artist = Artist::new();
    let look = Look::from_query("style=sprites&height=48").unwrap();
    let marked = artist.pixels(&look, &Figure { stale: true, ..Figure::of(1234) });
    assert!(marked.pixels().all(|pixel| pixel.0[0] == pixel.0[1] && pixel.0[1] == pixel.0[2]));
    for colour in [0, 255] {
        let line = (0..48)
            .filter(|row| (0..marked.width()).all(|x| marked.get_pixel(x, *row).0 == [colour, colour, colour, 255]));
        assert!(line.count() >= 2, "no line of {colour}");
    }
}

#[test]
fn everything_that_is_wrong_is_listed() {
    let folder = sets();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("pngs/3.png"), "no picture").unwrap();
    fs::remove_file(path("pngs/7.png")).unwrap();
    fs::remove_file(path("pngs/9.png")).unwrap();
    fs::copy(path("gifs/5.gif"), path("pngs/5.gif")).unwrap();
    save(&path("gifs"), "4.gif", &digit(4, 18, 41), ImageFormat::Gif);
    save(&path("gifs"), "comma.png", &digit(4, 18, 7), ImageFormat::Png);
    save(&path("jpegs"), "8.JPG", &digit(4, 90, 40), ImageFormat::Jpeg);
    save(&path("jpegs"), "9.JPG", &digit(4, 200, 513), ImageFormat::Jpeg);
    fs::write(path("webps/0.webp"), vec![0; 300 << 10]).unwrap();
    fs::remove_file(path("webps/1.webp")).unwrap();
    fs::create_dir(path("webps/1.png")).unwrap();
    fs::write(path("webps/2.webp"), &fs::read(path("gifs/2.gif")).unwrap()[..40]).unwrap();
    fs::write(path("webps/3.webp"), "<svg xmlns='http://www.w3.org/2000/svg'/>").unwrap();
    fs::create_dir(path("Bad name")).unwrap();
    fs::write(path("0.png"), "").unwrap();
    let mistakes = mistakes(folder.path());
    let expected = [
        "\"0.png\" is in no set: 0 belongs into a folder with the set's name",
        "the folder \"Bad name\" cannot name a set, which has a name of up to 32 lower-case letters, digits, dashes and \
         underscores",
        "gifs/comma.png is 18 pixels wide and 7 high: the height must be from 8 to 512, the width at most 512 and 2 times the \
         height",
        "gifs/4.gif is 41 pixels high, and gifs/0.gif 40: all of a set must be equally high",
        "jpegs/8.JPG is 90 pixels wide and 40 high: the height",
        "jpegs/9.JPG is 200 pixels wide and 513 high: the height",
        "pngs/3.png is no PNG, GIF, JPEG or WebP picture",
        "pngs/5.png and pngs/5.gif are the same sprite: one of them must go",
        "pngs lacks 7, 9: a set has a picture of each digit, as 0.png",
        "webps/0.webp is larger than 256 KiB",
        "webps/1.png is no file",
        "webps/2.webp cannot be decoded: ",
        "webps/3.webp is no PNG, GIF, JPEG or WebP picture",
    ];
    for (mistake, expected) in mistakes.iter().zip(expected) {
        assert!(mistake.starts_with(expected), "{mistake:?} is not {expected:?}");
    }
    assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
}

#[test]
fn folders_that_hold_no_sets_are_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let none = "it has no set: put the pictures 0 to 9 of a set into a folder with the set's name";
    assert_eq!(mistakes(folder.path()), [none]);
    assert!(mistakes(&folder.path().join("none"))[0].starts_with("it cannot be read: No such file"));
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(mistakes(&file)[0].starts_with("it cannot be read: Not a directory"));
    for set in 0..70 {
        fs::create_dir(folder.path().join(format!("set-{set}"))).unwrap();
    }
    let mistakes = mistakes(folder.path());
    assert_eq!(mistakes.len(), 51, "{mistakes:?}");
    assert!(mistakes[0].starts_with("set-0 lacks 0, 1, 2, 3, 4, 5, 6, 7, 8, 9: "));
}

#[test]
fn all_sets_together_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let large = digit(1, 500, 500);
    save(folder.path(), "large.png", &large, ImageFormat::Png);
    for set in 0..8 {
        let set = folder.path().join(format!("large-{set}"));
        fs::create_dir(&set).unwrap();
        for digit in 0..10 {
            fs::hard_link(folder.path().join("large.png"), set.join(format!("{digit}.png"))).unwrap();
        }
    }
    assert_eq!(mistakes(folder.path()), ["its sets have more than 64 MiB of pixels: make them fewer or smaller"]);
}

#[test]
fn a_documents_digits_stay_small_whatever_the_set() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = 1_u32;
    let mut noise = |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Rgba([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8, 255])
    };
    for number in 0..10 {
        let image = RgbaImage::from_fn(120, 120, &mut noise);
        save(&folder.path().join("noise"), &format!("{number}.png"), &image, ImageFormat::Png);
    }
    let artist = Artist::new().with_sprites(SpriteSets::read(folder.path()).unwrap());
    for (query, least) in [("style=sprites", 4_000), ("style=sprites&set=noise", 15_000)] {
        let (_, set) = artist.set_of(&Look::from_query(query).unwrap()).expect("a set");
        let bytes = set.digits_png().len();
        println!("{query}: {bytes} bytes");
        assert!((least..=40 << 10).contains(&bytes), "{bytes}");
        assert_eq!(image::load_from_memory(set.digits_png()).unwrap().height() % 10, 0);
    }
    assert!(artist.set_of(&Look::default()).is_none());
}

#[test]
fn a_set_costs_only_the_first_of_its_pictures() {
    let artist = Artist::new();
    let (figure, look) = (Figure::of(12_345), Look::from_query("style=sprites&height=96&scale=3").unwrap());
    for format in [Format::Png, Format::Svg] {
        let first = artist.estimate(&look, &figure, format);
        artist.draw(&look, &figure, format);
        let next = artist.estimate(&look, &figure, format);
        assert!(next < first / 2, "{format:?}: {first:?}, then {next:?}");
    }
}
