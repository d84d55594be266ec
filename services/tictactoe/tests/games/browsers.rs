//! A game between Chromium and Firefox, on a page of another site that also shows it as a picture.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use headcount_testkit::{RedisServer, wait_until};
use headcount_wire::{BOUNDARY, PartReader};
use image::{RgbImage, RgbaImage};

use crate::{
    browser::Browser,
    node::{Node, PATIENCE},
};

/// The frames of the page that lead to the live document.
const LIVE: [u64; 2] = [0, 0];
/// And to the frame below the board.
const ANSWER: [u64; 3] = [0, 0, 0];
/// What is next.
const CAPTION: &str = "return document.querySelector('caption')?.innerText";
/// How far from the picture a painted one may be: mean difference of a channel, of 255.
const TOLERANCE: f64 = 1.0;

#[test]
fn two_browsers_play_to_the_end_and_the_picture_beside_it_goes_on() {
    let redis = RedisServer::start().unwrap();
    // Browsers on a busy machine take their time.
    let nodes = [(); 2].map(|()| Node::start(&redis.url(), &["--move-limit", "10m"]));
    let pages = nodes.each_ref().map(|node| site(node.address));
    let mut browsers = [Browser::chromium(), Browser::firefox()];
    for (browser, page) in browsers.iter_mut().zip(&pages) {
        browser.open(page);
    }
    let mut picture = Picture::open(&nodes[0]);
    // The row in the middle is X's in the end.
    let game = [(5, "Move to be O"), (1, "X to move"), (4, "O to move"), (9, "X to move"), (6, "X has won")];
    let mut expected = ["empty"; 9];
    let free = see_in_both(&mut browsers, "Free: move to be X", &expected);
    println!("both browsers show the board after {free:.1?}");
    let mut last = picture.newest();
    for browser in &mut browsers {
        paints(browser, &last);
        browser.enter(&LIVE);
        browser.script("document.documentElement.dataset.seen = 'yes'");
    }
    for (index, (square, standing)) in game.into_iter().enumerate() {
        let (mover, other) = (index % 2, (index + 1) % 2);
        if index > 0 {
            out_of_turn(&mut browsers[other], square);
        }
        let button = format!("button[value=\"{square}\"]");
        let browser = &mut browsers[mover];
        browser.enter(&LIVE);
        browser.click(&button);
        expected[square - 1] = ["X", "O"][mover];
        let seen = see_in_both(&mut browsers, standing, &expected);
        let browser = &mut browsers[mover];
        let focus = "const active = document.activeElement; return `${active.tagName} ${active.value} ${document.documentElement.dataset.seen}`";
        assert_eq!(browser.script(focus), format!("BUTTON {square} yes"), "the focus stays");
        let next = picture.after(&last);
        let painted = browsers.each_mut().map(|browser| paints(browser, &next));
        println!("move {}: shown after {seen:.1?}, painted {painted:.1?} later", index + 1);
        last = next;
    }
    for browser in &mut browsers {
        browser.enter(&LIVE);
        assert_eq!(browser.script("return document.documentElement.dataset.seen"), "yes", "it was not loaded again");
    }
    for browser in &mut browsers {
        is_narrow(browser, &nodes[0]);
    }
    is_read_aloud(&mut browsers[0], &nodes[0]);
}

/// Clicks when it is the other's turn. The reason stands below the board, and goes away.
fn out_of_turn(browser: &mut Browser, square: usize) {
    browser.enter(&LIVE);
    browser.click(&format!("button[value=\"{square}\"]"));
    let answer = "return document.body?.innerText.trim()";
    browser.until(&ANSWER, answer, "It is the other player's turn.");
    browser.until(&ANSWER, answer, "");
}

/// Waits until both browsers show a board, and returns how long that took.
fn see_in_both(browsers: &mut [Browser; 2], standing: &str, expected: &[&str; 9]) -> Duration {
    let begun = Instant::now();
    let rows: Vec<String> = (0..9)
        .map(|square| format!("row {}, column {}: {}", square / 3 + 1, square % 3 + 1, expected[square]))
        .collect();
    let wanted = [&[standing.to_owned()][..], &rows].concat().join("|");
    let shown = "return [...document.querySelectorAll('caption, td')].map(cell => \
                 cell.innerText.replace(/\\s+/g, ' ').trim()).join('|')";
    for browser in browsers {
        browser.until(&LIVE, shown, &wanted);
    }
    begun.elapsed()
}

