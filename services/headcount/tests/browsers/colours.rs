//! The colours of frames: those of the reader's surroundings, or those that the page wants, and readable in either.

use std::collections::HashMap;

use crate::{
    browser::{Engine, OpenPage, Surroundings},
    frames::{Frame, find, frame},
    lock_browsers,
    node::{counts, start},
    site::Site,
};

/// The themes of a page's frames, and the colours of their borders, by which they are found on the screen.
const FRAMES: [(&str, [u8; 3]); 3] = [("auto", [255, 0, 255]), ("light", [0, 255, 255]), ("dark", [255, 255, 0])];
/// The least contrast of text by WCAG 2 at its level AAA. The level AA, which most demand, is 4.5.
const LEAST_CONTRAST: f64 = 7.0;

#[test]
fn chromium_frames_fit_light_and_dark_surroundings() {
    colours_in(Engine::Chromium);
}

#[test]
fn firefox_frames_fit_light_and_dark_surroundings() {
    colours_in(Engine::Firefox);
}

#[test]
fn webkit_frames_fit_light_and_dark_surroundings() {
    colours_in(Engine::WebKit);
}

fn colours_in(engine: Engine) {
    let _lock = lock_browsers();
    let node = start(&[]);
    let query = |theme: &str| format!("style=plain&label=&height=40&theme={theme}");
    let frames = FRAMES.map(|(theme, border)| frame(&node, &query(theme), border));
    let site = Site::with(&frames.join("\n"));
    for surroundings in [Surroundings::Light, Surroundings::Dark] {
        let page = OpenPage::new(engine, surroundings, &site);
        counts(&node, FRAMES.len() as u64);
        for (theme, border) in FRAMES {
            let place = find(&page.display, border);
            let pixels = Frame { display: &page.display, place }.still();
            let (ground, ink) = (ground(&pixels), ink(&pixels));
            let contrast = contrast(ground, ink);
            println!(
                "{engine:?}, {surroundings:?}: theme={theme} is {ink:?} on {ground:?}, a contrast of {contrast:.1}"
            );
            let screenshot = || format!("see {}", page.display.save_screenshot().display());
            assert!(contrast >= LEAST_CONTRAST, "{}", screenshot());
            let is_dark = theme == "dark" || (theme == "auto" && surroundings == Surroundings::Dark);
            assert_eq!(luminance(ground) < luminance(ink), is_dark, "{}", screenshot());
        }
        drop(page);
        counts(&node, 0);
    }
}

/// The colour of most pixels.
fn ground(pixels: &[[u8; 3]]) -> [u8; 3] {
    let mut counts: HashMap<[u8; 3], usize> = HashMap::new();
    for pixel in pixels {
        *counts.entry(*pixel).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).expect("a frame has pixels").0
}

/// The colour that differs most from the ground: that of a stroke's middle.
fn ink(pixels: &[[u8; 3]]) -> [u8; 3] {
    let ground = ground(pixels);
    let by_contrast = |one: &&[u8; 3], other: &&[u8; 3]| contrast(ground, **one).total_cmp(&contrast(ground, **other));
    *pixels.iter().max_by(by_contrast).expect("a frame has pixels")
}

/// Relative luminance by WCAG 2, from 0 to 1.
fn luminance(colour: [u8; 3]) -> f64 {
    let [red, green, blue] = colour.map(|channel| {
        let value = f64::from(channel) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    });
    red * 0.2126 + green * 0.7152 + blue * 0.0722
}

/// The contrast of two colours by WCAG 2, from 1 to 21.
fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
    let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
    one.max(other) / one.min(other)
}
