//! Pictures that show the past.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use headcount_drawing::{Artist, Chart, Count, Figure, Format, Look, Stamp, read_stamp};
use headcount_wire::history::{History, Peak, Point, Span};
use image::RgbaImage;
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::strategies::figure;

/// Tuesday, 25 November 2025, 14:05:40 UTC.
const NOW: u64 = 1_764_079_540;
const DAY: u64 = 86_400;

fn artist() -> &'static Artist {
    static ARTIST: std::sync::LazyLock<Artist> = std::sync::LazyLock::new(Artist::new);
    &ARTIST
}

/// A history of a span until [`NOW`]: `point` is asked for each step, by when it begins.
fn history(span: Span, point: impl FnMut(u64) -> Option<Point>) -> History {
    let step = span.step_seconds();
    let start = (NOW / step + 1) * step - span.points() as u64 * step;
    let points: Vec<Option<Point>> = (0..span.points() as u64).map(|index| start + index * step).map(point).collect();
    let count = points.last().copied().flatten().map_or(0, |point| u64::from(point.highest));
    let peak = |from: u64| {
        let begins = (0..).map(|index| start + index * step);
        let known = begins.zip(&points).filter_map(|(begin, point)| Some((begin, (*point)?.highest)));
        let peak =
            known.filter(|(begin, _)| *begin >= from).reduce(|one, next| if next.1 > one.1 { next } else { one });
        peak.map(|(begin, count)| Peak { count: count.into(), at: begin + step / 3 })
    };
    let (peak_today, peak) = (peak(NOW / DAY * DAY), peak(0));
    History { counter: "online".to_owned(), span, now: NOW, count, start, step_seconds: step, points, peak_today, peak }
}

/// A number that looks random and is the same each time, from 0 to 1.
fn noise(at: u64) -> f64 {
    let mixed = (at ^ 0x9e37_79b9).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 40) as f64 / f64::from(1 << 24)
}

/// What a forum may have: quiet at night, busy in the evening, more each month, with some steps above the rest.
fn forum(at: u64, size: f64) -> Option<Point> {
    let hour = (at % DAY) as f64 / 3600.0;
    let daily = 0.15 + 0.85 * (-((hour - 19.5) / 4.5).powi(2)).exp() + 0.4 * (-((hour - 11.0) / 3.0).powi(2)).exp();
    let mean = size * daily * (0.75 + 0.5 * noise(at / 900)) * (0.9 + 0.2 * noise(at));
    let highest = (mean * (1.0 + 0.4 * noise(at + 7)) + 1.0) as u32;
    Some(Point { highest, mean: mean.min(f64::from(highest)) })
}

/// The pasts of the approved pictures, by name.
pub(crate) fn pasts() -> HashMap<&'static str, History> {
    let outage = NOW - 9 * 3600..NOW - 7 * 3600;
    let spike = NOW - 16 * 3600;
    let day = history(Span::Day, |at| match at {
        at if outage.contains(&at) => None,
        at if (spike..spike + 60).contains(&at) => Some(Point { highest: 61, mean: 22.0 }),
        at => forum(at, 18.0),
    });
    let hour = history(Span::Hour, |at| forum(at / 60 * 7919, 9.0).filter(|_| at > NOW - 3300));
    let month = history(Span::Month, |at| forum(at, 900.0).filter(|_| at > NOW - 27 * DAY));
    let yearly = |at: u64| {
        let grown = 40.0 + (at as f64 - (NOW - 5 * 366 * DAY) as f64) / DAY as f64;
        let mean = grown * (0.6 + 0.4 * noise(at));
        Some(Point { highest: (mean * (1.6 + 1.2 * noise(at + 3))) as u32, mean })
    };
    let year = history(Span::Year, |at| yearly(at).filter(|_| at > NOW - 300 * DAY));
    let all = history(Span::All, |at| match at {
        at if at < NOW - 1500 * DAY => None,
        at if (NOW - 700 * DAY..NOW - 699 * DAY).contains(&at) => Some(Point { highest: 25_400, mean: 900.0 }),
        at => yearly(at),
    });
    let new = history(Span::Day, |at| (at > NOW - 120).then_some(Point { highest: 1, mean: 0.6 }));
    let quiet = history(Span::Day, |_| Some(Point { highest: 0, mean: 0.0 }));
    let named = [("day", day), ("hour", hour), ("month", month), ("year", year), ("all", all)];
    named.into_iter().chain([("new", new), ("quiet", quiet)]).collect()
}

