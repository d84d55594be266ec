//! [`WebDriver`]: a real Chromium without a window, steered through chromedriver.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{Error, Process, wait_until};

/// A browser without an answer for this time hangs. Starting one on a busy machine takes several seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Its sandbox does not start as root, which containers use. A pixel of the page is one of a screenshot, in its own colour.
const ARGUMENTS: [&str; 7] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--force-device-scale-factor=1",
    "--force-color-profile=srgb",
    "--window-size=1280,1000",
];

/// Why a browser did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum WebDriverError {
    /// It could not be started.
    #[error(transparent)]
    Start(#[from] Error),
    /// The connection to chromedriver broke.
    #[error("chromedriver: {0}")]
    Io(#[from] io::Error),
    /// Its answer is not that of a driver.
    #[error("chromedriver's answer is not understood: {0}")]
    Answer(String),
    /// The browser refused.
    #[error("{error}: {message}")]
    Refused {
        /// WebDriver's name for the error.
        error: String,
        /// The browser's own words.
        message: String,
    },
}

/// A browser with one window. It is closed when this is dropped.
#[derive(Debug)]
pub struct WebDriver {
    address: SocketAddr,
    session: String,
    _process: Process,
}

impl WebDriver {
    /// Starts one that accepts self-signed certificates, with these arguments besides those that every test needs.
    ///
    /// # Errors
    /// If chromedriver or Chromium cannot be started.
    pub fn start(arguments: &[&str]) -> Result<Self, WebDriverError> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={}", address.port()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::start(command)?;
        wait_until("chromedriver", PATIENCE, || ask(address, "GET", "/status", None))?;
        let arguments = [&ARGUMENTS[..], arguments].concat();
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "acceptInsecureCerts": true,
            // A page of streams need not be waited for.
            "pageLoadStrategy": "none",
            "goog:chromeOptions": {"args": arguments},
        }}});
        let answer = ask(address, "POST", "/session", Some(&capabilities))?;
        let session = text(&answer["sessionId"])?;
        Ok(Self { address, session, _process: process })
    }

    /// Opens a page, and waits until it has been read.
    ///
    /// # Errors
    /// If that takes a minute.
    pub fn open(&self, url: &str) -> Result<(), WebDriverError> {
        self.ask("POST", "url", Some(&json!({"url": url})))?;
        wait_until("a page", PATIENCE, || {
            let script = json!({"script": "return document.readyState", "args": []});
            let state = self.ask("POST", "execute/sync", Some(&script))?;
            let address = self.ask("GET", "url", None)?;
            match state != "loading" && address.as_str() == Some(url) {
                true => Ok(()),
                false => Err(WebDriverError::Answer(format!("{address} is {state}"))),
            }
        })?;
        Ok(())
    }

    /// The elements that a CSS selector picks in the page.
    ///
    /// # Errors
    /// If the selector is none.
    pub fn elements(&self, selector: &str) -> Result<Vec<String>, WebDriverError> {
        let query = json!({"using": "css selector", "value": selector});
        let found = self.ask("POST", "elements", Some(&query))?;
        let first = |element: &Value| text(element.as_object().and_then(|ids| ids.values().next()).unwrap_or(element));
        found.as_array().into_iter().flatten().map(first).collect()
    }

    /// A command of Chromium's DevTools protocol.
    ///
    /// # Errors
    /// If the browser does not know it, or refuses.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Result<Value, WebDriverError> {
        self.ask("POST", "goog/cdp/execute", Some(&json!({"cmd": command, "params": parameters})))
    }

    /// A command of the session.
    ///
    /// # Errors
    /// If the browser refuses.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, WebDriverError> {
        ask(self.address, method, &format!("/session/{}/{path}", self.session), body)
    }
}

impl Drop for WebDriver {
    fn drop(&mut self) {
        // Closes the browser too, which a killed driver would leave behind.
        let _ = ask(self.address, "DELETE", &format!("/session/{}", self.session), None);
    }
}

fn text(value: &Value) -> Result<String, WebDriverError> {
    value.as_str().map(str::to_owned).ok_or_else(|| WebDriverError::Answer(value.to_string()))
}

/// One command. chromedriver keeps its connections open, whatever it is told.
fn ask(driver: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Result<Value, WebDriverError> {
    let mut stream = TcpStream::connect_timeout(&driver, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {driver}\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    let (mut answer, mut end) = (Vec::new(), None);
    while end.is_none_or(|end| answer.len() < end) {
        let mut chunk = [0; 65536];
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        answer.extend_from_slice(&chunk[..count]);
        if end.is_none()
            && let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n")
        {
            end = Some(head + 4 + body_length(&answer[..head])?);
        }
    }
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |head| head + 4);
    let mut answer: Value =
        serde_json::from_slice(&answer[body..]).map_err(|error| WebDriverError::Answer(error.to_string()))?;
    let value = answer["value"].take();
    if let Some(error) = value["error"].as_str() {
        let message = value["message"].as_str().unwrap_or_default().to_owned();
        return Err(WebDriverError::Refused { error: error.to_owned(), message });
    }
    Ok(value)
}

fn body_length(head: &[u8]) -> Result<usize, WebDriverError> {
    let head = String::from_utf8_lossy(head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    length.ok_or(WebDriverError::Answer(head))
}
