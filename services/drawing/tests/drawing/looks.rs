//! Looks as queries.

use headcount_drawing::{Look, LookError, OPTIONS, Shows, Style, Writing};
use proptest::prelude::*;

use crate::strategies::{look, options, query};

proptest! {
    #[test]
    fn canonical_queries_round_trip(look in look()) {
        let query = look.query();
        prop_assert_eq!(Look::from_query(&query), Ok(look.clone()));
        let names: Vec<&str> = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, _)| name).collect();
        prop_assert!(names.is_sorted(), "{}", query);
        prop_assert!(query.is_ascii());
    }

    #[test]
    fn the_order_does_not_matter(
        (ordered, shuffled) in options().prop_flat_map(|options| (Just(options.clone()), Just(options).prop_shuffle())),
    ) {
        prop_assert_eq!(Look::from_query(&query(&ordered)), Look::from_query(&query(&shuffled)));
    }

    #[test]
    fn all_values_make_the_same_look(look in look()) {
        let all: Vec<(&str, String)> = look.all_values().into_iter().filter(|(_, value)| !value.is_empty()).collect();
        // A flat badge on a light background has two text colours, which no single option sets.
        if look.foreground().is_some() || look.style() != Style::Flat {
            let query = query(&all) + if look.label().is_empty() { "&label=" } else { "" };
            prop_assert_eq!(Look::from_query(&query), Ok(look));
        }
    }

    #[test]
    fn no_query_panics(query in "\\PC{0,80}", pairs in "((bg|label|height|style)=[%+&=0-9a-f]{0,9}&?){0,4}") {
        for query in [query, pairs] {
            if let Ok(look) = Look::from_query(&query) {
                prop_assert_eq!(Look::from_query(&look.query()), Ok(look));
            }
        }
    }
}

#[test]
fn the_default_is_a_flat_badge() {
    let look = Look::from_query("").expect("an empty query");
    assert_eq!(look, Look::default());
    assert_eq!(look.query(), "");
    assert_eq!((look.style(), look.label(), look.height(), look.scale()), (Style::Flat, "online", 20, 1));
    assert_eq!((look.writing(), look.shows(), look.small()), (Writing::Full, Shows::Count, 0));
}

#[test]
fn defaults_are_left_out() {
    for (asked, canonical) in [
        ("style=flat&label=online&height=20&scale=1&format=full&show=count&small=0", ""),
        ("fg=white&bg=1f7a4d", ""),
        ("bg=gold", "bg=ffd700"),
        ("bg=gold&fg=white", "bg=ffd700&fg=ffffff"),
        ("label_bg=4a4f57", ""),
        ("label_bg=gold&bg=gold&fg=22252a", "bg=ffd700&label_bg=ffd700"),
        ("label_bg=navy&label=", "label="),
        ("label_bg=navy&style=plain", "style=plain"),
        ("style=plain&label=", "label=&style=plain"),
        ("style=odometer&label=", "style=odometer"),
        ("style=sprites&set=nixie&label=", "style=sprites"),
        ("style=sprites&set=cats", "set=cats&style=sprites"),
        ("set=cats", ""),
        ("span=year&width=300", ""),
        ("style=chart&span=day&width=600&height=160&label=open+now&bg=fff&fg=1f7a4d", "style=chart"),
        ("style=chart&span=year&width=300&show=count", "span=year&style=chart&width=300"),
        ("style=spark&span=year&height=40", "style=spark"),
        ("&style=plain&&height=24&", "height=24&style=plain"),
        ("label=100%25+sure+%26+%C3%A4", "label=100%25%20sure%20%26%20%C3%A4"),
        ("label=%20padded%20", "label=padded"),
    ] {
        let look = Look::from_query(asked).expect(asked);
        assert_eq!(look.query(), canonical, "{asked}");
    }
}

