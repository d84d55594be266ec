//! Checks the command line's texts and makes values of them. Each reader's error says what is allowed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use headcount_drawing::{Format, Look};
use headcount_presence::{AddressLimits, CounterName, RedisUrl};
use ipnet::IpNet;

use super::config_errors::ConfigErrors;
use super::serve::{DrawArgs, HealthcheckArgs, ServeArgs, SignArgs, StatusArgs, WatchArgs};
use super::{
    DrawOptions, ForwardedHeader, HealthcheckOptions, LogFormat, ServeOptions, SignOptions, StatusOptions, WatchOptions,
};
use crate::counters::{Counters, MIN_KEY_BYTES, SigningKey};
use crate::http::EmbedPolicy;

/// Stands for an address that is a mistake; nothing is started with it.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
const HOUR: Duration = Duration::from_secs(3600);
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

pub(super) fn serve(args: ServeArgs, errors: &mut ConfigErrors) -> ServeOptions {
    let keepalive = errors.take("--keepalive", &args.keepalive, HOUR, duration(SECOND, HOUR));
    let stall_limit = errors.take("--stall-limit", &args.stall_limit, HOUR, duration(SECOND, HOUR));
    ServeOptions {
        listen: errors.take("--listen", &args.listen, NOWHERE, address),
        admin: errors.take("--admin", &args.admin, NOWHERE, address),
        redis: errors.take_option("--redis", args.redis.as_deref(), RedisUrl::parse),
        redis_prefix: errors.take("--redis-prefix", &args.redis_prefix, String::new(), prefix),
        public_url: errors.take_option("--public-url", args.public_url.as_deref(), public_url),
        counters: errors
            .take("--counters", &args.counters, Counters::Any, |text| counters(text, args.sign_key.as_deref())),
        embed_policy: errors
            .take_option("--embed-from", args.embed_from.as_deref(), EmbedPolicy::parse)
            .unwrap_or_default(),
        grace: errors.take("--grace", &args.grace, Duration::ZERO, duration(Duration::ZERO, HOUR)),
        small: errors.take("--small", &args.small, 0, number(0, u64::from(u32::MAX))),
        limits: AddressLimits {
            per_counter: errors.take("--max-address-streams", &args.max_address_streams, 1, number(1, 1_000_000)),
            in_all: errors.take(
                "--max-address-streams-in-all",
                &args.max_address_streams_in_all,
                1,
                number(1, 1_000_000),
            ),
            per_second: errors.take("--max-address-rate", &args.max_address_rate, 1, number(1, 100_000)),
            exempt: errors.take("--limit-exempt", &args.limit_exempt, Vec::new(), |text| match text {
                "" => Ok(Vec::new()),
                _ => networks(text),
            }),
        },
        proxy_protocol_from: errors
            .take_option("--proxy-protocol-from", args.proxy_protocol_from.as_deref(), networks)
            .unwrap_or_default(),
        forwarded_from: errors
            .take_option("--forwarded-from", args.forwarded_from.as_deref(), networks)
            .unwrap_or_default(),
        forwarded_header: errors.take(
            "--forwarded-header",
            &args.forwarded_header,
            ForwardedHeader::XForwardedFor,
            forwarded_header,
        ),
        shards: errors.take_option("--shards", args.shards.as_deref(), number(1, 64)),
        max_viewers: errors.take_option("--max-viewers", args.max_viewers.as_deref(), number(1, 10_000_000)),
        max_viewers_per_counter: errors.take_option(
            "--max-viewers-per-counter",
            args.max_viewers_per_counter.as_deref(),
            number(1, 10_000_000),
        ),
        max_looks: errors.take("--max-looks", &args.max_looks, 1, number(1, 1_000_000)),
        frame_rate: errors.take("--frame-rate", &args.frame_rate, 1.0, rate(0.01, 60.0)),
        keepalive,
        stall_limit,
        head_timeout: errors.take("--head-timeout", &args.head_timeout, HOUR, duration(100 * MILLISECOND, HOUR)),
        max_heads: errors.take("--max-heads", &args.max_heads, 1, number(1, 1_000_000)),
        accept_rate: errors.take("--accept-rate", &args.accept_rate, 1, number(100, 1_000_000)),
        drain_delay: errors.take("--drain-delay", &args.drain_delay, HOUR, duration(Duration::ZERO, HOUR)),
        drain: errors.take("--drain", &args.drain, HOUR, duration(Duration::ZERO, HOUR)),
        font: errors.take_option("--font", args.font.as_deref(), font),
        log: errors.take("--log", &args.log, String::new(), log_filter),
        log_format: errors.take("--log-format", &args.log_format, LogFormat::Auto, log_format),
    }
}

