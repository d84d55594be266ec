//! The rules that span several options, or an option and the machine.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::ArgMatches;
use clap::parser::ValueSource;
use headcount_drawing::SpriteSets;
use headcount_presence::{HistoryFile, RedisUrl};

use super::config_errors::ConfigErrors;
use super::parse::{CounterRule, Optional};
use super::setting::Settings;

/// A command's values, and where they come from.
pub(super) struct Rules<'a> {
    /// What clap has found.
    pub(super) matches: &'a ArgMatches,
    /// Where it found what is not on the command line.
    pub(super) settings: &'a Settings,
}

impl Rules<'_> {
    /// Adds an error for each rule that is broken. Options that are wrong by themselves, or that the command does not have,
    /// break none.
    pub(super) fn check(&self, errors: &mut ConfigErrors) {
        self.check_sign_key(errors);
        self.check_addresses(errors);
        self.check_certificates(errors);
        self.check_sprites(errors);
        self.check_data(errors);
    }

    /// `--counters signed` needs a `--sign-key`.
    fn check_sign_key(&self, errors: &mut ConfigErrors) {
        if let (Some(rule), false) = (self.value::<CounterRule>("counters"), self.settings.is_refused("sign_key"))
            && let Ok(key) = self.matches.try_get_one::<String>("sign_key")
            && let Err(why) = rule.with_key(key.map(String::as_str))
        {
            errors.add(&self.name("counters"), "signed", why);
        }
    }

    /// The two ports are not the same.
    fn check_addresses(&self, errors: &mut ConfigErrors) {
        if let (Some(listen), Some(admin)) = (self.value::<SocketAddr>("listen"), self.value::<SocketAddr>("admin"))
            && overlap(*listen, *admin)
        {
            let why = format!("must be another port than that of {} {listen}", self.name("listen"));
            errors.add(&self.name("admin"), &admin.to_string(), why);
        }
    }

    /// The certificates that TLS to Redis trusts can be read.
    fn check_certificates(&self, errors: &mut ConfigErrors) {
        if let Some(Some(url)) = self.value::<Optional<RedisUrl>>("redis")
            && let Err(why) = url.check_certificates()
        {
            errors.add(&self.name("redis"), &url.to_string(), why);
        }
    }

    /// The sets of sprites can be drawn with.
    fn check_sprites(&self, errors: &mut ConfigErrors) {
        if let Some(Some(folder)) = self.value::<Optional<PathBuf>>("sprites")
            && let Err(mistakes) = SpriteSets::read(folder)
        {
            for mistake in mistakes.iter() {
                errors.add(&self.name("sprites"), &folder.to_string_lossy(), mistake);
            }
        }
    }

    /// The file with the past can be read, and nothing else keeps it.
    fn check_data(&self, errors: &mut ConfigErrors) {
        if let Some(Some(file)) = self.value::<Optional<PathBuf>>("data") {
            if let Some(Some(_)) = self.value::<Optional<RedisUrl>>("redis") {
                let why = format!("must be left out with {}, which keeps the past", self.name("redis"));
                errors.add(&self.name("data"), &file.to_string_lossy(), why);
            } else if let Err(why) = HistoryFile::open(file) {
                errors.add(&self.name("data"), &file.to_string_lossy(), why.to_string());
            }
        }
    }

    /// Returns an option's value if it is valid.
    fn value<T: Clone + Send + Sync + 'static>(&self, id: &str) -> Option<&T> {
        self.matches.try_get_one(id).ok().flatten().filter(|_| !self.settings.is_refused(id))
    }

    /// Returns an option's name where its value was given.
    fn name(&self, id: &str) -> String {
        let is_argument = self.matches.value_source(id) == Some(ValueSource::CommandLine);
        match self.settings.get(id) {
            Some(setting) if !is_argument => setting.name.clone(),
            _ => format!("--{}", id.replace('_', "-")),
        }
    }
}

/// Returns whether one process cannot listen on both. Port 0 is another one each time, and an IPv6 address that stands for
/// all accepts IPv4 too.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |all: IpAddr, one: IpAddr| all.is_unspecified() && (all.is_ipv6() || one.is_ipv4());
    a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_overlap_as_for_the_kernel() {
        let address = |text: &str| text.parse().expect("an address");
        for (a, b, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("0.0.0.0:80", "[::]:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::1]:80", "127.0.0.1:80", false),
        ] {
            assert_eq!(overlap(address(a), address(b)), expected, "{a} {b}");
            assert_eq!(overlap(address(b), address(a)), expected, "{b} {a}");
        }
    }
}
