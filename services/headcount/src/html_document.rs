//! The HTML documents of a frame: the outer one, which is complete, and within it the live one, which does not end. Neither has
//! a script.
//!
//! A document comes back by itself: its refresh runs from its end. Where nobody answers then, the browser shows an error
//! page, which does not refresh; so the outer document loads everything anew every few minutes. Then it loads the live one
//! whether somebody sees it or not: its page is open, so its reader counts. Browsers defer a lazy frame within it.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::time::Duration;

use headcount_drawing::{Look, Style};
use headcount_wire::html;

use crate::html_frames::{DRUMS, PROPERTY_DIGITS};
use crate::sprite_sheets::SpriteSheet;

/// Seconds from the end of a live document until it is loaded again. Not all of a node's viewers come back at once.
const REFRESH_SECONDS: RangeInclusive<u64> = 4..=5;
/// The longest of them.
pub(crate) const MOST_REFRESH: Duration = Duration::from_secs(*REFRESH_SECONDS.end());

/// Text on the page's own ground, with a contrast of 11 and more: in light and in dark surroundings.
const TEXT: [&str; 2] = ["333840", "e6eaee"];

/// How long the frame of the live document is out of sight, as CSS has it: until the page around has loaded, as far as a second is
/// enough for that.
const UNSEEN: &str = "1s";

/// The option of a live document that says that the one around it has been refreshed.
pub(crate) const RELOADED: &str = "reloaded=yes";

/// The reader's surroundings that a document fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Theme {
    /// What the reader has set.
    #[default]
    Auto,
    /// Light, always.
    Light,
    /// Dark, always.
    Dark,
}

impl Theme {
    /// The values of the option.
    pub(crate) const ALLOWED: &str = "auto, light or dark";

    /// Parses a value of the option.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        match value {
            "auto" => Some(Self::Auto),
            "light" => Some(Self::Light),
            "dark" => Some(Self::Dark),
            _ => None,
        }
    }

    fn scheme(self) -> &'static str {
        match self {
            Self::Auto => "light dark",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// How an outer document loads the live one. Either way its own load ends, so that its page's does, and its refresh runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LiveFrame {
    /// When somebody sees it, as its page loads the outer one.
    Lazy,
    /// At once, seen or not: by the refresh of a document that is complete. That needs what every refresh does: in a sandbox,
    /// `allow-scripts`.
    AtOnce,
}

/// Returns the outer document of a counter. `live` is the path of the live one, `sheet` that of its sprites. After `refresh`, or up
/// to twice as long, it is loaded again.
pub(crate) fn outer(
    counter: &str,
    (live, frame): (&str, LiveFrame),
    sheet: Option<&str>,
    theme: Theme,
    refresh: Duration,
) -> String {
    let refresh = refresh.as_secs();
    let (refresh, title, live) = (rand::random_range(refresh..=2 * refresh), title(counter), escaped(live));
    let (head, scheme) = (head(refresh, &title, theme), theme.scheme());
    let live = match frame {
        LiveFrame::Lazy => format!("loading=\"lazy\" src=\"{live}\""),
        LiveFrame::AtOnce => {
            let step = format!(
                "<meta name=\"color-scheme\" content=\"{scheme}\"><meta http-equiv=\"refresh\" content=\"0;url={live}\">"
            );
            format!("srcdoc=\"{}\"", escaped(&step))
        }
    };
    // Loaded before the live one takes a connection for good: over HTTP/1, browsers have six for a host.
    let sheet = sheet.map(|path| format!("<link rel=\"preload\" as=\"image\" href=\"{path}\">\n")).unwrap_or_default();
    // Out of sight at first, so that it is not loaded yet if it is lazy. Chromium waits with the load events of this document and of its
    // page for all frames that load before these have come: for ever, if one of them is the live one. `:last-child` begins to hold
    // when this document is complete.
    format!(
        "{head}{sheet}<style>html,body{{margin:0;height:100%;overflow:hidden}}\
         iframe{{display:block;position:absolute;left:0;top:99999px;border:0;width:100%;height:100%}}\
         iframe:last-child{{animation:s 0s {UNSEEN} forwards}}\
         @keyframes s{{to{{top:0}}}}</style>\n\
         <iframe {live} title=\"{title}\"></iframe>\n</html>\n"
    )
}