pub(super) fn draw(args: DrawArgs, errors: &mut ConfigErrors) -> Option<DrawOptions> {
    let count = errors.take("COUNT", &args.count, 0, number(0, u64::MAX));
    let look = errors.take("--look", &args.look, Look::default(), Look::from_query);
    let font = errors.take_option("--font", args.font.as_deref(), font);
    let format = errors.take_option("--out", Some(&args.out), picture_format)?;
    errors.is_empty().then(|| DrawOptions { count, out: args.out.into(), look, format, stale: args.stale, font })
}

pub(super) fn watch(args: WatchArgs, errors: &mut ConfigErrors) -> Option<WatchOptions> {
    let frames = errors.take_option("--frames", args.frames.as_deref(), number(1, u64::MAX));
    let url = errors.take_option("URL", Some(&args.url), stream_url)?;
    errors.is_empty().then_some(WatchOptions { url, json: args.json, frames })
}

pub(super) fn sign(args: &SignArgs, errors: &mut ConfigErrors) -> Option<SignOptions> {
    let names = args.names.iter().filter_map(|name| errors.take_option("NAME", Some(name), counter_name)).collect();
    let key = sign_key(&args.sign_key).map_err(|why| errors.add("--sign-key", "…", why)).ok()?;
    errors.is_empty().then_some(SignOptions { names, key })
}

pub(super) fn status(args: StatusArgs, errors: &mut ConfigErrors) -> Option<StatusOptions> {
    let redis_prefix = errors.take("--redis-prefix", &args.redis_prefix, String::new(), prefix);
    let redis = errors.take_option("--redis", Some(&args.redis), RedisUrl::parse)?;
    errors.is_empty().then_some(StatusOptions { redis, redis_prefix, json: args.json })
}

pub(super) fn healthcheck(args: &HealthcheckArgs, errors: &mut ConfigErrors) -> HealthcheckOptions {
    let mut admin = errors.take("--admin", &args.admin, NOWHERE, address);
    match admin {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => admin.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => admin.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    HealthcheckOptions { admin }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "must be an address and a port, as 0.0.0.0:8080 or [::1]:8080".into())
}

/// So many a second.
fn rate(least: f64, most: f64) -> impl Fn(&str) -> Result<f64, String> {
    move |text| {
        let value: Option<f64> = text.parse().ok().filter(|value| (least..=most).contains(value));
        value.ok_or_else(|| format!("must be a number from {least} to {most}, as 10 or 0.5"))
    }
}

fn number<N: TryFrom<u64>>(least: u64, most: u64) -> impl Fn(&str) -> Result<N, String> {
    move |text| {
        let value: Option<u64> = text.parse().ok().filter(|value| (least..=most).contains(value));
        value.and_then(|value| N::try_from(value).ok()).ok_or_else(|| match most {
            u64::MAX => format!("must be a whole number of at least {least}"),
            _ => format!("must be a whole number from {least} to {most}"),
        })
    }
}

fn duration(least: Duration, most: Duration) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        read_duration(text)
            .filter(|value| (least..=most).contains(value))
            .ok_or_else(|| format!("must be a time from {least:?} to {most:?}, as 500ms, 15s or 2m"))
    }
}

