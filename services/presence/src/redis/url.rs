//! The address of Redis: one server, the master that Sentinel names, or a cluster.

use std::fmt;
use std::str::FromStr;

use redis::{ConnectionAddr, ConnectionInfo, RedisConnectionInfo};

/// Sentinel's port if the address has none.
const SENTINEL_PORT: u16 = 26379;

/// The address of Redis, in one of these forms (`rediss` instead of `redis` uses TLS):
///
/// - `redis://[user:password@]host[:port][/database]`
/// - `redis+unix:///path/to/socket[?db=1&user=…&pass=…]`
/// - `redis+sentinel://[user:password@]host[:port],host[:port]/service[/database][?sentinel_password=…]`
/// - `redis+cluster://[user:password@]host[:port],host[:port]`
///
/// TLS trusts the system's certificates; the environment variable `SSL_CERT_FILE` names others. `Debug` and `Display`
/// omit passwords.
#[derive(Clone)]
pub struct RedisUrl {
    pub(super) topology: Topology,
    shown: String,
}

/// How Redis is deployed.
#[derive(Clone)]
pub(super) enum Topology {
    /// One server.
    One(Box<ConnectionInfo>),
    /// The server that the sentinels name as the master of the service.
    Sentinel { sentinels: Vec<ConnectionInfo>, service: String, master: Login },
    /// The masters of a cluster, which any of these nodes lists.
    Cluster(Vec<ConnectionInfo>),
}

/// How to connect to a server whose address is found later.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) settings: RedisConnectionInfo,
    pub(super) tls: bool,
}

/// Why a text is not an address of Redis. Never contains a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisUrlError {
    /// The scheme is unknown.
    #[error(
        "an address of Redis begins with redis://, rediss://, redis+unix://, redis+sentinel:// or redis+cluster://, \
         not with {0:?}"
    )]
    Scheme(String),
    /// The address of Sentinel has no service.
    #[error("the address of a Sentinel ends with the service's name: redis+sentinel://host,host/service")]
    NoService,
    /// The database is not a number.
    #[error("{0:?} is no number of a database")]
    Database(String),
    /// The query has an unknown parameter.
    #[error("unknown parameter {0:?}; sentinel_user and sentinel_password are known")]
    Parameter(String),
    /// One of the hosts, or the credentials, cannot be parsed.
    #[error("cannot read the host {host:?}: {reason}")]
    Host {
        /// The host as written.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why no server's certificate can be checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificatesError {
    /// A file or folder of certificates cannot be read, or is not in PEM form.
    #[error(
        "the certificates that TLS trusts cannot be read ({0}); SSL_CERT_FILE must name a readable file in PEM form"
    )]
    Unreadable(String),
    /// There is none.
    #[error("the system has no certificates that TLS could trust; SSL_CERT_FILE must name a file in PEM form")]
    None,
}

/// The parts of an address with several hosts.
struct Parts<'a> {
    credentials: &'a str,
    hosts: &'a str,
    path: &'a str,
    query: &'a str,
}