/// Returns the beginning of a live document, up to the element that updates are appended to. `sprites` are those of the look, if it
/// is in that style.
pub(crate) fn start(counter: &str, look: &Look, sprites: Option<&SpriteSheet>, theme: Theme) -> String {
    let head = head(rand::random_range(REFRESH_SECONDS), &title(counter), theme);
    let (label, styles) = (escaped(look.label()), styles(look, sprites, theme));
    // The label may be in any language. A chart has its own.
    let label = if label.is_empty() || look.style().shows_past() {
        String::new()
    } else {
        format!("<span class=l lang=\"\">{label} </span>")
    };
    let drums = match look.style() {
        Style::Odometer => drums("0 1 2 3 4 5 6 7 8 9"),
        Style::Sprites => drums(""),
        Style::Flat | Style::Plain | Style::Chart | Style::Spark => String::new(),
    };
    format!("{head}<style>{styles}</style>\n<body><main><p>{label}<span class=n>{drums}")
}

/// Returns a document with a sentence, instead of one that cannot be answered now. It is loaded again after so many seconds.
pub(crate) fn refused(sentence: &str, refresh: u64) -> String {
    let (head, sentence) = (head(refresh, "headcount", Theme::Auto), escaped(sentence));
    format!("{head}<style>body{{margin:0;font:13px/1.3 system-ui,sans-serif}}</style>\n<p>{sentence}</p>\n</html>\n")
}

fn head(refresh: u64, title: &str, theme: Theme) -> String {
    let scheme = theme.scheme();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta http-equiv=\"refresh\" content=\"{refresh}\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"color-scheme\" content=\"{scheme}\">\n\
         <title>{title}</title>\n"
    )
}

fn title(counter: &str) -> String {
    format!("{}: how many are here now", escaped(counter))
}

/// The drums, each with all digits below one another, as text or as a picture. Readers aloud get the text instead.
fn drums(digits: &str) -> String {
    let drums = DRUMS.iter().rev().map(|drum| format!("<u class={drum}>{digits}</u>"));
    format!("<span class=w aria-hidden=true>{}</span>", drums.collect::<String>())
}

/// The styles of a look. Sizes are shares of its height, as in pictures.
fn styles(look: &Look, sheet: Option<&SpriteSheet>, theme: Theme) -> String {
    let height = look.height() as f32;
    let px = |share: f32| format!("{}px", (height * share * 100.0).round() / 100.0);
    let scheme = theme.scheme();
    let mut css = format!(
        "*{{margin:0;box-sizing:border-box}}\
         :root{{color-scheme:{scheme};overflow:hidden}}\
         body{{height:{h};white-space:nowrap;font:{size}/1 system-ui,sans-serif;font-variant-numeric:tabular-nums}}\
         main{{display:inline-block;height:{h}}}\
         p{{display:flex;height:{h};overflow:hidden;filter:grayscale(var(--s,0))}}\
         .l,.n{{display:flex;align-items:center}}\
         .n{{position:relative}}\
         .n:after{{content:\"\";position:absolute;left:{over};right:{over};top:54%;height:max(1px,{line});background:currentColor;opacity:var(--s,0)}}\
         {newest}b{{font-weight:inherit;opacity:calc(1 - .2*var(--s,0))}}\
         i{{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}}",
        newest = html::STYLE,
        h = px(1.0),
        size = px(0.55),
        over = px(0.15),
        line = px(0.06),
    );
    match look.style() {
        Style::Flat => flat(&mut css, look, px),
        Style::Plain => plain(&mut css, look, theme, px),
        Style::Odometer => odometer(&mut css, look, px),
        Style::Sprites => {
            plain(&mut css, look, theme, px);
            if let Some(sheet) = sheet {
                sprites(&mut css, sheet, px);
            }
        }
        Style::Chart | Style::Spark => drawing(&mut css, look, theme),
    }
    css
}

fn flat(css: &mut String, look: &Look, px: impl Fn(f32) -> String) {
    let ink = look.text_colour();
    let (label_ground, label_ink) = (look.label_background(), look.label_colour());
    let ground = look.background().map(|ground| ground.to_string()).unwrap_or_default();
    let (outer, inner, radius) = (px(0.3), px(0.25), px(0.15));
    let left = if look.label().is_empty() { &outer } else { &inner };
    let _ = write!(
        css,
        "p{{border-radius:{radius}}}\
         .l{{padding:0 {inner} 0 {outer};background:#{label_ground};color:#{label_ink}}}\
         .n{{padding:0 {outer} 0 {left};background:#{ground};color:#{ink}}}"
    );
}

