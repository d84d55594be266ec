//! Which sites may embed a counter's stream, and which programs fetch a picture for a preview.
//!
//! What the check of origins can do: it keeps other sites' pages from showing a counter to their visitors' browsers,
//! which always name the embedding site in `Referer` (or, told not to, name none, and are refused). What it cannot do:
//! stop a program, which writes into that header what it likes; those are bounded by the limits per address.

use std::collections::HashMap;

use axum::http::{HeaderMap, Uri, header};
use headcount_presence::CounterName;

/// Lists of origins by counter; a counter without a list may be embedded anywhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct EmbedPolicy(HashMap<CounterName, Vec<String>>);

impl EmbedPolicy {
    /// Reads `online=https://a.example,https://b.example;news=https://c.example`.
    ///
    /// # Errors
    /// What is malformed, and what is allowed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut lists = HashMap::new();
        for entry in text.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, origins) = entry.split_once('=').ok_or_else(|| wrong(entry))?;
            let name = CounterName::parse(name.trim()).map_err(|why| why.to_string())?;
            let origins: Option<Vec<String>> = origins.split(',').map(|text| bare_origin(text.trim())).collect();
            lists.insert(name, origins.ok_or_else(|| wrong(entry))?);
        }
        Ok(Self(lists))
    }

    /// Whether a page that asks with these headers may embed the counter.
    pub(in crate::http) fn allow(&self, counter: &CounterName, headers: &HeaderMap) -> bool {
        let Some(origins) = self.0.get(counter) else { return true };
        let referer = headers.get(header::REFERER).and_then(|value| value.to_str().ok());
        referer.and_then(origin).is_some_and(|origin| origins.contains(&origin))
    }
}

fn wrong(entry: &str) -> String {
    format!("{entry:?} must be COUNTER=ORIGIN,…, with origins as https://forum.example; entries have ; between")
}

/// The origin of an address: scheme, host and, where it is not the scheme's own, port.
fn origin(address: &str) -> Option<String> {
    let uri: Uri = address.parse().ok()?;
    let (scheme, host) = (uri.scheme_str()?, uri.host()?.to_ascii_lowercase());
    let port = uri.port_u16().filter(|port| !matches!((scheme, port), ("http", 80) | ("https", 443)));
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    matches!(scheme, "http" | "https").then(|| format!("{scheme}://{host}{port}"))
}

fn bare_origin(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    (matches!(uri.path(), "" | "/") && uri.query().is_none()).then(|| origin(text)).flatten()
}

/// Words in the `User-Agent` of programs that fetch a page's pictures for a preview, a cache or an index. They get one
/// picture, and are nobody. From the programs' own documentation.
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

/// Whether a program asks that fetches pictures for somebody else.
pub(in crate::http) fn is_fetcher(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let agent = agent.to_ascii_lowercase();
    FETCHERS.iter().any(|word| agent.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a header value"))])
    }

    #[test]
    fn a_list_lets_its_origins_in_alone() {
        let online = CounterName::parse("online").expect("a good name");
        let embed_policy =
            EmbedPolicy::parse("online=https://Forum.example,http://127.0.0.1:8081; b=https://b.example");
        let embed_policy = embed_policy.expect("two lists");
        for allowed in ["https://forum.example/a?b", "https://forum.example:443/", "http://127.0.0.1:8081/x"] {
            assert!(embed_policy.allow(&online, &headers(header::REFERER, allowed)), "{allowed}");
        }
        for refused in ["http://forum.example/", "https://forum.example.evil.example/", "https://b.example/", "about:"]
        {
            assert!(!embed_policy.allow(&online, &headers(header::REFERER, refused)), "{refused}");
        }
        assert!(!embed_policy.allow(&online, &HeaderMap::new()));
        assert!(embed_policy.allow(&CounterName::parse("free").expect("a good name"), &HeaderMap::new()));
    }

    #[test]
    fn malformed_lists_are_refused() {
        for wrong in ["online", "online=forum.example", "online=https://a.example/path", "Online=https://a.example"] {
            assert!(EmbedPolicy::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn fetchers_are_told_from_browsers() {
        assert!(is_fetcher(&headers(header::USER_AGENT, "Mozilla/5.0 (compatible; Discordbot/2.0)")));
        assert!(!is_fetcher(&headers(header::USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0.0.0")));
    }
}