impl RedisUrl {
    /// Parses an address. Connects to nothing.
    pub fn parse(text: &str) -> Result<RedisUrl, RedisUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| RedisUrlError::Scheme(scheme_of(text)))?;
        let parts = Parts::of(rest);
        let topology = match scheme {
            "redis" | "rediss" => Topology::One(Box::new(one(text, parts.hosts)?)),
            "redis+unix" | "unix" => Topology::One(Box::new(one(text, "the socket")?)),
            "redis+sentinel" => sentinel("redis", &parts)?,
            "rediss+sentinel" => sentinel("rediss", &parts)?,
            "redis+cluster" => Topology::Cluster(hosts("redis", parts.credentials, &parts, None)?),
            "rediss+cluster" => Topology::Cluster(hosts("rediss", parts.credentials, &parts, None)?),
            other => return Err(RedisUrlError::Scheme(other.to_owned())),
        };
        let path = if parts.path.is_empty() { String::new() } else { format!("/{}", parts.path) };
        Ok(RedisUrl { topology, shown: format!("{scheme}://{}{path}", parts.hosts) })
    }

    /// Says which data it is about: the servers and the database, without the credentials.
    pub(super) fn database(&self) -> String {
        let database = match &self.topology {
            Topology::One(server) => server.redis_settings().db(),
            Topology::Sentinel { master, .. } => master.settings.db(),
            Topology::Cluster(_) => 0,
        };
        format!("{self} {database}")
    }

    /// Whether the address contains a password.
    pub fn has_password(&self) -> bool {
        let has = |info: &ConnectionInfo| info.redis_settings().password().is_some();
        match &self.topology {
            Topology::One(server) => has(server),
            Topology::Sentinel { sentinels, master, .. } => {
                master.settings.password().is_some() || sentinels.iter().any(has)
            }
            Topology::Cluster(nodes) => nodes.iter().any(has),
        }
    }

    /// Checks that the certificates which TLS to this Redis trusts can be read, as they are at every connection.
    ///
    /// # Errors
    /// Says which file cannot be read, or that no certificate was found.
    pub fn check_certificates(&self) -> Result<(), CertificatesError> {
        if !self.uses_tls() {
            return Ok(());
        }
        let found = rustls_native_certs::load_native_certs();
        match found.errors.into_iter().next() {
            Some(error) => Err(CertificatesError::Unreadable(error.to_string())),
            None if found.certs.is_empty() => Err(CertificatesError::None),
            None => Ok(()),
        }
    }

    /// Whether connections to this Redis use TLS.
    pub(super) fn uses_tls(&self) -> bool {
        let tls = |info: &ConnectionInfo| matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        match &self.topology {
            Topology::One(server) => tls(server),
            Topology::Sentinel { master, .. } => master.tls,
            Topology::Cluster(nodes) => nodes.iter().any(tls),
        }
    }
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Parts<'a> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        // A password may contain an unescaped slash or at-sign: the last at-sign ends the credentials.
        let (credentials, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        Parts { credentials, hosts, path, query }
    }
}

fn scheme_of(text: &str) -> String {
    // Without "://" the text may be anything, even a password: show only what is before the first separator.
    text.split([':', '@', '/']).next().unwrap_or_default().chars().take(20).collect()
}

fn one(address: &str, host: &str) -> Result<ConnectionInfo, RedisUrlError> {
    address.parse().map_err(|error: redis::RedisError| RedisUrlError::Host {
        host: host.to_owned(),
        reason: error.detail().map_or_else(|| error.to_string(), ToOwned::to_owned),
    })
}

fn hosts(
    scheme: &str,
    credentials: &str,
    parts: &Parts<'_>,
    default_port: Option<u16>,
) -> Result<Vec<ConnectionInfo>, RedisUrlError> {
    let login = if credentials.is_empty() { String::new() } else { format!("{credentials}@") };
    let with_port = |host: &str| match default_port {
        Some(port) if !host.rsplit(']').next().unwrap_or(host).contains(':') => format!("{host}:{port}"),
        _ => host.to_owned(),
    };
    parts.hosts.split(',').map(|host| one(&format!("{scheme}://{login}{}", with_port(host)), host)).collect()
}

fn sentinel(scheme: &str, parts: &Parts<'_>) -> Result<Topology, RedisUrlError> {
    let (service, database) = parts.path.split_once('/').unwrap_or((parts.path, ""));
    if service.is_empty() {
        return Err(RedisUrlError::NoService);
    }
    let database = if database.is_empty() {
        0
    } else {
        i64::from_str(database).map_err(|_| RedisUrlError::Database(database.to_owned()))?
    };
    let (mut user, mut password) = ("", "");
    for pair in parts.query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("sentinel_user", value) => user = value,
            ("sentinel_password", value) => password = value,
            (other, _) => return Err(RedisUrlError::Parameter(other.to_owned())),
        }
    }
    let credentials = if password.is_empty() { String::new() } else { format!("{user}:{password}") };
    let sentinels = hosts(scheme, &credentials, parts, Some(SENTINEL_PORT))?;
    // The credentials of the address are the master's; any host serves to read them.
    let master = hosts(scheme, parts.credentials, parts, None)?;
    let settings = master[0].redis_settings().clone().set_db(database);
    Ok(Topology::Sentinel {
        sentinels,
        service: service.to_owned(),
        master: Login { settings, tls: scheme == "rediss" },
    })
}

impl FromStr for RedisUrl {
    type Err = RedisUrlError;

    fn from_str(text: &str) -> Result<RedisUrl, RedisUrlError> {
        RedisUrl::parse(text)
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({})", self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(info: &ConnectionInfo) -> String {
        info.addr().to_string()
    }

