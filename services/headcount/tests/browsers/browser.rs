//! Starts the browsers of the three engines.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// Keeps Firefox from opening its own pages and prompts in a fresh profile.
const FIREFOX_PREFERENCES: &str = r#"user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("termsofuse.bypassNotification", true);
"#;

/// A browser engine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Engine {
    Chromium,
    Firefox,
    WebKit,
}

impl Engine {
    /// Returns the command that opens `url` in a new window. If a browser with the profile in `home` runs already, Chromium
    /// and Firefox open the window in that process; WebKit's browser starts another.
    fn command(self, home: &Path, url: &str) -> Command {
        match self {
            Engine::Chromium => {
                let mut command = Command::new("chromium");
                // Chromium's sandbox does not start as root, which containers use. --test-type hides the warning bar, which
                // would move the page down.
                command.args(["--no-sandbox", "--test-type", "--no-first-run", "--no-default-browser-check"]);
                command.args(["--disable-gpu", "--disable-dev-shm-usage", "--password-store=basic"]);
                command.arg(format!("--user-data-dir={}", home.display())).args(["--new-window", url]);
                command
            }
            Engine::Firefox => {
                let mut command = Command::new("firefox-esr");
                command.arg("--profile").arg(home).args(["--new-window", url]);
                command
            }
            Engine::WebKit => {
                let mut command = Command::new(mini_browser());
                command.args(["--private", url]);
                command
            }
        }
    }

    /// The Debian package of the browser.
    fn debian_package(self) -> &'static str {
        match self {
            Engine::Chromium => "chromium",
            Engine::Firefox => "firefox-esr",
            Engine::WebKit => "libwebkit2gtk-4.1-0",
        }
    }
}

/// Returns the path of WebKitGTK's small browser, which Debian ships with the library.
fn mini_browser() -> PathBuf {
    let libraries = fs::read_dir("/usr/lib").expect("/usr/lib is there").flatten();
    libraries
        .map(|triplet| triplet.path().join("webkit2gtk-4.1/MiniBrowser"))
        .find(|path| path.exists())
        .unwrap_or_else(|| "MiniBrowser".into())
}

/// A browser with a fresh profile. Its processes are killed when this is dropped.
pub(crate) struct Browser {
    engine: Engine,
    display: String,
    home: tempfile::TempDir,
    /// Through which a second Firefox passes its page to the first.
    bus: Option<Bus>,
    /// One for each opened window. If a running browser takes the request over, the process exits.
    processes: Vec<Child>,
}

impl Browser {
    pub(crate) fn new(engine: Engine, display: &str) -> Browser {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("user.js"), FIREFOX_PREFERENCES).unwrap();
        let bus = matches!(engine, Engine::Firefox).then(Bus::start);
        Browser { engine, display: display.to_owned(), home, bus, processes: Vec::new() }
    }

    /// Opens `url` in a new window.
    pub(crate) fn open(&mut self, url: &str) {
        let home = self.home.path();
        let mut command = self.engine.command(home, url);
        command.env_remove("DBUS_SESSION_BUS_ADDRESS");
        if let Some(bus) = &self.bus {
            command.env("DBUS_SESSION_BUS_ADDRESS", &bus.address);
        }
        let process = command
            .env("HOME", home)
            .env("XDG_RUNTIME_DIR", home)
            .env("DISPLAY", &self.display)
            .env("GDK_BACKEND", "x11")
            .env_remove("WAYLAND_DISPLAY")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| {
                let package = self.engine.debian_package();
                panic!("{:?} does not start: {error}: apt-get install {package}", self.engine)
            });
        self.processes.push(process);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let group = Pid::from_raw(i32::try_from(process.id()).expect("process ids are positive 32-bit numbers"));
            let _ = killpg(group, Signal::SIGKILL);
            let _ = process.wait();
        }
    }
}

/// A browser's own D-Bus session.
struct Bus {
    daemon: Child,
    address: String,
}

impl Bus {
    fn start() -> Bus {
        let mut daemon = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", "--print-address"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("dbus-daemon does not start: {error}: apt-get install dbus-daemon"));
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().expect("it is piped")).read_line(&mut address).unwrap();
        assert!(!address.trim().is_empty(), "dbus-daemon has exited");
        Bus { daemon, address: address.trim().to_owned() }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
