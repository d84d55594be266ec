//! Which sites may embed a counter's stream.
//!
//! The policy keeps other sites' pages from showing a counter in their visitors' browsers: a browser names the embedding
//! site in `Referer`, and a request without one is refused. It does not stop a program, which can send any `Referer`. The
//! limits per address bound those.

use std::collections::HashMap;

use axum::http::{HeaderMap, Uri, header};
use headcount_presence::CounterName;

/// Allowed origins per counter. A counter without a list may be embedded anywhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct EmbedPolicy(HashMap<CounterName, Vec<String>>);

impl EmbedPolicy {
    /// Parses `online=https://a.example,https://b.example;news=https://c.example`.
    ///
    /// # Errors
    /// Says what is malformed and what is allowed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut lists = HashMap::new();
        for entry in text.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, origins) = entry.split_once('=').ok_or_else(|| malformed(entry))?;
            let name = CounterName::parse(name.trim()).map_err(|why| why.to_string())?;
            let origins: Option<Vec<String>> = origins.split(',').map(|text| parse_origin(text.trim())).collect();
            lists.insert(name, origins.ok_or_else(|| malformed(entry))?);
        }
        Ok(Self(lists))
    }

    /// Returns whether the page that sent a request with these headers may embed the counter. The node's own pages, at
    /// `own_origins`, always may.
    pub(super) fn allows<'a>(
        &self,
        counter: &CounterName,
        headers: &HeaderMap,
        own_origins: impl IntoIterator<Item = &'a String>,
    ) -> bool {
        let Some(origins) = self.0.get(counter) else { return true };
        let referer = headers.get(header::REFERER).and_then(|value| value.to_str().ok());
        let Some(embedder) = referer.and_then(origin) else { return false };
        origins.contains(&embedder) || own_origins.into_iter().filter_map(|own| origin(own)).any(|own| own == embedder)
    }
}

fn malformed(entry: &str) -> String {
    format!("{entry:?} must be COUNTER=ORIGIN,…, with origins as https://forum.example; entries have ; between")
}

/// Returns the origin of a URL: scheme, host and, if it is not the scheme's default, port.
fn origin(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let (scheme, host) = (uri.scheme_str()?, uri.host()?.to_ascii_lowercase());
    let port = uri.port_u16().filter(|port| !matches!((scheme, port), ("http", 80) | ("https", 443)));
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    matches!(scheme, "http" | "https").then(|| format!("{scheme}://{host}{port}"))
}

/// Parses an origin: a URL without path and query.
fn parse_origin(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    (matches!(uri.path(), "" | "/") && uri.query().is_none()).then(|| origin(text)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn referer(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::REFERER, value.parse().expect("a header value"))])
    }

    #[test]
    fn only_listed_origins_may_embed() {
        let online = CounterName::parse("online").expect("a valid name");
        let policy = EmbedPolicy::parse("online=https://Forum.example,http://127.0.0.1:8081; b=https://b.example");
        let policy = policy.expect("two lists");
        for allowed in ["https://forum.example/a?b", "https://forum.example:443/", "http://127.0.0.1:8081/x"] {
            assert!(policy.allows(&online, &referer(allowed), []), "{allowed}");
        }
        for refused in ["http://forum.example/", "https://forum.example.evil.example/", "https://b.example/", "about:"]
        {
            assert!(!policy.allows(&online, &referer(refused), []), "{refused}");
        }
        assert!(!policy.allows(&online, &HeaderMap::new(), []));
        let own = ["https://Count.example".to_owned()];
        assert!(policy.allows(&online, &referer("https://count.example:443/online"), &own));
        assert!(!policy.allows(&online, &referer("http://count.example/online"), &own));
        assert!(policy.allows(&CounterName::parse("free").expect("a valid name"), &HeaderMap::new(), []));
    }

    #[test]
    fn malformed_lists_are_errors() {
        for wrong in ["online", "online=forum.example", "online=https://a.example/path", "Online=https://a.example"] {
            assert!(EmbedPolicy::parse(wrong).is_err(), "{wrong}");
        }
    }
}