/// Waits until a browser has painted a picture on its page, and returns how long that took.
fn paints(browser: &mut Browser, picture: &RgbaImage) -> Duration {
    let begun = Instant::now();
    browser.enter(&[]);
    let painted = wait_until("the picture", PATIENCE, || match difference(&browser.pixels("img"), picture) {
        difference if difference <= TOLERANCE => Ok(()),
        difference => Err(format!("off by {difference:.1}")),
    });
    painted.unwrap();
    begun.elapsed()
}

/// The mean difference of a channel between what was painted and the opaque pixels of a picture.
fn difference(painted: &RgbImage, picture: &RgbaImage) -> f64 {
    assert_eq!(painted.dimensions(), picture.dimensions());
    let opaque = painted.pixels().zip(picture.pixels()).filter(|(_, picture)| picture.0[3] == u8::MAX);
    let channels: Vec<u64> = opaque
        .flat_map(|(one, other)| one.0.into_iter().zip(other.0))
        .map(|(one, other)| one.abs_diff(other).into())
        .collect();
    channels.iter().sum::<u64>() as f64 / channels.len() as f64
}

/// A board fits into 320 pixels.
fn is_narrow(browser: &mut Browser, node: &Node) {
    let frame = "<iframe loading=\"lazy\" src=\"URL\" width=\"320\" height=\"400\"></iframe>";
    // Of the node's site: chromedriver knows no names in another site's frames.
    let url = serve("127.0.0.1:0", frame.replace("URL", &format!("http://{}/narrow.html", node.address)));
    browser.open(&url);
    browser.until(&LIVE, CAPTION, "Free: move to be X");
    let fits = "const page = document.documentElement; \
                return [page.scrollWidth <= 320, page.scrollHeight <= 400, page.clientWidth].join(' ')";
    assert_eq!(browser.script(fits), "true true 320");
}

/// Readers aloud get its table, whose move it is, and what each square is.
fn is_read_aloud(browser: &mut Browser, node: &Node) {
    let button = "tr:nth-child(2) td:nth-child(3) button";
    assert_eq!(browser.spoken("table"), "table: Free: move to be X");
    assert_eq!(browser.spoken(button), "button: row 2, column 3: empty");
    assert_eq!(node.play("narrow", "x", position(browser), 6).status, 204);
    browser.until(&LIVE, CAPTION, "Move to be O");
    assert_eq!(browser.spoken("table"), "table: Move to be O");
    assert_eq!(browser.spoken(button), "button: row 2, column 3: X");
}

/// What the form would send.
fn position(browser: &mut Browser) -> u64 {
    browser.script("return new FormData(document.forms[0]).get('at')").parse().unwrap()
}

/// The pictures that a node sends.
struct Picture {
    socket: TcpStream,
    parts: PartReader,
    newest: Vec<u8>,
}

impl Picture {
    fn open(node: &Node) -> Picture {
        let mut socket = node.send_from(Ipv4Addr::LOCALHOST, b"GET /lobby.png HTTP/1.1\r\nHost: a\r\n\r\n");
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            socket.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        Picture { socket, parts: PartReader::new(BOUNDARY), newest: Vec::new() }
    }

    fn newest(&mut self) -> RgbaImage {
        let mut bytes = [0; 4096];
        loop {
            if let Some(part) = self.parts.next_part().unwrap() {
                self.newest = part.to_vec();
                return image::load_from_memory(&self.newest).unwrap().into_rgba8();
            }
            let read = self.socket.read(&mut bytes).unwrap();
            assert!(read > 0, "the stream has ended");
            self.parts.push(&bytes[..read]);
        }
    }

    /// The next picture that shows something else.
    fn after(&mut self, last: &RgbaImage) -> RgbaImage {
        loop {
            let next = self.newest();
            if next != *last {
                return next;
            }
        }
    }
}

/// A site that shows a node's board as a frame and as a picture.
fn site(node: SocketAddr) -> String {
    serve(
        "127.0.0.2:0",
        format!(
            "<iframe loading=\"lazy\" src=\"http://{node}/lobby.html\" title=\"Tic-tac-toe\" width=\"300\" height=\"390\"></iframe>\n\
         <img src=\"http://{node}/lobby.png\" alt=\"\">"
        ),
    )
}

/// Serves a page until the process ends, and returns its address.
fn serve(address: &str, body: String) -> String {
    let listener = TcpListener::bind(address).expect("127.0.0.0/8 is this machine");
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let page = format!("<!doctype html><html lang=en><meta charset=utf-8><title>A page elsewhere</title>{body}</html>");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let page = page.clone();
            thread::spawn(move || {
                let lines = BufReader::new(&client).lines().map_while(Result::ok);
                lines.take_while(|line| !line.is_empty()).for_each(drop);
                let length = page.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                // Browsers open connections that they never use.
                let _ = write!(&client, "{head}{page}");
            });
        }
    });
    url
}