fn plain(css: &mut String, look: &Look, theme: Theme, px: impl Fn(f32) -> String) {
    let padding = px(0.2);
    let _ = write!(css, "p{{padding:0 {padding}}}.l{{order:1;padding-left:{padding}}}.n:after{{left:0;right:0}}");
    if let Some(ground) = look.background() {
        let _ = write!(css, "p{{background:#{ground};color:#{}}}", look.text_colour());
        return;
    }
    let [light, dark] = TEXT;
    let (first, others) = match (look.foreground(), theme) {
        (Some(ink), _) => (ink.to_string(), String::new()),
        (None, Theme::Light) => (light.to_owned(), String::new()),
        (None, Theme::Dark) => (dark.to_owned(), String::new()),
        (None, Theme::Auto) => (light.to_owned(), format!("@media(prefers-color-scheme:dark){{p{{color:#{dark}}}}}")),
    };
    let _ = write!(css, "p{{color:#{first}}}{others}");
}

fn odometer(css: &mut String, look: &Look, px: impl Fn(f32) -> String) {
    let ink = look.text_colour();
    let ground = look.background().map(|ground| ground.to_string()).unwrap_or_default();
    let label_ink = look.foreground().map_or_else(|| "f2f2f0".to_owned(), |ink| ink.to_string());
    let (case, padding, radius) = (px(0.1), px(0.3), px(0.12));
    let _ = write!(
        css,
        "p{{background:#4b4e54;border:solid #2a2c30;border-width:0 0 {edge};border-radius:{radius};padding:{case}}}\
         .l{{padding:0 {padding} 0 {case};color:#{label_ink}}}\
         .n{{display:grid;background:#060607;color:#{ink};overflow:hidden;font-family:ui-monospace,monospace}}\
         .n:after{{left:0;right:0;z-index:1}}\
         .n>*{{grid-area:1/1}}\
         b{{align-self:center;justify-self:center;opacity:var(--t)}}\
         .w{{display:flex;justify-content:flex-end;overflow:hidden;height:{window};width:calc({drum}*{DRUM_COUNT});opacity:calc(1 - var(--t))}}\
         u{{flex:none;display:block;width:{drum};height:calc(10*{window});border-right:1px solid #060607;text-decoration:none;text-align:center;\
         white-space:normal;word-spacing:{drum};line-height:{window};transform:translateY(calc(-1*{window}*var(--v,0)));\
         background:repeating-linear-gradient(#000a,#{ground} 30% 70%,#000a 100%) 0 0/100% {window} #{ground}}}\
         @media(prefers-reduced-motion:no-preference){{u{{transition:transform .5s}}}}",
        edge = px(0.05),
        window = px(0.75),
        drum = px(0.6),
    );
    drum_values(css);
}

/// Pictures, each with its words before it. In dark surroundings they have other colours, unless the look sets their ground.
fn drawing(css: &mut String, look: &Look, theme: Theme) {
    css.push_str(
        "main,p,.n{display:block}.n:after{content:none}b{font-size:0;align-items:flex-start}\
         b svg{display:block;max-width:100%;height:auto;opacity:calc(1 - .4*var(--s,0))}",
    );
    let dark: String =
        look.colours_in_dark().iter().map(|(light, dark)| format!("[fill=\"#{light}\"]{{fill:#{dark}}}")).collect();
    match theme {
        Theme::Light => {}
        Theme::Dark => css.push_str(&dark),
        Theme::Auto => {
            let _ = write!(css, "@media(prefers-color-scheme:dark){{{dark}}}");
        }
    }
}

