//! What a path asks for.

use headcount_drawing::Format;

use crate::counters::{Addressed, Counters};
use crate::http::error::Refused;

/// A path of the public side, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) enum Address {
    /// `/{counter}`: the page with the embed codes.
    Page(Addressed),
    /// `/{counter}.png`, `.jpg`: the live stream.
    Stream(Addressed, Format),
    /// `/{counter}.json`: the number for programs.
    Number(Addressed),
    /// `/{counter}/snapshot.png`, `.jpg`, `.svg`: one picture.
    Snapshot(Addressed, Format),
}

impl Address {
    /// Reads a path of one segment.
    pub(in crate::http) fn of_one(path: &str, counters: &Counters) -> Result<Self, Refused> {
        let file = path.trim_start_matches('/');
        let (name, extension) = file.rsplit_once('.').unwrap_or((file, ""));
        match (extension, Format::from_extension(extension)) {
            ("json", _) => Ok(Self::Number(counters.read(name)?)),
            (_, Some(Format::Svg)) => Err(Refused::NotFound),
            (_, Some(format)) => Ok(Self::Stream(counters.read(name)?, format)),
            (_, None) => Ok(Self::Page(counters.read(file)?)),
        }
    }

    /// Reads a path of two segments.
    pub(in crate::http) fn of_two(path: &str, counters: &Counters) -> Result<Self, Refused> {
        let (counter, file) = path.trim_start_matches('/').split_once('/').ok_or(Refused::NotFound)?;
        let format = file.strip_prefix("snapshot.").and_then(Format::from_extension).ok_or(Refused::NotFound)?;
        Ok(Self::Snapshot(counters.read(counter)?, format))
    }
}

#[cfg(test)]
mod tests {
    use headcount_presence::CounterName;

    use super::*;

    fn one(path: &str) -> Result<Address, Refused> {
        Address::of_one(path, &Counters::Any)
    }

    fn two(path: &str) -> Result<Address, Refused> {
        Address::of_two(path, &Counters::Any)
    }

    fn named(name: &str) -> Addressed {
        Addressed { name: CounterName::parse(name).expect("a good name"), address: name.to_owned() }
    }

    #[test]
    fn each_address_is_read() {
        assert_eq!(one("/online").expect("page"), Address::Page(named("online")));
        assert_eq!(one("/online.png").expect("stream"), Address::Stream(named("online"), Format::Png));
        assert_eq!(one("/online.jpg").expect("stream"), Address::Stream(named("online"), Format::Jpeg));
        assert_eq!(one("/online.json").expect("number"), Address::Number(named("online")));
        assert_eq!(two("/online/snapshot.svg").expect("snapshot"), Address::Snapshot(named("online"), Format::Svg));
        let dotted = named("blog.example.org");
        assert_eq!(one("/blog.example.org.png").expect("stream"), Address::Stream(dotted, Format::Png));
    }

    #[test]
    fn other_addresses_are_refused() {
        for path in ["/Online.png", "/-a.png", "/.png", "/online.svg", "/a%20b", "/a.png.png", "/é.png"] {
            assert!(one(path).is_err(), "{path}");
        }
        for path in ["/online/other.png", "/online/snapshot.gif", "/online/snapshot.json", "/online/"] {
            assert!(two(path).is_err(), "{path}");
        }
    }
}
