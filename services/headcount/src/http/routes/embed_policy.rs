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
            let (name, origins) = entry.split_once('=').ok_or_else(|| {
                format!(
                    "{entry:?} must be COUNTER=ORIGIN,…, with origins as https://forum.example; entries have ; between"
                )
            })?;
            let name = CounterName::parse(name.trim()).map_err(|why| why.to_string())?;
            let origin = |text: &str| {
                parse_origin(text)
                    .ok_or_else(|| format!("{text:?} is no site; must be an origin, as https://forum.example"))
            };
            lists.insert(name, origins.split(',').map(|text| origin(text.trim())).collect::<Result<_, _>>()?);
        }
        Ok(Self(lists))
    }

    /// Returns the sources of a `frame-ancestors` directive: who may frame the counter's documents, one of which frames the
    /// other.
    pub(super) fn frame_ancestors(&self, counter: &CounterName) -> String {
        match self.0.get(counter) {
            // `*` has only the schemes of networks, and whoever tries an embed has the page in a file.
            None => "* file:".to_owned(),
            Some(origins) => {
                ["'self'"].into_iter().chain(origins.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
            }
        }
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
        // A browser sends `Origin` for events, and `Referer` for pictures.
        let named = headers.get(header::ORIGIN).or_else(|| headers.get(header::REFERER));
        let Some(embedder) = named.and_then(|value| value.to_str().ok()).and_then(origin) else { return false };
        origins.contains(&embedder) || own_origins.into_iter().filter_map(|own| origin(own)).any(|own| own == embedder)
    }
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
        let origin = |value: &str| HeaderMap::from_iter([(header::ORIGIN, value.parse().expect("a header value"))]);
        assert!(policy.allows(&online, &origin("https://forum.example"), []));
        assert!(!policy.allows(&online, &origin("null"), []));
        assert_eq!(policy.frame_ancestors(&online), "'self' https://forum.example http://127.0.0.1:8081");
        assert_eq!(policy.frame_ancestors(&CounterName::parse("free").expect("a valid name")), "* file:");
        assert!(policy.allows(&CounterName::parse("free").expect("a valid name"), &HeaderMap::new(), []));
    }

    #[test]
    fn malformed_lists_are_errors() {
        for wrong in ["online", "online=forum.example", "online=https://a.example/path", "Online=https://a.example"] {
            assert!(EmbedPolicy::parse(wrong).is_err(), "{wrong}");
        }
    }
}
