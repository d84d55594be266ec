//! Counts the instructions of a node's most frequent work with valgrind's callgrind: pushing a frame to 1,000 viewers,
//! adding a viewer, and drawing and encoding a frame. The kernel's instructions are not included. Fails if a count is more
//! than 5 % above the one recorded in `instructions.toml`. Unlike times, counts hardly depend on the machine or its load.
//!
//! `cargo bench -p headcount-engine --bench instructions` compares; with `-- --record` it records.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs, io};

use bytes::Bytes;
use headcount_drawing::{Artist, Figure, Format, Look};
use headcount_engine::{Attachment, Engine, FeedHandle, FeedSettings, Frame, Settings};
use headcount_wire::{Part, opening};

const VIEWERS: u64 = 1_000;
/// A frame of the default look.
const IMAGE_BYTES: usize = 350;
/// A larger change fails, or is worth recording if the count went down.
const TOLERANCE: f64 = 0.05;

/// One count.
struct Case {
    name: &'static str,
    /// The counted functions, as callgrind's patterns. Their callees are included.
    counted: &'static [&'static str],
    /// What the process does under valgrind.
    run: fn(),
    /// How often one run does what the name says.
    times: u64,
}

const CASES: [Case; 3] = [
    Case { name: "push_to_1000_viewers", counted: &["*PassQueue*::run_slice*"], run: push, times: PUSHES },
    Case {
        name: "accept_one_viewer",
        counted: &["*FeedHandle<*>::adopt", "*ViewerTable<*>::join"],
        run: join,
        times: VIEWERS,
    },
    Case { name: "draw_one_frame", counted: &["*Artist::draw"], run: draw, times: DRAWINGS },
];
const PUSHES: u64 = 20;
const DRAWINGS: u64 = 20;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [case, name] = &arguments[..]
        && case == "--case"
    {
        let case = CASES.iter().find(|case| case.name == name).expect("a case's name");
        (case.run)();
        return ExitCode::SUCCESS;
    }
    let recorded = read_record();
    let mut counts = BTreeMap::new();
    let mut failed = false;
    for case in &CASES {
        let count = match count(case) {
            Ok(count) => count / case.times,
            Err(error) => {
                eprintln!("{}: {error}", case.name);
                return ExitCode::FAILURE;
            }
        };
        let verdict = match recorded.get(case.name) {
            Some(&record) => {
                let change = count as f64 / record as f64 - 1.0;
                failed |= change > TOLERANCE;
                let advice = match change {
                    _ if change > TOLERANCE => ": too many",
                    _ if change < -TOLERANCE => ": worth recording",
                    _ => "",
                };
                format!("{:+.2} % against {record}{advice}", change * 100.0)
            }
            None => {
                failed = true;
                "not recorded".to_owned()
            }
        };
        println!("{:<22} {count:>10} instructions  {verdict}", case.name);
        counts.insert(case.name, count);
    }
    if arguments.iter().any(|argument| argument == "--record") {
        write_record(&counts);
        return ExitCode::SUCCESS;
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs a case under callgrind. Returns the instructions of its counted functions.
fn count(case: &Case) -> io::Result<u64> {
    let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("callgrind.{}", case.name));
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet", "--collect-atstart=no"]);
    valgrind.args(case.counted.iter().map(|function| format!("--toggle-collect={function}")));
    valgrind.arg(format!("--callgrind-out-file={}", output.display()));
    valgrind.arg(env::current_exe()?).args(["--case", case.name]);
    let status = valgrind.status().map_err(|error| io::Error::other(format!("valgrind cannot be run: {error}")))?;
    if !status.success() {
        return Err(io::Error::other(format!("valgrind: {status}")));
    }
    let text = fs::read_to_string(&output)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    match total {
        Some(0) | None => Err(io::Error::other("nothing was counted; was a counted function renamed?")),
        Some(total) => Ok(total),
    }
}

fn record_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.toml")
}

fn read_record() -> BTreeMap<String, u64> {
    let Ok(record) = fs::read_to_string(record_path()) else { return BTreeMap::new() };
    let pairs = record.lines().filter_map(|line| line.split_once(" = "));
    pairs.filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?))).collect()
}

fn write_record(counts: &BTreeMap<&str, u64>) {
    let mut record = "# Instructions in user space, release profile. Recorded by `cargo bench -p headcount-engine \
        --bench instructions -- --record`.\n"
        .to_owned();
    for (name, count) in counts {
        writeln!(record, "{name} = {count}").expect("writing to a string succeeds");
    }
    fs::write(record_path(), record).expect("a writable record");
}

/// An attachment that does nothing.
#[derive(Debug)]
struct NoAttachment;

impl Attachment for NoAttachment {
    fn first_frame_sent(&mut self) {}
}

fn frame(number: u64) -> Frame {
    let mut image = number.to_string().into_bytes();
    image.resize(IMAGE_BYTES, b'.');
    let part = Part::new(&image, "image/png");
    Frame::new(part.bytes().clone()).with_ending(part.ending())
}

/// Starts an engine of one shard with [`VIEWERS`] viewers that have received their first frame.
fn engine_with_viewers() -> (Engine<NoAttachment>, FeedHandle<NoAttachment>, Vec<TcpStream>) {
    // Under valgrind's slow execution no frame is repeated, and none waits for the pace.
    let keepalive = std::time::Duration::from_secs(3600);
    let settings = Settings { shards: 1, keepalive, frame_rate: 1000.0, ..Settings::default() };
    let engine = Engine::start(settings).expect("an engine");
    let feed = engine.open("online".into(), FeedSettings::default(), frame(0));
    let head: Bytes = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &opening("image/png")].concat().into();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let mut peers = Vec::new();
    for _ in 0..VIEWERS {
        peers.push(TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection"));
        feed.adopt(listener.accept().expect("a connection").0, head.clone(), NoAttachment).expect("room for a viewer");
    }
    read_each(&mut peers, head.len() + frame(0).bytes().len());
    (engine, feed, peers)
}

/// Waits until each peer has read `bytes` more bytes.
fn read_each(peers: &mut [TcpStream], bytes: usize) {
    let mut buffer = vec![0; bytes];
    for peer in peers {
        io::Read::read_exact(peer, &mut buffer).expect("an open stream");
    }
}

fn join() {
    drop(engine_with_viewers());
}

fn push() {
    let (_engine, feed, mut peers) = engine_with_viewers();
    for number in 1..=PUSHES {
        let frame = frame(number);
        feed.publish(frame.clone());
        read_each(&mut peers, frame.bytes().len());
    }
}

fn draw() {
    let artist = Artist::new();
    let look = Look::default();
    for number in 0..DRAWINGS {
        // Different digits each time, but equally many.
        let figure =
            Figure { number: 10_000 + number * 611, epoch: 1, version: number, stale: false, fewer_than: None };
        assert!(!artist.draw(&look, &figure, Format::Png).is_empty());
    }
}