fn pixels(query: &str, history: &History) -> RgbaImage {
    let figure = Figure::of(history.count);
    artist().chart_pixels(&Look::from_query(query).expect("a look"), &figure, Some(Chart { history, small: 0 }))
}

#[test]
fn a_spike_of_a_minute_is_seen_at_every_width() {
    for style in ["chart", "spark"] {
        // Each width from the smallest to the largest would take minutes.
        for width in (120..=1200).step_by(27).chain([1200]) {
            for span in [Span::Day, Span::Month, Span::All] {
                if style == "spark" && span != Span::Day {
                    continue;
                }
                let points = span.points();
                // A spark has room for the number on its left, and draws no line there.
                let spike = if style == "spark" { points - 3 } else { points * 7 / 10 + width as usize };
                let low = Some(Point { highest: 10, mean: 8.0 });
                let of = |at: usize| {
                    let mut nth = 0;
                    history(span, |_| {
                        nth += 1;
                        if nth == at { Some(Point { highest: 40, mean: 8.0 }) } else { low }
                    })
                };
                let spike = spike.min(points - 1);
                let picture = pixels(&format!("style={style}&width={width}&height=90&fg=f00"), &of(spike));
                // The spike is the only thing that is red from half of the height of the chart to its top.
                let rows = if style == "spark" { 15..40 } else { 51..57 };
                let red = |row: u32| picture.rows().nth(row as usize).unwrap().any(|pixel| pixel.0 == [255, 0, 0, 255]);
                assert!(rows.clone().all(red), "{style} {width} {span:?}: {:?}", rows.map(red).collect::<Vec<_>>());
            }
        }
    }
}

