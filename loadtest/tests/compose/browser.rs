//! A real Chromium, asked through WebDriver what it paints.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use headcount_drawing::{Artist, Figure, Look};
use headcount_testkit::wait_until;
use image::{RgbImage, RgbaImage};
use serde_json::{Value, json};

use crate::command::Running;

/// A browser without an answer for this time hangs. Starting one on a busy machine takes several seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// How far from the ideal picture a painted one may be: mean difference of a channel, of 255. The browser's colour
/// management comes to less than 1.
const TOLERANCE: f64 = 1.0;
/// Numbers tried when a picture is read.
const READABLE: std::ops::RangeInclusive<u64> = 0..=400;

/// A browser with one window.
pub(crate) struct Browser {
    driver: SocketAddr,
    session: String,
    _process: Running,
}

impl Browser {
    /// Starts one that accepts the demo's self-signed certificate.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let driver = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let process = Running::start("chromedriver", &[&format!("--port={}", driver.port())])?;
        wait_until("chromedriver", PATIENCE, || ask(driver, "GET", "/status", None))?;
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "acceptInsecureCerts": true,
            // A page of streams need not be waited for.
            "pageLoadStrategy": "none",
            "goog:chromeOptions": {"args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--force-device-scale-factor=1", "--force-color-profile=srgb", "--window-size=1280,1000",
            ]},
        }}});
        let answer = ask(driver, "POST", "/session", Some(&capabilities))?;
        let session = answer["sessionId"].as_str().context("a session has an id")?.to_owned();
        Ok(Self { driver, session, _process: process })
    }

    /// Opens a page, and waits until it has been read.
    pub(crate) fn open(&self, url: &str) -> anyhow::Result<()> {
        self.ask("POST", "url", Some(&json!({"url": url})))?;
        wait_until("a page", PATIENCE, || {
            let script = json!({"script": "return document.readyState", "args": []});
            let state = self.ask("POST", "execute/sync", Some(&script))?;
            let address = self.ask("GET", "url", None)?;
            ensure!(state != "loading" && address.as_str() == Some(url), "{address} is {state}");
            Ok(())
        })?;
        Ok(())
    }

    /// The elements that a CSS selector picks.
    pub(crate) fn elements(&self, selector: &str) -> anyhow::Result<Vec<String>> {
        let query = json!({"using": "css selector", "value": selector});
        let found = self.ask("POST", "elements", Some(&query))?;
        let id = |element: &Value| Some(element.as_object()?.values().next()?.as_str()?.to_owned());
        found.as_array().into_iter().flatten().map(|element| id(element).context("an element has an id")).collect()
    }

    /// The number that a picture shows in the look that its address names, read from the pixels on the screen.
    pub(crate) fn number(&self, element: &str) -> anyhow::Result<u64> {
        let address = self.ask("GET", &format!("element/{element}/attribute/src"), None)?;
        let look =
            Look::from_query(address.as_str().and_then(|src| src.split_once('?')).map_or("", |(_, query)| query))?;
        let shot = self.ask("GET", &format!("element/{element}/screenshot"), None)?;
        let png = base64(shot.as_str().context("a screenshot is text")?)?;
        let painted = image::load_from_memory(&png)?.into_rgb8();
        let artist = Artist::new();
        let ideal = |number| artist.pixels(&look, &Figure::of(number));
        let scored = READABLE.filter_map(|number| Some((difference(&painted, &ideal(number))?, number)));
        let (score, number) = scored
            .min_by(|(one, _), (other, _)| one.total_cmp(other))
            .with_context(|| format!("no number is {}×{} pixels", painted.width(), painted.height()))?;
        ensure!(score <= TOLERANCE, "the picture is no number: {number} comes nearest, and is off by {score:.1}");
        Ok(number)
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        ask(self.driver, method, &format!("/session/{}/{path}", self.session), body)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Closes the browser too, which a killed driver would leave behind.
        let _ = ask(self.driver, "DELETE", &format!("/session/{}", self.session), None);
    }
}

/// The mean difference of a channel between what was painted and the opaque pixels of a picture (through the others
/// the page shows); `None` where the sizes differ.
fn difference(painted: &RgbImage, ideal: &RgbaImage) -> Option<f64> {
    if painted.dimensions() != ideal.dimensions() {
        return None;
    }
    let opaque = painted.pixels().zip(ideal.pixels()).filter(|(_, ideal)| ideal.0[3] == u8::MAX);
    let channels = opaque.flat_map(|(painted, ideal)| painted.0.into_iter().zip(ideal.0));
    let (sum, count) =
        channels.fold((0u64, 0u64), |(sum, count), (one, other)| (sum + u64::from(one.abs_diff(other)), count + 1));
    (count > 0).then(|| sum as f64 / count as f64)
}

/// One WebDriver command.
fn ask(driver: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
    let mut stream = TcpStream::connect_timeout(&driver, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {driver}\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    let (mut answer, mut chunk) = (Vec::new(), [0; 65536]);
    let (head, length) = loop {
        let count = stream.read(&mut chunk)?;
        ensure!(count > 0, "chromedriver hung up");
        answer.extend_from_slice(&chunk[..count]);
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        break (end + 4, length.context("chromedriver says how long its answers are")?);
    };
    while answer.len() < head + length {
        let count = stream.read(&mut chunk)?;
        ensure!(count > 0, "chromedriver hung up");
        answer.extend_from_slice(&chunk[..count]);
    }
    let mut answer: Value = serde_json::from_slice(&answer[head..])?;
    let value = answer["value"].take();
    if let Some(error) = value["error"].as_str() {
        bail!("{error}: {}", value["message"].as_str().unwrap_or_default());
    }
    Ok(value)
}

/// Undoes base64, which WebDriver wraps its screenshots in.
fn base64(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut held, mut bits) = (0u32, 0);
    for symbol in text.bytes().filter(|symbol| *symbol != b'=') {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => bail!("{:?} is not base64", char::from(symbol)),
        };
        held = (held << 6 | u32::from(value)) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).expect("eight bits"));
        }
    }
    Ok(bytes)
}
