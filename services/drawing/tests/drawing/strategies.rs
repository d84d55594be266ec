//! Random looks and figures.

use headcount_drawing::{Figure, Look};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::{collection::vec, option, prelude::*, sample::select};

/// Names and values of options, each name at most once.
pub(crate) type Options = Vec<(&'static str, String)>;

/// Characters of many scripts, including joined and right-to-left ones, and emoji.
const LETTERS: &str = "abgjlmoxyzABKQW 0189.,<>&\"'#%+=?äßéñçøłžğабвжщюαβγωאבגشسلامქართულიհայერენ★→👀🔥";

prop_compose! {
    fn label()(letters in vec(select(LETTERS.chars().collect::<Vec<char>>()), 0..=32)) -> String {
        letters.into_iter().collect()
    }
}

fn any_of(values: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(values).prop_map(str::to_owned)
}

/// Generates valid options.
pub(crate) fn options() -> impl Strategy<Value = Options> {
    let colour = || any_of(&["fff", "#000", "777", "1f7a4d", "gold", "RebeccaPurple", "abcdef", "ffffff", "white"]);
    let of = |name: &'static str, value: BoxedStrategy<String>| {
        option::of(value).prop_map(move |value| value.map(|value| (name, value)))
    };
    let each = [
        of("bg", colour().boxed()),
        of("fg", colour().boxed()),
        of("format", any_of(&["full", "grouped", "compact"]).boxed()),
        of("height", prop_oneof![Just(20), 12..=96u8].prop_map(|height| height.to_string()).boxed()),
        of("label", label().boxed()),
        of("label_bg", any_of(&["fff", "4a4f57", "gold", "navy"]).boxed()),
        of("scale", any_of(&["1", "2", "3"]).boxed()),
        of("set", any_of(&["nixie"]).boxed()),
        of("show", any_of(&["count", "visitors"]).boxed()),
        of("small", any_of(&["0", "5", "1000"]).boxed()),
        of("span", any_of(&["hour", "day", "month", "year", "all"]).boxed()),
        of("style", any_of(&["flat", "plain", "odometer", "sprites", "chart", "spark"]).boxed()),
        of("width", (120..=600u16).prop_map(|width| width.to_string()).boxed()),
    ];
    Vec::from(each).prop_map(|options| in_bounds(options.into_iter().flatten().collect()))
}

/// Charts are higher than other pictures, and neither they nor sparks show visitors.
fn in_bounds(mut options: Options) -> Options {
    let is = |options: &Options, style: &str| options.iter().any(|(name, value)| *name == "style" && value == style);
    let is_chart = is(&options, "chart");
    if is_chart || is(&options, "spark") {
        options.retain(|(name, _)| *name != "show");
    }
    for (_, height) in options.iter_mut().filter(|(name, _)| is_chart && *name == "height") {
        *height = (height.parse::<u16>().expect("a number") + 48).to_string();
    }
    options
}

/// Returns options as a query, in their order.
pub(crate) fn query(options: &Options) -> String {
    let pairs = options.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
    pairs.collect::<Vec<String>>().join("&")
}

/// Generates any valid look.
pub(crate) fn look() -> impl Strategy<Value = Look> {
    options().prop_map(|options| Look::from_query(&query(&options)).expect("options in bounds"))
}

prop_compose! {
    /// Generates any figure, with numbers of every length.
    pub(crate) fn figure()(
        digits in 0..=19u32,
        number in any::<u64>(),
        epoch in any::<u64>(),
        version in any::<u64>(),
        stale in any::<bool>(),
        fewer_than in option::weighted(0.2, 1..=1000u64),
    ) -> Figure {
        Figure { number: number % 10_u64.pow(digits).max(1), epoch, version, stale, fewer_than }
    }
}
