//! Chromium and Firefox, without a window: Chromium through chromedriver, Firefox through Marionette, which is what its
//! WebDriver speaks to it.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use headcount_testkit::{Process, WebDriver, wait_until};
use image::RgbImage;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A browser without an answer for this time hangs. Starting one on a busy machine takes several seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one window.
pub(crate) struct Browser {
    driver: Driver,
    _firefox: Option<(Process, TempDir)>,
}

enum Driver {
    Chromium(Box<WebDriver>),
    Firefox { socket: TcpStream, next: u64 },
}

impl Browser {
    pub(crate) fn chromium() -> Browser {
        let driver = WebDriver::start(&[]).unwrap_or_else(|error| panic!("{error}: apt-get install chromium-driver"));
        Browser { driver: Driver::Chromium(Box::new(driver)), _firefox: None }
    }

    pub(crate) fn firefox() -> Browser {
        let (address, profile) = (free_address(), tempfile::tempdir().unwrap());
        let preferences = format!(
            "user_pref(\"marionette.port\", {});\nuser_pref(\"gfx.color_management.mode\", 0);\n\
             user_pref(\"datareporting.policy.dataSubmissionEnabled\", false);\nuser_pref(\"browser.aboutwelcome.enabled\", false);\n",
            address.port()
        );
        fs::write(profile.path().join("user.js"), preferences).unwrap();
        let folder = profile.path().to_str().expect("text");
        let mut command = Command::new("firefox-esr");
        command.args(["--headless", "--marionette", "--profile", folder]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::start(command).unwrap_or_else(|error| panic!("{error}: apt-get install firefox-esr"));
        let socket = wait_until("Firefox", PATIENCE, || TcpStream::connect(address)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut driver = Driver::Firefox { socket, next: 0 };
        driver.packet();
        driver.marionette("NewSession", &json!({"pageLoadStrategy": "none"})).unwrap();
        Browser { driver, _firefox: Some((process, profile)) }
    }

    /// Opens a page, and waits until its load event.
    pub(crate) fn open(&mut self, url: &str) {
        self.enter(&[]);
        self.driver.call("POST", "url", "Navigate", json!({"url": url})).unwrap();
        self.until(&[], "return location.href + ' ' + document.readyState", &format!("{url} complete"));
    }

    /// Continues in a frame of a frame of the page, by their numbers.
    pub(crate) fn enter(&mut self, frames: &[u64]) {
        self.try_enter(frames).unwrap();
    }

    fn try_enter(&mut self, frames: &[u64]) -> Result<(), String> {
        let frames = [Value::Null].into_iter().chain(frames.iter().map(|frame| json!(frame)));
        for frame in frames {
            self.driver.call("POST", "frame", "SwitchToFrame", json!({"id": frame}))?;
        }
        Ok(())
    }

    /// What a script returns, as text.
    pub(crate) fn script(&mut self, script: &str) -> String {
        self.try_script(script).unwrap()
    }

    fn try_script(&mut self, script: &str) -> Result<String, String> {
        let value = self.driver.call("POST", "execute/sync", "ExecuteScript", json!({"script": script, "args": []}))?;
        Ok(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// Waits until a script in a frame returns this. The frame may not be there yet, or be loaded just then.
    pub(crate) fn until(&mut self, frames: &[u64], script: &str, wanted: &str) {
        let shown =
            wait_until(wanted, PATIENCE, || match self.try_enter(frames).and_then(|()| self.try_script(script)) {
                Ok(shown) if shown == wanted => Ok(()),
                Ok(other) | Err(other) => Err(other),
            });
        shown.unwrap();
    }

    /// Clicks where an element is, as a mouse does.
    pub(crate) fn click(&mut self, selector: &str) {
        let id = self.element(selector);
        self.driver.call("POST", &format!("element/{id}/click"), "ElementClick", json!({"id": id})).unwrap();
    }

    /// An element's role and name, as readers aloud get them. Of Chromium: Firefox's driver waits until the document is complete.
    pub(crate) fn spoken(&mut self, selector: &str) -> String {
        let id = self.element(selector);
        let Driver::Chromium(driver) = &self.driver else { panic!("this is Firefox") };
        let spoken = ["computedrole", "computedlabel"].map(|path| {
            let value = driver.ask("GET", &format!("element/{id}/{path}"), None).unwrap();
            value.as_str().expect("text").to_owned()
        });
        spoken.join(": ")
    }

    /// The pixels of an element.
    pub(crate) fn pixels(&mut self, selector: &str) -> RgbImage {
        let id = self.element(selector);
        let parameters = json!({"id": id, "full": false});
        let shot = self.driver.call("GET", &format!("element/{id}/screenshot"), "TakeScreenshot", parameters).unwrap();
        let png = BASE64_STANDARD.decode(shot.as_str().expect("a screenshot")).unwrap();
        image::load_from_memory(&png).unwrap().into_rgb8()
    }

    fn element(&mut self, selector: &str) -> String {
        let query = json!({"using": "css selector", "value": selector});
        let found = self.driver.call("POST", "element", "FindElement", query).unwrap();
        let id = found.as_object().and_then(|element| element.values().next()).and_then(Value::as_str);
        id.unwrap_or_else(|| panic!("{selector}: {found}")).to_owned()
    }
}

impl Driver {
    /// One command, by its path at chromedriver and its name in Marionette.
    fn call(&mut self, method: &str, path: &str, command: &str, parameters: Value) -> Result<Value, String> {
        match self {
            Driver::Chromium(driver) => {
                let body = (method == "POST").then_some(&parameters);
                driver.ask(method, path, body).map_err(|error| error.to_string())
            }
            Driver::Firefox { .. } => Ok(self.marionette(command, &parameters)?["value"].take()),
        }
    }

    fn marionette(&mut self, command: &str, parameters: &Value) -> Result<Value, String> {
        let Driver::Firefox { socket, next } = self else { panic!("this is Chromium") };
        *next += 1;
        let packet = json!([0, *next, format!("WebDriver:{command}"), parameters]).to_string();
        write!(socket, "{}:{packet}", packet.len()).unwrap();
        let mut answer = self.packet();
        if answer[2].is_null() { Ok(answer[3].take()) } else { Err(format!("{command} {parameters}: {}", answer[2])) }
    }

    /// Reads a packet: its length, a colon, JSON.
    fn packet(&mut self) -> Value {
        let Driver::Firefox { socket, .. } = self else { panic!("this is Chromium") };
        let (mut length, mut byte) = (0, [0]);
        loop {
            socket.read_exact(&mut byte).unwrap();
            match byte[0] {
                b':' => break,
                digit => length = length * 10 + usize::from(digit - b'0'),
            }
        }
        let mut json = vec![0; length];
        socket.read_exact(&mut json).unwrap();
        serde_json::from_slice(&json).unwrap()
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap()
}
