//! Recognises programs that fetch a page's pictures for a link preview, a cache or an index.

use axum::http::{HeaderMap, header};

/// Parts of the `User-Agent` of such programs, in lower case. From the programs' own documentation.
const FETCHERS: [&str; 20] = [
    "applebot",
    "bingbot",
    "bingpreview",
    "discordbot",
    "duckduckbot",
    "embedly",
    "facebookexternalhit",
    "github-camo",
    "googlebot",
    "googleimageproxy",
    "linkedinbot",
    "mastodon",
    "pinterestbot",
    "redditbot",
    "skypeuripreview",
    "slackbot",
    "telegrambot",
    "twitterbot",
    "whatsapp",
    "yandexbot",
];

/// Returns whether the request comes from such a program. It gets one picture and is not counted.
pub(super) fn is_fetcher(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let agent = agent.to_ascii_lowercase();
    FETCHERS.iter().any(|part| agent.contains(part))
}
