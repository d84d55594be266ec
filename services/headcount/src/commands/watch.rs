//! `headcount watch URL`: follows a stream as a browser does, and prints each frame's number.

use std::io::Write;
use std::time::SystemTime;

use anyhow::{Context, bail};
use headcount_drawing::{Count, Stamp};
use headcount_wire::{Part, PartReader};
use http_body_util::BodyExt;
use serde::Serialize;

use super::client;
use crate::options::WatchOptions;

/// A frame in the JSON output.
#[derive(Serialize)]
struct FrameJson {
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fewer_than: Option<u64>,
    stale: bool,
    epoch: u64,
    version: u64,
    /// Frames so far, including this one.
    frames: u64,
    image_bytes: usize,
    /// Bytes of the body so far.
    bytes: u64,
}

/// Follows the stream until it ends, until Ctrl-C, or for the given number of frames.
///
/// # Errors
/// Fails if the stream is malformed or ends without its closing boundary.
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
    let response = client::get(&options.url).await?;
    let content_type = response.headers().get(hyper::header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let Some(mut parts) = PartReader::for_content_type(&content_type) else {
        bail!("{} is not a live stream: its content type is {content_type:?}", options.url);
    };
    let mut body = response.into_body();
    let (mut frames, mut bytes) = (0, 0);
    if !options.json {
        println!("{:<24}  {:>9}  {:>7}  {:>6}  {:>10}", "time", "count", "version", "frames", "bytes");
    }
    while let Some(chunk) = body.frame().await {
        let Ok(chunk) = chunk.context("the stream is cut off")?.into_data() else { continue };
        bytes += chunk.len() as u64;
        parts.push(&chunk);
        while let Some(part) = parts.next_part()? {
            frames += 1;
            show(&part, frames, bytes, options.json)?;
            if options.frames == Some(frames) {
                return Ok(());
            }
        }
    }
    if !parts.ended() {
        bail!("the stream ended without its closing boundary, after {frames} frames");
    }
    Ok(())
}

fn show(part: &Part, frames: u64, bytes: u64, json: bool) -> anyhow::Result<()> {
    let Stamp { count, epoch, version, stale } = headcount_drawing::read_stamp(&part.body)?;
    let at = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let (exact, fewer_than) = match count {
        Count::Exactly(count) => (Some(count), None),
        Count::FewerThan(bound) => (None, Some(bound)),
    };
    let line = if json {
        let image_bytes = part.body.len();
        serde_json::to_string(&FrameJson {
            at,
            count: exact,
            fewer_than,
            stale,
            epoch,
            version,
            frames,
            image_bytes,
            bytes,
        })?
    } else {
        let count = exact.map_or_else(|| format!("<{}", fewer_than.unwrap_or_default()), |count| count.to_string());
        let mark = if stale { "  stale" } else { "" };
        format!("{at:<24}  {count:>9}  {version:>7}  {frames:>6}  {bytes:>10}{mark}")
    };
    match writeln!(std::io::stdout(), "{line}") {
        // The reader of the output has closed it.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => Ok(written?),
    }
}
