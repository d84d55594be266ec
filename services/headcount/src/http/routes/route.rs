//! [`Route`]: what a path of the public side leads to.

use headcount_drawing::Format;
use headcount_presence::CounterName;

use crate::counters::{CounterRef, Counters};
use crate::http::error::HttpError;
use crate::stream_format::StreamFormat;

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/{counter}`: the page with the embed codes.
    Page(CounterRef),
    /// `/{counter}.png`, `.jpg`, `/{counter}/live.html`, `/{counter}/events`: a stream.
    Stream(CounterRef, StreamFormat),
    /// `/{counter}.html`: the document of a frame, around the live one.
    Frame(CounterRef),
    /// `/{counter}.json`: the count for programs.
    Json(CounterRef),
    /// `/{counter}/history.json`: the past for programs.
    History(CounterRef),
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
            ("html", _) => Ok(Self::Frame(counters.read(name)?)),
            (_, Some(format)) => {
                let format = StreamFormat::of_pictures(format).ok_or(HttpError::NotFound)?;
                Ok(Self::Stream(counters.read(name)?, format))
            }
            (_, None) => Ok(Self::Page(counters.read(file)?)),
        }
    }

    /// Parses a path of two segments.
    ///
    /// # Errors
    /// Fails if the path leads nowhere or the counter does not exist.
    pub(super) fn from_two_segments(path: &str, counters: &Counters) -> Result<Self, HttpError> {
        let (counter, file) = path.trim_start_matches('/').split_once('/').ok_or(HttpError::NotFound)?;
        match file {
            "live.html" => return Ok(Self::Stream(counters.read(counter)?, StreamFormat::Html)),
            "history.json" => return Ok(Self::History(counters.read(counter)?)),
            "events" => return Ok(Self::Stream(counters.read(counter)?, StreamFormat::Events)),
            _ => {}
        }
        let format = file.strip_prefix("snapshot.").and_then(Format::from_extension).ok_or(HttpError::NotFound)?;
        Ok(Self::Snapshot(counters.read(counter)?, format))
    }
}

/// Returns the counter that a path leads to, and its segment of the path. For the fuzz targets.
pub(crate) fn counter_ref(path: &str, counters: &Counters) -> Option<(CounterName, String)> {
    let route = Route::from_one_segment(path, counters).or_else(|_| Route::from_two_segments(path, counters));
    let (Route::Page(counter)
    | Route::Stream(counter, _)
    | Route::Frame(counter)
    | Route::Json(counter)
    | Route::History(counter)
    | Route::Snapshot(counter, _)) = route.ok()?;
    Some((counter.name, counter.path_segment))
}