fn read_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (value, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "" if value == "0" => 1.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(value.parse::<f64>().ok()? * seconds).ok()
}

fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let network = |part: &str| {
        let part = part.trim();
        IpNet::from_str(part).or_else(|_| part.parse::<IpAddr>().map(IpNet::from).map_err(|_| part.to_owned()))
    };
    text.split(',')
        .map(network)
        .collect::<Result<_, _>>()
        .map_err(|part| format!("{part:?} is no network; must be addresses or CIDRs, as 10.0.0.0/8,fd00::/8"))
}

fn forwarded_header(text: &str) -> Result<ForwardedHeader, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "x-forwarded-for" => Ok(ForwardedHeader::XForwardedFor),
        "forwarded" => Ok(ForwardedHeader::Forwarded),
        _ => Err("must be x-forwarded-for or forwarded"),
    }
}

fn prefix(text: &str) -> Result<String, &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":._-".contains(c);
    let fits = (1..=64).contains(&text.len()) && text.chars().all(allowed);
    fits.then(|| text.to_owned()).ok_or("must be 1 to 64 of a-z, A-Z, 0-9 and :._- ({} would move keys in a cluster)")
}

fn public_url(text: &str) -> Result<String, &'static str> {
    let why = "must be http:// or https://, a host, perhaps a port, and nothing behind it";
    let uri: ::http::Uri = text.parse().map_err(|_| why)?;
    let bare = matches!(uri.scheme_str(), Some("http" | "https")) && matches!(uri.path(), "" | "/");
    if bare && uri.query().is_none() { Ok(text.trim_end_matches('/').to_owned()) } else { Err(why) }
}

fn counters(text: &str, sign_key: Option<&str>) -> Result<Counters, String> {
    match text {
        "any" => Ok(Counters::Any),
        "signed" => {
            let key = sign_key.ok_or("needs --sign-key")?;
            Ok(Counters::Signed(self::sign_key(key)?))
        }
        _ => text.split(',').map(counter_name).collect::<Result<_, _>>().map(Counters::Listed),
    }
}

fn counter_name(text: &str) -> Result<CounterName, String> {
    CounterName::parse(text.trim()).map_err(|why| why.to_string())
}

/// The key itself stands in no message.
fn sign_key(text: &str) -> Result<SigningKey, String> {
    SigningKey::new(text.as_bytes()).ok_or_else(|| format!("needs a --sign-key of {MIN_KEY_BYTES} bytes or more"))
}

fn font(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    std::fs::metadata(path).map(|_| path.to_owned()).map_err(|error| format!("cannot be read: {error}"))
}

fn picture_format(text: &str) -> Result<Format, &'static str> {
    if text == "-" {
        return Ok(Format::Png);
    }
    let extension = Path::new(text).extension().and_then(|extension| extension.to_str());
    extension.and_then(Format::from_extension).ok_or("must end in .png, .jpg or .svg, or be - for standard output")
}

fn stream_url(text: &str) -> Result<::http::Uri, &'static str> {
    let why = "must be the address of a stream over plain HTTP, as http://127.0.0.1:8080/online.png";
    let uri: ::http::Uri = text.parse().map_err(|_| why)?;
    if uri.scheme_str() == Some("http") && uri.host().is_some() { Ok(uri) } else { Err(why) }
}

fn log_filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("must be a level or a filter as info,headcount=debug: {error}")),
    }
}

fn log_format(text: &str) -> Result<LogFormat, &'static str> {
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
        for (text, expected) in [("500ms", 500), ("15s", 15_000), ("1.5s", 1500), ("2m", 120_000), ("0", 0)] {
            assert_eq!(read_duration(text), Some(Duration::from_millis(expected)), "{text}");
        }
        for wrong in ["", "5", "s", "1d", "-1s", "1 s", "1.2.3s"] {
            assert_eq!(read_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn networks_are_addresses_or_ranges() {
        assert_eq!(networks("10.0.0.0/8, ::1").map(|list| list.len()), Ok(2));
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
