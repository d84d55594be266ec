//! Parsers of option values. Each error says what is allowed.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use headcount_drawing::{Artist, Format};
use headcount_presence::CounterName;
use ipnet::IpNet;

use crate::counters::{Counters, MIN_KEY_BYTES, SigningKey};
use crate::http::ForwardedHeader;
use crate::logging::LogFormat;

/// An option that may be absent. Unlike for a plain `Option`, clap passes an empty value to the parser; see [`optional`].
pub(super) type Optional<T> = Option<T>;

/// A list of networks, as one value.
pub(super) type Networks = Vec<IpNet>;

/// Parses an option that may be absent: an empty value counts as absent.
pub(super) fn optional<T, E>(
    parse: impl Fn(&str) -> Result<T, E> + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<Option<T>, E> + Clone + Send + Sync + 'static {
    move |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

/// Parses a number per second.
pub(super) fn rate(min: f64, max: f64) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync + 'static {
    move |text| {
        let value = text.parse().ok().filter(|value| (min..=max).contains(value));
        value.ok_or_else(|| format!("must be a number from {min} to {max}, as 10 or 0.5"))
    }
}

/// Parses a whole number.
pub(super) fn number<N: TryFrom<u64>>(
    min: u64,
    max: u64,
) -> impl Fn(&str) -> Result<N, String> + Clone + Send + Sync + 'static {
    move |text| {
        let value = text.parse().ok().filter(|value| (min..=max).contains(value));
        value.and_then(|value| N::try_from(value).ok()).ok_or_else(|| match max {
            u64::MAX => format!("must be a whole number of at least {min}"),
            _ => format!("must be a whole number from {min} to {max}"),
        })
    }
}

/// Parses a duration with its unit.
pub(super) fn duration(
    min: Duration,
    max: Duration,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    move |text| {
        let value = humantime::parse_duration(text).ok().filter(|value| (min..=max).contains(value));
        value.ok_or_else(|| format!("must be a time from {min:?} to {max:?}, as 500ms, 15s or 2m"))
    }
}

/// Parses an IP address and a port.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "must be an address and a port, as 0.0.0.0:8080 or [::1]:8080")
}

/// Parses an address to connect to. One that listens on every interface is reached on loopback.
pub(super) fn reachable_address(text: &str) -> Result<SocketAddr, &'static str> {
    let mut address = socket_address(text)?;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(address)
}

/// Parses addresses and CIDRs, separated by commas. An empty text is an empty list.
pub(super) fn networks(text: &str) -> Result<Networks, String> {
    let network = |part: &str| {
        let part = part.trim();
        part.parse().or_else(|_| part.parse::<IpAddr>().map(IpNet::from).map_err(|_| part.to_owned()))
    };
    let parts = text.split(',').filter(|_| !text.is_empty());
    parts
        .map(network)
        .collect::<Result<_, _>>()
        .map_err(|part| format!("{part:?} is no network; must be addresses or CIDRs, as 10.0.0.0/8,fd00::/8"))
}

/// Parses a header's name, in any case.
pub(super) fn forwarded_header(text: &str) -> Result<ForwardedHeader, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "x-forwarded-for" => Ok(ForwardedHeader::XForwardedFor),
        "forwarded" => Ok(ForwardedHeader::Forwarded),
        _ => Err("must be x-forwarded-for or forwarded"),
    }
}

/// Parses the prefix of keys in Redis.
pub(super) fn redis_prefix(text: &str) -> Result<String, &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":._-".contains(c);
    let fits = (1..=64).contains(&text.len()) && text.chars().all(allowed);
    fits.then(|| text.to_owned()).ok_or("must be 1 to 64 of a-z, A-Z, 0-9 and :._- ({} would move keys in a cluster)")
}

/// Parses a URL without path and query. Returns it without a trailing slash.
pub(super) fn public_url(text: &str) -> Result<String, &'static str> {
    let why = "must be http:// or https://, a host, perhaps a port, and nothing behind it";
    let uri: ::http::Uri = text.parse().map_err(|_| why)?;
    let bare = matches!(uri.scheme_str(), Some("http" | "https")) && matches!(uri.path(), "" | "/");
    if bare && uri.query().is_none() { Ok(text.trim_end_matches('/').to_owned()) } else { Err(why) }
}