/// Digits of a set, in one picture below one another: they roll as an odometer's. Their line is white between black.
fn sprites(css: &mut String, sheet: &SpriteSheet, px: impl Fn(f32) -> String) {
    let (height, width, edge, path) = (px(1.0), px(sheet.digit_aspect()), px(0.03), sheet.path());
    let _ = write!(
        css,
        "p{{padding-left:0}}\
         .n{{display:grid}}\
         .n:after{{z-index:1;background:#fff;box-shadow:0 0 0 max(1px,{edge}) #000}}\
         .n>*{{grid-area:1/1}}\
         b{{align-self:center;justify-self:center;opacity:var(--t)}}\
         .w{{display:flex;justify-content:flex-end;overflow:hidden;height:{height};width:calc({width}*{DRUM_COUNT});\
         opacity:calc((1 - var(--t))*(1 - .2*var(--s,0)))}}\
         u{{flex:none;width:{width};height:calc(10*{height});transform:translateY(calc(-1*{height}*var(--v,0)));\
         background:url({path}) 0 0/100% 100%}}\
         @media(prefers-reduced-motion:no-preference){{u{{transition:transform .5s}}}}"
    );
    drum_values(css);
}

/// How many drums there are, or how many are as wide as the text in their place.
const DRUM_COUNT: &str = "max(var(--n,5),-1*var(--n,5))";

/// Each drum shows its digit of the newest update's number, and where that is text, or the browser cannot round, the text is
/// shown (`--t`). The half keeps what is divided away from whole numbers, which browsers may miss by a little.
fn drum_values(css: &mut String) {
    css.push_str(".n{--t:1}@supports(width:calc(1px*mod(round(down,1.5,1),10))){.n{--t:clamp(0,-1*var(--n,5),1)}}");
    for (place, drum) in DRUMS.into_iter().enumerate() {
        let (property, place) = if place < PROPERTY_DIGITS { ("a", place) } else { ("b", place - PROPERTY_DIGITS) };
        let unit = 10_u32.pow(place as u32);
        let _ = write!(css, "u.{drum}{{--v:mod(round(down,(var(--{property},0) + .5)/{unit},1),10)}}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(query: &str) -> Look {
        Look::from_query(query).expect("a look")
    }

    #[test]
    fn labels_cannot_end_their_element() {
        let start = start("online", &look("label=%3C/span%3E%3Cscript%3E%22%26'"), None, Theme::Auto);
        assert!(start.contains("&lt;/span&gt;&lt;script&gt;&quot;&amp;&#39;") && !start.contains("<script"), "{start}");
    }

    #[test]
    fn themes_fix_the_colours() {
        let of = |theme| start("online", &look("style=plain"), None, theme);
        assert!(of(Theme::Auto).contains("content=\"light dark\"") && of(Theme::Auto).contains("prefers-color-scheme"));
        assert!(of(Theme::Dark).contains("content=\"dark\"") && of(Theme::Dark).contains("color:#e6eaee"));
        assert!(!of(Theme::Light).contains("e6eaee"));
    }

    #[test]
    fn refreshes_are_within_their_bounds_and_spread() {
        let refresh = |document: &str| -> u64 {
            let (_, rest) = document.split_once("refresh\" content=\"").expect("a refresh");
            rest.split('"').next().expect("a number").parse().expect("a number")
        };
        let all: Vec<u64> = (0..200).map(|_| refresh(&start("online", &look(""), None, Theme::Auto))).collect();
        assert!(all.iter().all(|seconds| REFRESH_SECONDS.contains(seconds)) && all.iter().any(|one| one != &all[0]));
        for frame in [LiveFrame::Lazy, LiveFrame::AtOnce] {
            let outer = outer("online", ("/online/live.html", frame), None, Theme::Auto, Duration::from_secs(60));
            assert!((60..=120).contains(&refresh(&outer)));
        }
    }

    #[test]
    fn a_path_cannot_end_the_step_towards_it() {
        let path = "/online/live.html?label=\"'>&lt;";
        let outer = outer("online", (path, LiveFrame::AtOnce), None, Theme::Auto, Duration::from_secs(60));
        let (_, rest) = outer.split_once("srcdoc=\"").expect("a step");
        let (step, _) = rest.split_once('"').expect("its end");
        assert!(!step.contains(['<', '>', '\'']), "{step}");
        let unescaped = |text: &str| {
            let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
            text.replace("&amp;", "&")
        };
        let step = unescaped(step);
        let (_, url) = step.split_once("content=\"0;url=").expect("a refresh");
        assert_eq!(unescaped(url.split_once('"').expect("its end").0), path);
    }
}
