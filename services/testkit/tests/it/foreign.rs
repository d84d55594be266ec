//! The client against a server of another project: ffmpeg's mpjpeg muxer over HTTP.

use std::{process::Command, time::Duration};

use headcount_testkit::{Batch, Behaviour, Goal, Process, Viewers, client::PictureCheck, ports, wait_until};

#[test]
fn ffmpegs_stream_is_read_to_its_end() {
    let port = ports::free().unwrap();
    let url = format!("http://127.0.0.1:{port}/");
    let mut command = Command::new("ffmpeg");
    command.args(["-loglevel", "error", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=25"]);
    command.args(["-frames:v", "20", "-f", "mpjpeg", "-listen", "1"]);
    command.args(["-content_type", "multipart/x-mixed-replace;boundary=ffmpeg", &url]);
    let mut ffmpeg = Process::start(command).unwrap();
    let behaviour = Behaviour { check: PictureCheck::Framing, ..Behaviour::default() };
    let batch = Batch { count: 1, urls: vec![url], per_second: None, behaviour };
    // ffmpeg takes one connection: it listens when that one is accepted, and serves it alone.
    let snapshot = wait_until("ffmpeg", Duration::from_secs(20), || {
        let viewers = Viewers::start(batch.clone()).map_err(|error| error.to_string())?;
        let reached = viewers.reach(Goal::AtMostLive(0), Duration::from_secs(20));
        let (_, snapshot) = reached.map_err(|error| error.to_string())?;
        if snapshot.failed > 0 { Err(snapshot.to_string()) } else { Ok(snapshot) }
    })
    .unwrap();
    assert_eq!((snapshot.parts, snapshot.broken), (20, 0), "{snapshot}");
    assert!(ffmpeg.ended(Duration::from_secs(10)).unwrap().success());
}
