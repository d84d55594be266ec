//! Sets of sprites from the operator's folder.

use std::{fs, path::Path, process::Output};

use headcount_drawing::{Count, read_stamp};
use image::{Rgba, RgbaImage};
use tempfile::TempDir;

use crate::{
    config_file::ConfigFile,
    exchange::{connect, get, request, send},
    node::start,
    options::{headcount, text},
    reload::ReloadedNode,
    stream::Stream,
    text_streams::TextStream,
};

/// Writes a set whose digits are squares of this colour.
fn write_set(folder: &Path, name: &str, colour: [u8; 3]) {
    let set = folder.join(name);
    fs::create_dir_all(&set).unwrap();
    let [red, green, blue] = colour;
    for digit in 0..10 {
        let image = RgbaImage::from_pixel(20, 40, Rgba([red, green, blue, 255]));
        image.save(set.join(format!("{digit}.png"))).unwrap();
    }
}

/// A folder with two sets.
fn sets() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_set(folder.path(), "reds", [200, 0, 0]);
    write_set(folder.path(), "greens", [0, 150, 0]);
    folder
}

/// The colour in the middle of the first digit.
fn colour(picture: &[u8]) -> [u8; 3] {
    let image = image::load_from_memory(picture).unwrap().into_rgb8();
    image.get_pixel(image.height() / 4, image.height() / 2).0
}

#[test]
fn every_format_shows_an_operators_set() {
    let folder = sets();
    let node = start(["--sprites", folder.path().to_str().unwrap()]);
    let query = "style=sprites&set=reds&height=40";
    let mut png = Stream::open(&node, &format!("/online.png?{query}"));
    let picture = png.wait_for(1);
    assert_eq!(colour(&picture), [200, 0, 0]);
    // Five digits, as of an odometer, each half as wide as it is high.
    assert_eq!(image::load_from_memory(&picture).unwrap().width(), 100);
    let mut jpeg = Stream::open(&node, &format!("/online.jpg?{query}"));
    assert!(read_stamp(&jpeg.wait_for(2)).is_ok());
    png.wait_for(2);

    let svg = get(&node, &format!("/online/snapshot.svg?{query}&label=here"));
    assert_eq!(svg.status(), 200);
    assert_eq!(read_stamp(&svg.body).unwrap().count, Count::Exactly(2));
    assert_eq!(svg.text().matches("href=\"data:image/png;base64,").count(), 2, "0 and 2: {}", svg.text());
    assert_eq!(svg.text().matches("<use href=\"#s").count(), 5);
    let snapshot = get(&node, "/online/snapshot.png?style=sprites&set=greens");
    assert_eq!(colour(&snapshot.body), [0, 150, 0]);

    let mut document = TextStream::open(&node, &format!("/online/live.html?{query}"));
    document.wait_for("3");
    let start = document.body.split("<b id=n").next().unwrap();
    assert!(start.contains("background:url(/sprites/reds-"), "{start}");
    assert!(start.contains("aria-hidden=true><u class=j></u>"), "the digits are pictures, which nobody hears: {start}");
    assert!(document.body.contains("--n:5;--a:3}"), "{}", document.body);

    let page = get(&node, "/online?style=sprites&set=greens");
    assert_eq!(page.status(), 200);
    for part in ["<option value=\"reds\">", "<option value=\"greens\" selected>", "<option value=\"nixie\">"] {
        assert!(page.text().contains(part), "{part} is not in {}", page.text());
    }
    assert!(page.text().contains("online.png?set=greens&#38;style=sprites"), "{}", page.text());
}

#[test]
fn documents_link_their_digits_and_browsers_keep_them() {
    let folder = sets();
    let node = start(["--sprites", folder.path().to_str().unwrap(), "--embed-from", "listed=https://forum.example"]);
    for (set, counter) in [("reds", "online"), ("nixie", "listed")] {
        let query = format!("style=sprites&set={set}");
        let mut document = TextStream::open(&node, &format!("/{counter}/live.html?{query}"));
        let policy = document.head.header("content-security-policy").unwrap().to_owned();
        assert!(policy.contains("img-src 'self';"), "{policy}");
        document.wait_for("1");
        let start = document.body.split("<b id=n").next().unwrap();
        println!("{set}: a document begins with {} bytes", start.len());
        assert!(start.len() < 4 << 10, "{} bytes: {start}", start.len());
        let path = start.split("url(").nth(1).expect("a link").split(')').next().unwrap();
        assert!(path.starts_with(&format!("/sprites/{set}-")) && path.ends_with(".png"), "{path}");
        let sheet = get(&node, path);
        assert_eq!((sheet.status(), sheet.header("content-type")), (200, Some("image/png")));
        assert_eq!(sheet.header("cache-control"), Some("public, max-age=31536000, immutable"));
        // A document in a sandbox is of no origin, and documents are under COEP.
        assert_eq!(sheet.header("cross-origin-resource-policy"), Some("cross-origin"));
        assert_eq!(sheet.header("x-content-type-options"), Some("nosniff"));
        let digits = image::load_from_memory(&sheet.body).unwrap();
        assert!(digits.height() == digits.height() / 10 * 10 && digits.height() > 5 * digits.width(), "{path}");
        // Loaded before the live document takes a connection for good, of which browsers have six.
        let outer = get(&node, &format!("/{counter}.html?{query}"));
        assert!(
            outer.text().contains(&format!("<link rel=\"preload\" as=\"image\" href=\"{path}\">")),
            "{}",
            outer.text()
        );
        // Another node's, whose folder is another: nobody may keep it under that name.
        let (name, _) = path.rsplit_once('-').unwrap();
        let other = get(&node, &format!("{name}-0123456789abcdef.png"));
        assert_eq!((other.status(), other.header("cache-control")), (200, Some("no-store")));
        assert_eq!(other.body, sheet.body);
    }
    for path in ["blues-0123456789abcdef.png", "reds.png", "reds-0123456789abcde.png", "reds-0123456789abcdeg.png"] {
        assert_eq!(get(&node, &format!("/sprites/{path}")).status(), 404, "{path}");
    }
    // A counter may have this name.
    TextStream::open(&node, "/sprites/live.html").wait_for("1");
    assert_eq!(get(&node, "/sprites/snapshot.png").status(), 200);
}

