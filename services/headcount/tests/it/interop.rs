//! Other programs read the streams: ffmpeg, GStreamer and curl.

use std::{
    fs,
    io::Read,
    process::{Command, Stdio},
    time::Duration,
};

use headcount_drawing::{Count, Stamp, read_stamp};
use headcount_testkit::{Node, Process};
use headcount_wire::{BOUNDARY, PartReader};

use crate::{
    node::{PATIENCE, start, wait_for_count},
    stream::restless,
};

/// Frames that each client must read.
const FRAMES: usize = 20;
/// Time limit for that. The number changes about fifteen times per second, and at most ten frames are pushed.
const READING: Duration = Duration::from_secs(60);

/// Runs a client that exits by itself, and returns its output.
fn run(mut command: Command, debian_package: &str) -> String {
    command.stdout(Stdio::piped());
    let mut client = spawn(command, debian_package);
    let status = client.ended(READING).unwrap();
    let mut output = String::new();
    client.child().stdout.take().unwrap().read_to_string(&mut output).unwrap();
    assert!(status.success(), "{client:?}: {status}");
    output
}

fn spawn(mut command: Command, debian_package: &str) -> Process {
    command.stdin(Stdio::null());
    Process::start(command).unwrap_or_else(|error| panic!("{error}: apt-get install {debian_package}"))
}

#[test]
fn ffmpeg_reads_frames() {
    let node = start([]);
    let _viewer = restless(&node, "/online.jpg");
    let frames = FRAMES.to_string();
    let url = node.url("online.jpg");
    // Passes every frame through, without duplicating or dropping any, and prints its checksum.
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-f", "mpjpeg", "-i", &url, "-frames:v", &frames]);
    ffmpeg.args(["-fps_mode", "passthrough", "-f", "framemd5", "-"]);
    let output = run(ffmpeg, "ffmpeg");
    let checksums: Vec<&str> =
        output.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(", ").last()).collect();
    assert_eq!(checksums.len(), FRAMES, "{output}");
    let different: std::collections::HashSet<_> = checksums.iter().collect();
    assert!(different.len() > 1, "the number kept changing, the pictures did not: {output}");
}

fn gstreamer_reads_frames(path: &str, caps: &str, decoder: &str) {
    let node = start([]);
    let _viewer = restless(&node, &format!("/{path}"));
    let directory = tempfile::tempdir().unwrap();
    let mut gst = Command::new("gst-launch-1.0");
    gst.args(["--quiet", "souphttpsrc", &format!("location={}", node.url(path)), "is-live=true", "!"]);
    gst.args(["multipartdemux", "!", caps, "!", decoder, "!", "identity", &format!("eos-after={}", FRAMES + 1), "!"]);
    gst.args(["videoconvert", "!", "pngenc", "snapshot=false", "!", "multifilesink"]);
    gst.arg(format!("location={}/%05d.png", directory.path().display()));
    run(gst, "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good");
    let decoded = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(decoded, FRAMES);
}

#[test]
fn gstreamer_reads_png_frames() {
    gstreamer_reads_frames("online.png", "image/png", "pngdec");
}

#[test]
fn gstreamer_reads_jpeg_frames() {
    gstreamer_reads_frames("online.jpg", "image/jpeg", "jpegdec");
}

/// A stream that curl reads.
struct Curl {
    client: Process,
    parts: PartReader,
}

impl Curl {
    fn open(node: &Node, version: &str, path: &str) -> Curl {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--no-buffer", version, "--write-out", "%{stderr}%{http_version}"]);
        curl.arg(node.url(path)).stdout(Stdio::piped()).stderr(Stdio::piped());
        Curl { client: spawn(curl, "curl"), parts: PartReader::new(BOUNDARY) }
    }

    /// Returns the next picture's stamp, or `None` at the end of curl's output.
    fn next(&mut self) -> Option<Stamp> {
        let output = self.client.child().stdout.as_mut().expect("it is piped");
        let mut bytes = [0; 4096];
        loop {
            if let Some(part) = self.parts.next_part().unwrap() {
                return Some(read_stamp(&part).unwrap());
            }
            match output.read(&mut bytes).unwrap() {
                0 => return None,
                read => self.parts.push(&bytes[..read]),
            }
        }
    }
}

#[test]
fn curl_reads_streams_over_every_version_of_http() {
    // The response to an HTTP/1.0 request is HTTP/1.1 (RFC 9110 §2.5).
    for (option, version) in [("--http1.0", "1.1"), ("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")] {
        for path in ["online.png", "online.jpg"] {
            let mut node = start(["--drain", "0s"]);
            let mut curl = Curl::open(&node, option, path);
            let viewer = restless(&node, "/online.png");
            let counts: Vec<Count> = (0..FRAMES).map(|_| curl.next().expect("a frame").count).collect();
            assert!(counts.contains(&Count::Exactly(1)) && counts.contains(&Count::Exactly(2)), "{option}: {counts:?}");
            drop(viewer);
            wait_for_count(&node, "online", 1);
            let newest = node.reading("online").unwrap().version;
            while curl.next().expect("a frame").version < newest {}
            assert!(node.stop(PATIENCE).unwrap().success());
            // It ends cleanly: the last picture, the closing boundary, and no error from curl.
            let last = std::iter::from_fn(|| curl.next()).last().expect("a last picture");
            let is_marked = last.count == Count::Exactly(1) && last.stale;
            assert!(curl.parts.ended() && is_marked, "{option} ended with {last}");
            let status = curl.client.ended(PATIENCE).unwrap();
            let mut spoken = String::new();
            curl.client.child().stderr.take().unwrap().read_to_string(&mut spoken).unwrap();
            assert!(status.success(), "{option}: {status}: {spoken}");
            assert_eq!(spoken, version);
        }
    }
}
