//! A clock in every browser that opens http://127.0.0.1:8000: the engine without headcount around it.
//!
//! `cargo run -p headcount-engine --example clock`

use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headcount_engine::{Attachment, Engine, FeedHandle, FeedSettings, Frame, Settings};
use headcount_wire::html::{self, Liveness};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n\r\n";
const START: &str = "<!doctype html><meta http-equiv=refresh content=2><title>A clock</title><style>STYLE</style><p>";

/// What the engine keeps with each viewer, and drops when it has left.
struct Reader;

impl Attachment for Reader {
    fn first_frame_sent(&mut self) {
        println!("somebody looks at the clock");
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        println!("somebody has left");
    }
}

fn main() -> io::Result<()> {
    let engine = Engine::start(Settings::default())?;
    let feed = engine.open("clock".into(), FeedSettings::default(), frame());
    let clock = feed.clone();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(1000 - u64::from(now().subsec_millis())));
            // One frame, encoded once; the engine sends it to all, the newest first where a viewer lags.
            clock.publish(frame());
        }
    });
    let listener = TcpListener::bind("127.0.0.1:8000")?;
    println!("open http://127.0.0.1:8000");
    for socket in listener.incoming().flatten() {
        if let Err(error) = join(&feed, socket) {
            println!("somebody could not be served: {error}");
        }
    }
    Ok(())
}

/// Reads a request, and leaves the socket to the engine.
fn join(feed: &FeedHandle<Reader>, mut socket: TcpStream) -> io::Result<()> {
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let _request = socket.read(&mut [0; 4096])?;
    let head = [HEAD.as_bytes(), &html::opening(&START.replace("STYLE", html::STYLE))].concat();
    feed.adopt(socket, head.into(), Reader).map_err(|rejected| io::Error::other(rejected.rejection.to_string()))
}

fn frame() -> Frame {
    let (second, day) = (now().as_secs(), now().as_secs() % 86_400);
    let time = format!("{:02}:{:02}:{:02} UTC", day / 3600, day / 60 % 60, day % 60);
    Frame::new(html::update(second, &time, Liveness::Live, "")).with_keepalive(html::KEEPALIVE)
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