#[test]
fn frames_whose_set_is_gone_come_back_with_the_built_in_one() {
    let folder = sets();
    let reloaded = ReloadedNode::start(["--sprites", folder.path().to_str().unwrap()]);
    let node = &reloaded.node;
    let query = "style=sprites&set=reds&height=40";
    let refresh = "Cache-Control: max-age=0\r\n";
    TextStream::open(node, &format!("/online/live.html?{query}")).wait_for("1");
    fs::remove_dir_all(folder.path().join("reds")).unwrap();
    reloaded.reload("done");
    // Its page is still open: the live document ends some time, and is loaded again.
    let mut refreshed = TextStream::open_with(node, &format!("/online/live.html?{query}"), refresh);
    refreshed.wait_for("1");
    assert!(refreshed.body.contains("/sprites/nixie-"), "{}", refreshed.body);
    // So is the outer one, and then the live one within it.
    let outer = request(node, "GET", &format!("/online.html?{query}"), &[("Cache-Control", "max-age=0")]);
    assert_eq!(outer.status(), 200, "{outer:?}");
    let mut reloaded_within = TextStream::open(node, &format!("/online/live.html?{query}&reloaded=yes"));
    reloaded_within.wait_for("2");
    // Who writes a new page is told what is wrong.
    for path in ["online.html", "online/live.html"] {
        assert_eq!(get(node, &format!("/{path}?{query}")).status(), 400, "{path}");
    }
}

/// A PNG whose colour profile is nothing but 200 MB of zeros.
fn bomb(path: &Path) {
    let mut info = png::Info::with_size(20, 40);
    info.icc_profile = Some(vec![0; 200 << 20].into());
    info.color_type = png::ColorType::Grayscale;
    let mut writer = png::Encoder::with_info(fs::File::create(path).unwrap(), info).unwrap().write_header().unwrap();
    writer.write_image_data(&[99; 20 * 40]).unwrap();
}

