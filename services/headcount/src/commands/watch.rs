//! `headcount watch URL`: follows a stream in any format, and prints each frame's number, and that the stream has ended.

use std::io::Write;
use std::time::SystemTime;

use anyhow::{Context, bail};
use http_body_util::BodyExt;
use serde::Serialize;

use super::client;
use super::frame_reader::{FrameReader, WatchedFrame};
use crate::options::WatchOptions;

/// A frame in the JSON output.
#[derive(Serialize)]
struct FrameJson {
    at: String,
    #[serde(flatten)]
    frame: WatchedFrame,
    /// Frames so far, including this one.
    frames: u64,
    /// Bytes of the body so far.
    bytes: u64,
}

/// The last line of the JSON output, if the server has ended the stream.
#[derive(Serialize)]
struct EndJson {
    at: String,
    /// Always true. No other line has it.
    ended: bool,
    /// Frames of the whole stream.
    frames: u64,
    /// Bytes of the whole body.
    bytes: u64,
}

/// Follows the stream until it ends, until Ctrl-C, or for the given number of frames.
///
/// # Errors
/// Fails if the stream is malformed, or ends otherwise than its format says.
pub(crate) fn run(options: &WatchOptions) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            outcome = follow(options) => outcome,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })
}

async fn follow(options: &WatchOptions) -> anyhow::Result<()> {
    let url = stream_url(&options.url, options.count)?;
    let response = client::get(&url).await?;
    let content_type = response.headers().get(hyper::header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let Some(mut reader) = FrameReader::for_content_type(&content_type) else {
        bail!("{url} is not a live stream: its content type is {content_type:?}");
    };
    let mut body = response.into_body();
    let (mut frames, mut bytes) = (0, 0);
    if !options.json {
        println!("{:<24}  {:>9}  {:>7}  {:>6}  {:>10}", "time", "count", "version", "frames", "bytes");
    }
    while let Some(chunk) = body.frame().await {
        let Ok(chunk) = chunk.context("the stream is cut off")?.into_data() else { continue };
        bytes += chunk.len() as u64;
        reader.push(&chunk)?;
        while let Some(frame) = reader.next_frame()? {
            frames += 1;
            show(frame, frames, bytes, options.json)?;
            if options.frames == Some(frames) {
                return Ok(());
            }
        }
    }
    reader.check_end().with_context(|| format!("after {frames} frames"))?;
    let at = now();
    print_line(&if options.json {
        serde_json::to_string(&EndJson { at, ended: true, frames, bytes })?
    } else {
        format!("{at:<24}  the server has ended the stream: the last number is no longer live")
    })
}

/// Returns the URL of the stream itself: of the document within a frame, and of one that does not count unless it is to.
fn stream_url(url: &::http::Uri, count: bool) -> anyhow::Result<::http::Uri> {
    let mut parts = url.clone().into_parts();
    let path = match url.path().strip_suffix(".html") {
        Some(counter) if !counter.ends_with("/live") => format!("{counter}/live.html"),
        _ => url.path().to_owned(),
    };
    let options = url.query().filter(|query| !query.is_empty()).into_iter().chain((!count).then_some("count=no"));
    let query = options.collect::<Vec<_>>().join("&");
    let separator = if query.is_empty() { "" } else { "?" };
    parts.path_and_query = Some(format!("{path}{separator}{query}").parse()?);
    Ok(::http::Uri::from_parts(parts)?)
}

fn show(frame: WatchedFrame, frames: u64, bytes: u64, json: bool) -> anyhow::Result<()> {
    let at = now();
    let line = if json {
        serde_json::to_string(&FrameJson { at, frame, frames, bytes })?
    } else {
        let (count, version) = (frame.text(), frame.version.map(|version| version.to_string()).unwrap_or_default());
        let mark = if frame.stale { "  stale" } else { "" };
        format!("{at:<24}  {count:>9}  {version:>7}  {frames:>6}  {bytes:>10}{mark}")
    };
    print_line(&line)
}

fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

fn print_line(line: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        // The reader of the output has closed it.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => Ok(written?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_within_a_frame_is_followed_and_does_not_count() {
        let of = |url: &str, count| stream_url(&url.parse().expect("a URL"), count).expect("a URL").to_string();
        assert_eq!(of("http://a/online.png", false), "http://a/online.png?count=no");
        assert_eq!(of("http://a/online.png?label=b", true), "http://a/online.png?label=b");
        assert_eq!(of("https://a:1/x.html?theme=dark", false), "https://a:1/x/live.html?theme=dark&count=no");
        assert_eq!(of("http://a/x/live.html", true), "http://a/x/live.html");
    }
}