#[test]
fn invalid_options_are_explained_in_one_sentence() {
    for (query, sentence) in [
        (
            "colour=red",
            "there is no option \"colour\": allowed are bg, fg, format, height, label, label_bg, scale, set, show, small, span, style and width",
        ),
        ("height=20&height=20", "the option \"height\" is given twice: each is allowed once"),
        (
            "height=97",
            "height=\"97\" is not allowed: height takes a whole number from 12 to 96, or for a chart from 60 to 600",
        ),
        (
            "height=011",
            "height=\"011\" is not allowed: height takes a whole number from 12 to 96, or for a chart from 60 to 600",
        ),
        (
            "height=20px",
            "height=\"20px\" is not allowed: height takes a whole number from 12 to 96, or for a chart from 60 to 600",
        ),
        (
            "height",
            "height=\"\" is not allowed: height takes a whole number from 12 to 96, or for a chart from 60 to 600",
        ),
        ("scale=0", "scale=\"0\" is not allowed: scale takes 1, 2 or 3"),
        ("style=Flat", "style=\"Flat\" is not allowed: style takes flat, plain, odometer, sprites, chart or spark"),
        ("format=short", "format=\"short\" is not allowed: format takes full, grouped or compact"),
        (
            "set=../cats&style=sprites",
            "set=\"../cats\" is not allowed: set takes a name of up to 32 lower-case letters, digits, dashes and underscores",
        ),
        (
            "set=%2e%2e%2fcats",
            "set=\"../cats\" is not allowed: set takes a name of up to 32 lower-case letters, digits, dashes and underscores",
        ),
        ("show=people", "show=\"people\" is not allowed: show takes count or visitors"),
        ("small=1001", "small=\"1001\" is not allowed: small takes a whole number from 0 to 1000"),
        (
            "style=chart&height=59",
            "height=\"59\" is not allowed: height takes a whole number from 12 to 96, or for a chart from 60 to 600",
        ),
        (
            "style=spark&height=97",
            "height=\"97\" is not allowed: height takes a whole number from 12 to 96, or for a chart from 60 to 600",
        ),
        ("style=chart&width=1201", "width=\"1201\" is not allowed: width takes a whole number from 120 to 1200"),
        ("style=chart&span=week", "span=\"week\" is not allowed: span takes hour, day, month, year or all"),
        ("style=chart&show=visitors", "show=\"visitors\" is not allowed: show takes count where the past is shown"),
        (
            "style=chart&width=1200&height=600&scale=3",
            "a chart of 6480000 pixels (width × height × scale × scale) is not allowed: it may have 3000000",
        ),
        ("bg=", "bg=\"\" is not allowed: bg takes three or six hexadecimal digits, or a CSS colour name"),
        ("fg=%23ff", "fg=\"#ff\" is not allowed: fg takes three or six hexadecimal digits, or a CSS colour name"),
        ("label=%00", "label=\"\\0\" is not allowed: label takes up to 32 characters in UTF-8, no control characters"),
        (
            "label=%ff",
            "label=\"\u{fffd}\" is not allowed: label takes up to 32 characters in UTF-8, no control characters",
        ),
    ] {
        assert_eq!(Look::from_query(query).expect_err(query).to_string(), sentence);
    }
    for query in ["height=11", "height=-20", "height=20.5", "height=99999999999999999999", "scale=4", "bg=12345"] {
        let error = Look::from_query(query).expect_err(query);
        assert!(matches!(error, LookError::Value { .. }), "{query}: {error}");
    }
    let long = format!("label={}", "x".repeat(33));
    let error = Look::from_query(&long).expect_err("a long label");
    assert!(matches!(error, LookError::Value { name: "label", .. }), "{error}");
    let huge = format!("{}=1", "x".repeat(10_000));
    assert!(Look::from_query(&huge).expect_err("a long name").to_string().len() < 200);
}

#[test]
fn every_option_is_listed() {
    let names = OPTIONS.map(|(name, _)| name);
    assert!(names.is_sorted());
    assert_eq!(Look::default().all_values().map(|(name, _)| name), names);
}
