//! Compares pictures with the approved ones in `golden/`.
//!
//! `HEADCOUNT_APPROVE=1 cargo test -p headcount-drawing golden` rewrites them.

use std::{env, fs, path::PathBuf};

use headcount_drawing::{Artist, Chart, Figure, Format, Look};

use crate::charts::pasts;

/// Each picture's file name, look and number. `!` marks a stale number.
const PICTURES: [(&str, &str, &str); 33] = [
    ("flat", "", "1234"),
    ("flat-2x", "scale=2", "1234"),
    ("flat-3x", "scale=3", "1234"),
    ("flat-zero", "", "0"),
    ("flat-stale", "", "1234!"),
    ("flat-stale-3x", "scale=3", "1234!"),
    ("flat-stale-12", "height=12", "1083!"),
    ("flat-stale-grey", "bg=777&label=visitors", "1083!"),
    ("flat-digits", "format=grouped&label=", "1234567890"),
    ("flat-small-number", "small=5&label=readers&bg=royalblue", "3"),
    ("flat-light-ground", "label=visitors&bg=gold&format=compact", "12345"),
    ("flat-cyrillic", "label=%D0%BE%D0%BD%D0%BB%D0%B0%D0%B9%D0%BD", "42"),
    ("flat-arabic-2x", "label=%D9%85%D8%AA%D8%B5%D9%84+%D8%A7%D9%84%D8%A2%D9%86&scale=2", "42"),
    ("flat-emoji-2x", "label=%F0%9F%91%80+watching&scale=2&bg=crimson", "987"),
    ("flat-12", "height=12", "1234"),
    ("flat-48", "height=48&format=grouped&label=Besucher", "12345"),
    ("plain", "style=plain", "1234"),
    ("plain-3x", "style=plain&scale=3&fg=crimson", "1234"),
    ("plain-ground", "style=plain&bg=ffe&label=here+now", "7!"),
    ("plain-stale", "style=plain", "1083!"),
    ("odometer", "style=odometer", "1234"),
    ("odometer-stale", "style=odometer", "8206!"),
    ("odometer-3x", "style=odometer&scale=3", "1234"),
    ("odometer-32", "style=odometer&height=32&label=visitors", "98765"),
    ("odometer-green", "style=odometer&height=32&fg=lime&format=compact", "12345"),
    ("sprites", "style=sprites", "1234"),
    ("sprites-12", "style=sprites&height=12", "67890"),
    ("sprites-3x", "style=sprites&scale=3", "1234"),
    ("sprites-stale", "style=sprites", "8206!"),
    ("sprites-stale-48", "style=sprites&height=48&label=online", "8206!"),
    ("sprites-48", "style=sprites&height=48&format=grouped&label=visitors&fg=white&bg=203040", "5678901"),
    ("sprites-compact", "style=sprites&height=32&format=compact", "1234567"),
    ("odometer-light-stale", "style=odometer&height=48&bg=ivory&format=grouped", "1234567!"),
];

/// Each chart's file name, look and past. `!` marks a stale number.
const CHARTS: [(&str, &str, &str); 22] = [
    ("chart", "style=chart", "day"),
    ("chart-2x", "style=chart&scale=2", "day"),
    ("chart-300", "style=chart&width=300", "day"),
    ("chart-300-dark", "style=chart&width=300&bg=14181c", "day"),
    ("chart-1200", "style=chart&width=1200&height=300", "day"),
    ("chart-1200-dark", "style=chart&width=1200&height=600&bg=14181c", "day"),
    ("chart-120", "style=chart&width=120&height=60", "day"),
    ("chart-dark", "style=chart&bg=14181c", "day"),
    ("chart-stale", "style=chart&label=readers", "day!"),
    ("chart-hour", "style=chart&span=hour", "hour"),
    ("chart-month", "style=chart&span=month", "month"),
    ("chart-month-1200", "style=chart&span=month&width=1200&height=240&fg=royalblue", "month"),
    ("chart-year", "style=chart&span=year", "year"),
    ("chart-all", "style=chart&span=all", "all"),
    ("chart-all-300", "style=chart&span=all&width=300", "all"),
    ("chart-new", "style=chart", "new"),
    ("chart-quiet", "style=chart", "quiet"),
    ("chart-small", "style=chart&small=5", "day"),
    ("spark", "style=spark", "hour"),
    ("spark-2x", "style=spark&scale=2&width=240&label=readers", "hour"),
    ("spark-dark-stale", "style=spark&bg=14181c&height=64&width=300", "hour!"),
    ("spark-new", "style=spark", "new"),
];

#[test]
fn pictures_are_drawn_as_approved() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/drawing/golden");
    let approve = env::var_os("HEADCOUNT_APPROVE").is_some();
    let artist = Artist::new();
    let mut changed = Vec::new();
    let pasts = pasts();
    for (name, query, past) in CHARTS {
        let look = Look::from_query(query).expect(name);
        let (history, stale) = (&pasts[past.trim_end_matches('!')], past.ends_with('!'));
        let figure = Figure { stale, ..Figure::of(history.count) };
        let chart = Some(Chart { history, small: 0 });
        let file = folder.join(name).with_extension("png");
        if approve {
            fs::write(&file, artist.draw_chart(&look, &figure, chart, Format::Png)).expect("the folder is writable");
        }
        let approved = image::load_from_memory(&fs::read(&file).expect(name)).expect(name).into_rgba8();
        if approved != artist.chart_pixels(&look, &figure, chart) {
            changed.push(name);
        }
    }
    for (name, query, number) in PICTURES {
        let look = Look::from_query(query).expect(name);
        let digits = number.trim_end_matches('!');
        let figure = Figure { stale: digits != number, ..Figure::of(digits.parse().expect(name)) };
        let file = folder.join(name).with_extension("png");
        if approve {
            fs::write(&file, artist.draw(&look, &figure, Format::Png)).expect("the folder is writable");
        }
        let approved = image::load_from_memory(&fs::read(&file).expect(name)).expect(name).into_rgba8();
        if approved != artist.pixels(&look, &figure) {
            changed.push(name);
        }
    }
    assert!(changed.is_empty(), "these pictures have changed: {}", changed.join(", "));
    let files = fs::read_dir(&folder).expect("the folder exists").count();
    assert_eq!(files, PICTURES.len() + CHARTS.len(), "golden/ has pictures that no test draws");
}