    #[test]
    fn one_server() {
        let url = RedisUrl::parse("redis://alice:s3cret@example.org:6380/2").unwrap();
        let Topology::One(server) = &url.topology else { panic!("{url:?}") };
        assert_eq!(address(server), "example.org:6380");
        assert_eq!(server.redis_settings().username(), Some("alice"));
        assert_eq!(server.redis_settings().password(), Some("s3cret"));
        assert_eq!(server.redis_settings().db(), 2);
        assert!(!url.uses_tls());
        assert!(RedisUrl::parse("rediss://example.org").unwrap().uses_tls());
    }

    #[test]
    fn a_unix_socket() {
        let url = RedisUrl::parse("redis+unix:///run/redis.sock?db=1").unwrap();
        let Topology::One(server) = &url.topology else { panic!("{url:?}") };
        assert_eq!(address(server), "/run/redis.sock");
        assert_eq!(server.redis_settings().db(), 1);
    }

    #[test]
    fn sentinels_with_a_service() {
        let url = RedisUrl::parse("redis+sentinel://:pw@a:1,b/presence/3?sentinel_password=other").unwrap();
        let Topology::Sentinel { sentinels, service, master } = &url.topology else { panic!("{url:?}") };
        assert_eq!(sentinels.iter().map(address).collect::<Vec<_>>(), ["a:1", "b:26379"]);
        assert_eq!(sentinels[0].redis_settings().password(), Some("other"));
        assert_eq!((service.as_str(), master.settings.db()), ("presence", 3));
        assert_eq!(master.settings.password(), Some("pw"));
    }

    #[test]
    fn a_cluster_by_its_nodes() {
        let url = RedisUrl::parse("rediss+cluster://u:p@a,b:7001").unwrap();
        let Topology::Cluster(nodes) = &url.topology else { panic!("{url:?}") };
        assert_eq!(nodes.iter().map(address).collect::<Vec<_>>(), ["a:6379", "b:7001"]);
        assert!(url.uses_tls());
    }

    #[test]
    fn a_database_is_the_same_with_other_credentials() {
        let database = |text: &str| RedisUrl::parse(text).unwrap().database();
        let socket = database("redis+unix:///run/redis.sock?db=1&pass=old");
        assert_eq!(socket, database("redis+unix:///run/redis.sock?pass=new&db=1"));
        assert_ne!(socket, database("redis+unix:///run/redis.sock?db=2"));
        assert_eq!(database("redis://:old@a/2"), database("redis://alice:new@a/2"));
        assert_ne!(database("redis://a/2"), database("redis://b/2"));
        assert_ne!(database("redis+sentinel://a/presence/3"), database("redis+sentinel://a/presence/4"));
        assert!(!socket.contains("old"));
    }

    #[test]
    fn errors_name_the_wrong_part() {
        for (text, wanted) in [
            ("localhost:6379", "begins with redis://"),
            ("http://localhost", "not with \"http\""),
            ("redis+sentinel://a,b", "service's name"),
            ("redis+sentinel://a/s/x", "no number of a database"),
            ("redis+sentinel://a/s?x=y", "unknown parameter \"x\""),
            ("redis+cluster://a:notaport", "cannot read the host \"a:notaport\""),
            ("redis://", "cannot read the host"),
        ] {
            let error = RedisUrl::parse(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn passwords_are_found() {
        for (text, expected) in [
            ("redis://:pw@a", true),
            ("redis://alice@a", false),
            ("redis://a/2", false),
            ("redis+unix:///run/redis.sock?pass=pw", true),
            ("redis+sentinel://:pw@a,b/service", true),
            ("redis+sentinel://a,b/service?sentinel_password=pw", true),
            ("redis+sentinel://a,b/service", false),
            ("redis+cluster://u:pw@a,b", true),
            ("redis+cluster://a,b", false),
        ] {
            assert_eq!(RedisUrl::parse(text).unwrap().has_password(), expected, "{text}");
        }
    }

    #[test]
    fn passwords_are_never_shown() {
        for text in [
            "redis://alice:s3cret@example.org/2",
            "redis+sentinel://:s3cret@a,b/service?sentinel_password=s3cret",
            "redis+cluster://:s3cret@a,b",
            "redis+unix:///run/redis.sock?pass=s3cret",
            "redis+cluster://:s3cret@a:notaport",
            "wrong://:s3cret@a",
            "redis://:s3cret@a:notaport",
        ] {
            let said = match RedisUrl::parse(text) {
                Ok(url) => format!("{url} {url:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!said.contains("s3cret"), "{said}");
        }
    }
}