/// Any history, of whatever a program may write.
fn any_history() -> impl Strategy<Value = History> {
    let highest = prop_oneof![Just(0), Just(1), Just(u32::MAX), any::<u32>()];
    let mean = prop_oneof![any::<f64>(), 0.0..50.0];
    let point = (highest, mean).prop_map(|(highest, mean)| Point { highest, mean });
    let time = || prop_oneof![Just(0), Just(NOW), Just(u64::MAX), any::<u64>(), NOW - 400 * DAY..NOW];
    let peak = || option::of((any::<u64>(), time()).prop_map(|(count, at)| Peak { count, at }));
    let points =
        prop_oneof![vec(option::of(point.clone()), 0..100), vec(Just(None), 0..3), vec(option::of(point), 1440..2000)];
    let span = select(Span::ALL.to_vec());
    (span, time(), time(), any::<u64>(), points, peak(), peak()).prop_map(
        |(span, now, start, step_seconds, points, peak_today, peak)| History {
            counter: "online".to_owned(),
            span,
            now,
            count: 7,
            start,
            step_seconds,
            points,
            peak_today,
            peak,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_past_is_drawn(
        history in any_history(),
        figure in figure(),
        style in select(vec!["chart", "spark"]),
        width in 120..=700u32,
        height in 60..=96u32,
        scale in 1..=2u32,
        small in prop_oneof![Just(0), 1..100u64],
    ) {
        let look = Look::from_query(&format!("style={style}&width={width}&height={height}&scale={scale}")).unwrap();
        let chart = Some(Chart { history: &history, small });
        let picture = artist().chart_pixels(&look, &figure, chart);
        prop_assert_eq!(picture.dimensions(), (width * scale, height * scale));
        for format in Format::ALL {
            let Figure { epoch, version, stale, .. } = figure;
            let stamp = Stamp { count: look.count(&figure), epoch, version, stale };
            prop_assert_eq!(read_stamp(&artist().draw_chart(&look, &figure, chart, format)), Ok(stamp));
        }
        let svg = String::from_utf8(artist().draw_chart(&look, &figure, chart, Format::Svg)).unwrap();
        let svg = roxmltree::Document::parse(&svg).unwrap();
        let alternative = look.chart_alternative(&figure, chart);
        prop_assert_eq!(svg.root_element().attribute("aria-label"), Some(&*alternative));
    }

    #[test]
    fn what_is_hidden_changes_nothing(seed in any::<u64>(), style in select(vec!["chart", "spark"])) {
        let look = Look::from_query(&format!("style={style}&width=200&height=80")).unwrap();
        let bytes = |seed: u64| {
            let mut history = history(Span::Day, |at| {
                let highest = (noise(at ^ seed) * 5.0) as u32;
                Some(Point { highest, mean: f64::from(highest) * noise(seed) })
            });
            history.count = seed % 5;
            let figure = Figure { fewer_than: Some(5), ..Figure::of(history.count) };
            Format::ALL.map(|format| artist().draw_chart(&look, &figure, Some(Chart { history: &history, small: 5 }), format))
        };
        prop_assert!(bytes(seed) == bytes(1));
    }
}

#[test]
fn zero_and_unknown_look_different() {
    for style in ["chart", "spark"] {
        let zero = history(Span::Hour, |_| Some(Point { highest: 0, mean: 0.0 }));
        let unknown = history(Span::Hour, |_| None);
        let look = format!("style={style}&fg=f00");
        let red = |picture: RgbaImage| picture.pixels().filter(|pixel| pixel.0 == [255, 0, 0, 255]).count();
        assert!(red(pixels(&look, &zero)) >= 50 && red(pixels(&look, &unknown)) == 0, "{style}");
    }
}

#[test]
fn a_chart_is_said_in_a_sentence_or_two() {
    let pasts = pasts();
    let said = |past: &str, query: &str| {
        let history = &pasts[past];
        let look = Look::from_query(&format!("style=chart{query}")).unwrap();
        look.chart_alternative(&Figure::of(history.count), Some(Chart { history, small: 0 }))
    };
    for (past, query, words) in [
        ("day", "", "9 open now. Most at once today: 18 at 12:04 UTC. Up to 61 in the last 24 hours"),
        ("new", "&label=readers", "1 readers. Most at once today: 1 at 14:04 UTC"),
        ("quiet", "", "0 open now. Nobody in the last 24 hours"),
        ("quiet", "&small=5", "fewer than 5 open now. Fewer than 5 in the last 24 hours"),
        ("all", "&format=grouped", "2,424 open now. Most at once ever: 25,400 on 27 Dec 2023 UTC"),
    ] {
        assert_eq!(said(past, query), words, "{past}");
    }
    let look = Look::from_query("style=chart").unwrap();
    assert_eq!(
        look.alternative(&Figure { stale: true, ..Figure::of(3) }),
        "3 open now (not up to date). No record yet"
    );
    assert_eq!(look.count(&Figure::of(3)), Count::Exactly(3));
}

#[test]
fn charts_are_small_and_quickly_drawn() {
    /// Most bytes of a chart of the usual size.
    const LARGEST_PNG: usize = 12 << 10;
    /// Most time for one, five years included.
    const MOST_TIME: Duration = Duration::from_millis(20);
    let pasts = pasts();
    for (past, query) in [("day", ""), ("month", ""), ("year", ""), ("all", ""), ("all", "&bg=14181c&fg=gold")] {
        let (history, look) = (&pasts[past], Look::from_query(&format!("style=chart{query}")).unwrap());
        let (figure, chart) = (Figure::of(history.count), Some(Chart { history, small: 0 }));
        let png = artist().draw_chart(&look, &figure, chart, Format::Png);
        let svg = artist().draw_chart(&look, &figure, chart, Format::Svg);
        // The shortest of some: this machine may do other work meanwhile.
        let times = (0..20).map(|_| {
            let begun = Instant::now();
            artist().draw_chart(&look, &figure, chart, Format::Png);
            begun.elapsed()
        });
        let (time, estimate) = (times.min().unwrap(), artist().estimate(&look, &figure, Format::Png));
        println!("{past}{query}: PNG {} bytes, SVG {}, {time:?}, estimated {estimate:?}", png.len(), svg.len());
        assert!(time <= MOST_TIME, "{past}{query}: {time:?}");
        assert!(png.len() <= LARGEST_PNG, "{past}{query}: {} bytes", png.len());
    }
}