/// Which counters exist. For [`Signed`](Self::Signed), the key is another option.
#[derive(Clone, Debug)]
pub(super) enum CounterRule {
    /// Every valid name.
    Any,
    /// These names.
    Listed(Vec<CounterName>),
    /// Signed names.
    Signed,
}

impl CounterRule {
    /// Parses `any`, `signed` or a list of names.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "any" => Ok(Self::Any),
            "signed" => Ok(Self::Signed),
            _ => text.split(',').map(counter_name).collect::<Result<_, _>>().map(Self::Listed),
        }
    }

    /// Returns which counters exist if `key` is the `--sign-key`.
    pub(super) fn with_key(&self, key: Option<&str>) -> Result<Counters, String> {
        Ok(match self {
            Self::Any => Counters::Any,
            Self::Listed(names) => Counters::Listed(names.clone()),
            Self::Signed => Counters::Signed(sign_key(key.ok_or("needs --sign-key")?)?),
        })
    }
}

/// Parses a counter's name.
pub(super) fn counter_name(text: &str) -> Result<CounterName, String> {
    CounterName::parse(text.trim()).map_err(|why| why.to_string())
}

/// Parses a key. The error does not contain it.
pub(super) fn sign_key(text: &str) -> Result<SigningKey, String> {
    SigningKey::new(text.as_bytes()).ok_or_else(|| format!("needs a --sign-key of {MIN_KEY_BYTES} bytes or more"))
}

/// Parses the path of a file.
pub(super) fn path(text: &str) -> Result<PathBuf, Infallible> {
    Ok(text.into())
}

/// Parses the path of a font's file.
pub(super) fn font(text: &str) -> Result<PathBuf, String> {
    let bytes = std::fs::read(text).map_err(|error| format!("cannot be read: {error}"))?;
    Artist::with_font(bytes).map(|_| text.into()).map_err(|error| error.to_string())
}

/// Where a picture is written: a path, or `-` for standard output.
#[derive(Clone, Debug)]
pub(crate) struct PictureFile {
    /// The path.
    pub(crate) path: PathBuf,
    /// The format that the path's extension names, PNG for standard output.
    pub(crate) format: Format,
}

impl PictureFile {
    /// Parses the path.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let extension = Path::new(text).extension().and_then(|extension| extension.to_str());
        let format = if text == "-" { Some(Format::Png) } else { extension.and_then(Format::from_extension) };
        let format = format.ok_or("must end in .png, .jpg or .svg, or be - for standard output")?;
        Ok(Self { path: text.into(), format })
    }
}

/// Parses an `http://` URL.
pub(super) fn stream_url(text: &str) -> Result<::http::Uri, &'static str> {
    let why = "must be the address of a stream, as http://127.0.0.1:8080/online.png";
    let uri: ::http::Uri = text.parse().map_err(|_| why)?;
    if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() { Ok(uri) } else { Err(why) }
}

/// Parses a shell's name.
pub(super) fn shell(text: &str) -> Result<clap_complete::Shell, &'static str> {
    text.parse().map_err(|_| "must be bash, elvish, fish, powershell or zsh")
}

/// Checks a filter of log lines.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("must be a level or a filter as info,headcount=debug: {error}")),
    }
}

/// Parses a format of log lines.
pub(super) fn log_format(text: &str) -> Result<LogFormat, &'static str> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be auto, pretty or json"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let any = duration(Duration::ZERO, Duration::from_secs(3600));
        for (text, expected) in
            [("500ms", 500), ("15s", 15_000), ("1.5s", 1500), ("2m", 120_000), ("1h", 3_600_000), ("0", 0)]
        {
            assert_eq!(any(text), Ok(Duration::from_millis(expected)), "{text}");
        }
        for wrong in ["", "5", "s", "1d", "-1s", "1.2.3s"] {
            assert!(any(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn networks_are_addresses_or_ranges() {
        assert_eq!(networks("10.0.0.0/8, ::1").map(|list| list.len()), Ok(2));
        assert_eq!(networks("").map(|list| list.len()), Ok(0));
        assert!(networks("10.0.0.0/8,host").is_err());
    }

    #[test]
    fn a_public_url_ends_with_its_host() {
        assert_eq!(public_url("https://count.example/"), Ok("https://count.example".into()));
        for wrong in ["count.example", "ftp://count.example", "https://count.example/a", "https://a/?b"] {
            assert!(public_url(wrong).is_err(), "{wrong}");
        }
    }
}