#[test]
fn a_file_that_grows_when_it_is_read_costs_little() {
    let folder = sets();
    bomb(&folder.path().join("reds/3.png"));
    assert!(fs::metadata(folder.path().join("reds/3.png")).unwrap().len() < 256 << 10);
    // More than the program takes, and less than the profile.
    let limited = format!(
        "ulimit -v 180000; exec {} check --sprites {}",
        env!("CARGO_BIN_EXE_headcount"),
        folder.path().display()
    );
    let output = std::process::Command::new("sh").args(["-c", &limited]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn sets_that_are_not_there_and_paths_are_refused_with_a_sentence() {
    let folder = sets();
    fs::write(folder.path().join("secret"), "nobody may see it").unwrap();
    let sprites = folder.path().join("reds").display().to_string();
    let outside = format!("style=sprites&set={}", sprites.replace('/', "%2F"));
    let node = start(["--sprites", folder.path().to_str().unwrap()]);
    let unknown = get(&node, "/online.png?style=sprites&set=blues");
    assert_eq!(unknown.status(), 400);
    let sentence = "set=\"blues\" is not allowed: the sets of sprites here are greens, nixie, reds.";
    assert_eq!(unknown.sentence(), sentence);
    let many: String = (0..6000).map(|number| format!("set=reds{number:04}&")).collect();
    for path in
        ["online.png", "online.jpg", "online.html", "online/live.html", "online/snapshot.svg", "online/snapshot.png"]
    {
        for query in [
            "style=sprites&set=blues",
            "style=sprites&set=../reds",
            "style=sprites&set=..%2freds",
            "style=sprites&set=%2e%2e",
            "style=sprites&set=reds/",
            "style=sprites&set=reds%00",
            "style=sprites&set=REDS",
            "style=sprites&set=secret/0.png",
            "style=sprites&set=secret",
            "style=sprites&set=",
            "style=sprites&set=reds&set=greens",
            "set=../reds",
            &outside,
        ] {
            let answer = get(&node, &format!("/{path}?{query}"));
            assert_eq!(answer.status(), 400, "{path}?{query}");
            assert!(answer.sentence().contains("set"), "{answer:?}");
        }
        // 64 KiB and more: the head is too large for any request.
        let long = format!("GET /{path}?style=sprites&{many} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = crate::exchange::Answer::read(&send(&node, long.as_bytes()));
        assert!(long.len() > 64 << 10 && matches!(answer.status(), 400 | 414 | 431), "{answer:?}");
    }
    assert_eq!(get(&node, "/online?style=sprites&set=blues").status(), 400);
    assert_eq!(node.reading("online").unwrap().version, 0, "a viewer was counted");
    drop(connect(&node));
}

/// What is wrong, a line each, without the last one.
fn report(output: &Output) -> Vec<String> {
    assert!(!output.status.success());
    let mut lines: Vec<String> = text(&output.stderr).lines().map(str::to_owned).collect();
    lines.pop();
    lines
}

#[test]
fn everything_that_is_wrong_with_a_folder_is_listed_before_the_start() {
    let folder = sets();
    let path = folder.path().to_str().unwrap().to_owned();
    for arguments in [&["--sprites", &path][..], &[]] {
        let variables = if arguments.is_empty() { &[("HEADCOUNT_SPRITES", path.as_str())][..] } else { &[] };
        let output = headcount(&[&["check"], arguments].concat(), variables);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    fs::remove_file(folder.path().join("reds/4.png")).unwrap();
    fs::remove_file(folder.path().join("reds/8.png")).unwrap();
    fs::write(folder.path().join("greens/1.png"), "no picture").unwrap();
    RgbaImage::new(600, 40).save(folder.path().join("greens/2.png")).unwrap();
    fs::create_dir(folder.path().join("Blues")).unwrap();
    let config = ConfigFile::new(format!("shards = 1\nsprites = {path:?}\n"));
    for command in ["check", "serve"] {
        let output = headcount(&[command, &config.argument(), "--listen=127.0.0.1:0", "--admin=127.0.0.1:0"], &[]);
        let lines = report(&output);
        for (line, why) in lines.iter().zip([
            "the folder \"Blues\" cannot name a set",
            "greens/1.png is no PNG, GIF, JPEG or WebP picture",
            "greens/2.png is 600 pixels wide and 40 high",
            "reds lacks 4, 8: a set has a picture of each digit, as 0.png",
        ]) {
            assert!(line.contains(&format!(":2: sprites {path:?}: {why}")), "{command}: {line} is not: {why}");
        }
        assert_eq!(lines.len(), 4, "{command}: {lines:?}");
    }
    let output = headcount(&["check", "--sprites=/nowhere"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report(&output).len(), 1);
    assert!(text(&output.stderr).starts_with("headcount: --sprites \"/nowhere\": it cannot be read: No such file"));
}

#[test]
fn draw_draws_an_operators_set() {
    let folder = sets();
    let out = folder.path().join("picture.png");
    let (sprites, out) = (folder.path().to_str().unwrap(), out.to_str().unwrap());
    let look = "style=sprites&set=greens&height=40";
    let output = headcount(&["draw", "7", "--sprites", sprites, "--look", look, "--out", out], &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(colour(&fs::read(out).unwrap()), [0, 150, 0]);
    let output = headcount(&["draw", "7", "--look", look, "--out", out], &[]);
    assert!(text(&output.stderr).contains("the sets of sprites here are nixie"), "{}", text(&output.stderr));
}

#[test]
fn a_reload_reads_the_folder_again() {
    let folder = sets();
    let mut reloaded = ReloadedNode::start(["--sprites", folder.path().to_str().unwrap()]);
    let mut stream = Stream::open(&reloaded.node, "/online.png?style=sprites&set=reds&height=40");
    assert_eq!(colour(&stream.wait_for(1)), [200, 0, 0]);
    write_set(folder.path(), "reds", [0, 0, 220]);
    write_set(folder.path(), "blues", [0, 0, 220]);
    assert_eq!(get(&reloaded.node, "/online/snapshot.png?style=sprites&set=blues").status(), 400);
    reloaded.reload("done");
    while colour(&stream.next().expect("the stream goes on")) != [0, 0, 220] {}
    assert_eq!(get(&reloaded.node, "/online/snapshot.png?style=sprites&set=blues").status(), 200);
    // A folder with a mistake is no reason to stop.
    fs::remove_file(folder.path().join("blues/0.png")).unwrap();
    reloaded.reload("rejected");
    assert_eq!(get(&reloaded.node, "/online/snapshot.png?style=sprites&set=blues").status(), 200);
    // Nor do streams end when their set is gone: the built-in one takes its place.
    for set in ["blues", "reds"] {
        fs::remove_dir_all(folder.path().join(set)).unwrap();
    }
    reloaded.reload("done");
    while colour(&stream.next().expect("the stream goes on")) == [0, 0, 220] {}
    assert_eq!(get(&reloaded.node, "/online/snapshot.png?style=sprites&set=reds").status(), 400);
    assert!(reloaded.node.stop(crate::node::PATIENCE).unwrap().success());
}
