//! What the styles share: sizes derived from the height.

/// Digits up to this height are made as large as the picture allows.
const SMALL_DIGITS: u32 = 8;

/// Returns a share of a height, in whole pixels.
pub(crate) fn share(height: u32, share: f32) -> u32 {
    (height as f32 * share).round() as u32
}

/// Returns the height of the digits: the nearest to `preferred` that leaves the same number of pixels above and below.
pub(crate) fn digit_height(height: u32, preferred: f32) -> u32 {
    let preferred = preferred.max(SMALL_DIGITS.min(height - 6) as f32);
    let margin = ((height as f32 - preferred) / 2.0 - 0.001).round() as u32;
    height - 2 * margin
}

/// Returns the baseline that centres digits of a height.
pub(crate) fn baseline(height: u32, digit_height: u32) -> i32 {
    (height - (height - digit_height) / 2) as i32
}
