//! [`Route`]: what a path of the public side leads to.

use headcount_drawing::Format;
use headcount_presence::CounterName;

use crate::counters::{CounterRef, Counters};
use crate::http::error::HttpError;

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/{counter}`: the page with the embed codes.
    Page(CounterRef),
    /// `/{counter}.png`, `.jpg`: the stream.
    Stream(CounterRef, Format),
    /// `/{counter}.json`: the count for programs.
    Json(CounterRef),
    /// `/{counter}/snapshot.png`, `.jpg`, `.svg`: one picture.
    Snapshot(CounterRef, Format),
}

impl Route {
    /// Parses a path of one segment.
    ///
    /// # Errors
    /// Fails if the path leads nowhere or the counter does not exist.
    pub(super) fn from_one_segment(path: &str, counters: &Counters) -> Result<Self, HttpError> {
        let file = path.trim_start_matches('/');
        let (name, extension) = file.rsplit_once('.').unwrap_or((file, ""));
        match (extension, Format::from_extension(extension)) {
            ("json", _) => Ok(Self::Json(counters.read(name)?)),
            (_, Some(Format::Svg)) => Err(HttpError::NotFound),
            (_, Some(format)) => Ok(Self::Stream(counters.read(name)?, format)),
            (_, None) => Ok(Self::Page(counters.read(file)?)),
        }
    }

    /// Parses a path of two segments.
    ///
    /// # Errors
    /// Fails if the path leads nowhere or the counter does not exist.
    pub(super) fn from_two_segments(path: &str, counters: &Counters) -> Result<Self, HttpError> {
        let (counter, file) = path.trim_start_matches('/').split_once('/').ok_or(HttpError::NotFound)?;
        let format = file.strip_prefix("snapshot.").and_then(Format::from_extension).ok_or(HttpError::NotFound)?;
        Ok(Self::Snapshot(counters.read(counter)?, format))
    }
}

/// Returns the counter that a path leads to, and its segment of the path. For the fuzz targets.
pub(crate) fn counter_ref(path: &str, counters: &Counters) -> Option<(CounterName, String)> {
    let route = Route::from_one_segment(path, counters).or_else(|_| Route::from_two_segments(path, counters));
    let (Route::Page(counter) | Route::Stream(counter, _) | Route::Json(counter) | Route::Snapshot(counter, _)) =
        route.ok()?;
    Some((counter.name, counter.path_segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(path: &str) -> Result<Route, HttpError> {
        Route::from_one_segment(path, &Counters::Any)
    }

    fn two(path: &str) -> Result<Route, HttpError> {
        Route::from_two_segments(path, &Counters::Any)
    }

    fn named(name: &str) -> CounterRef {
        CounterRef { name: CounterName::parse(name).expect("a valid name"), path_segment: name.to_owned() }
    }

    #[test]
    fn every_route_is_parsed() {
        assert_eq!(one("/online").expect("page"), Route::Page(named("online")));
        assert_eq!(one("/online.png").expect("stream"), Route::Stream(named("online"), Format::Png));
        assert_eq!(one("/online.jpg").expect("stream"), Route::Stream(named("online"), Format::Jpeg));
        assert_eq!(one("/online.json").expect("number"), Route::Json(named("online")));
        assert_eq!(two("/online/snapshot.svg").expect("snapshot"), Route::Snapshot(named("online"), Format::Svg));
        let dotted = named("blog.example.org");
        assert_eq!(one("/blog.example.org.png").expect("stream"), Route::Stream(dotted, Format::Png));
    }

    #[test]
    fn other_paths_are_errors() {
        for path in ["/Online.png", "/-a.png", "/.png", "/online.svg", "/a%20b", "/a.png.png", "/é.png"] {
            assert!(one(path).is_err(), "{path}");
        }
        for path in ["/online/other.png", "/online/snapshot.gif", "/online/snapshot.json", "/online/"] {
            assert!(two(path).is_err(), "{path}");
        }
    }
}
