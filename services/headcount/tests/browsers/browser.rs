//! Starts the browsers of the three engines.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use headcount_testkit::Process;
use x11rb::protocol::xproto::Window;

use crate::{
    BROWSER_START,
    display::{Display, Half},
    site::Site,
};

/// Keeps Firefox from opening its own pages and prompts in a fresh profile.
const FIREFOX_PREFERENCES: &str = r#"user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("termsofuse.bypassNotification", true);
"#;

/// What the reader of a page has set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surroundings {
    Light,
    Dark,
}

/// A browser engine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Engine {
    Chromium,
    Firefox,
    WebKit,
}

impl Engine {
    /// Returns the command that opens `url` in a new window or tab, as the option `how` says. If a browser with the profile in
    /// `home` runs already, Chromium and Firefox open it in that process; WebKit's browser starts another.
    fn command(self, surroundings: Surroundings, home: &Path, how: &str, url: &str) -> Command {
        match self {
            Engine::Chromium => {
                let mut command = Command::new("chromium");
                // Chromium's sandbox does not start as root, which containers use. --test-type hides the warning bar, which
                // would move the page down.
                command.args(["--no-sandbox", "--test-type", "--no-first-run", "--no-default-browser-check"]);
                command.args(["--disable-gpu", "--disable-dev-shm-usage", "--password-store=basic"]);
                if surroundings == Surroundings::Dark {
                    command.arg("--force-dark-mode");
                }
                command.arg(format!("--user-data-dir={}", home.display())).args([how, url]);
                command
            }
            Engine::Firefox => {
                let mut command = Command::new("firefox-esr");
                command.arg("--profile").arg(home).args([how, url]);
                command
            }
            Engine::WebKit => {
                let mut command = Command::new(mini_browser());
                command.args(["--private", url]);
                if surroundings == Surroundings::Dark {
                    command.env("GTK_THEME", "Adwaita:dark");
                }
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
    surroundings: Surroundings,
    display: String,
    home: tempfile::TempDir,
    /// Through which a second Firefox passes its page to the first.
    bus: Option<Bus>,
    /// One for each opened window. If a running browser takes the request over, the process exits.
    processes: Vec<Process>,
}

impl Browser {
    pub(crate) fn new(engine: Engine, surroundings: Surroundings, display: &str) -> Browser {
        let home = tempfile::tempdir().unwrap();
        // 0 is dark, 1 is light.
        let scheme = u8::from(surroundings == Surroundings::Light);
        let scheme = format!("user_pref(\"layout.css.prefers-color-scheme.content-override\", {scheme});\n");
        fs::write(home.path().join("user.js"), FIREFOX_PREFERENCES.to_owned() + &scheme).unwrap();
        let bus = matches!(engine, Engine::Firefox).then(Bus::start);
        Browser { engine, surroundings, display: display.to_owned(), home, bus, processes: Vec::new() }
    }

    /// Opens `url` in a new window.
    pub(crate) fn open(&mut self, url: &str) {
        self.run("--new-window", url);
    }

    /// Opens `url` in a tab in front of those of the newest window.
    pub(crate) fn open_tab(&mut self, url: &str) {
        self.run("--new-tab", url);
    }

    fn run(&mut self, how: &str, url: &str) {
        let home = self.home.path();
        let mut command = self.engine.command(self.surroundings, home, how, url);
        command.env_remove("DBUS_SESSION_BUS_ADDRESS");
        if let Some(bus) = &self.bus {
            command.env("DBUS_SESSION_BUS_ADDRESS", &bus.address);
        }
        command.env("HOME", home).env("XDG_RUNTIME_DIR", home).env("DISPLAY", &self.display).env("GDK_BACKEND", "x11");
        command.env_remove("WAYLAND_DISPLAY");
        command.stdout(Stdio::null());
        let process = start(command, self.engine.debian_package());
        self.processes.push(process);
    }
}

/// A site's page, in a window on the left half of a screen of its own.
pub(crate) struct OpenPage {
    pub(crate) browser: Browser,
    pub(crate) display: Display,
    pub(crate) window: Window,
}

impl OpenPage {
    /// Starts a browser that opens the page.
    pub(crate) fn new(engine: Engine, surroundings: Surroundings, site: &Site) -> OpenPage {
        let display = Display::start();
        let mut browser = Browser::new(engine, surroundings, display.name());
        browser.open(&site.url());
        let window = display.new_window(&[], Half::Left, BROWSER_START);
        OpenPage { browser, display, window }
    }

    /// Hides the page for good: behind another tab, or where the browser opens none, by minimizing its window.
    pub(crate) fn hide(&mut self, engine: Engine) {
        match engine {
            Engine::Chromium | Engine::Firefox => self.browser.open_tab("about:blank"),
            Engine::WebKit => self.display.minimize(self.window),
        }
    }
}

/// Starts a program whose processes are killed when this is dropped.
pub(crate) fn start(mut command: Command, debian_package: &str) -> Process {
    command.stdin(Stdio::null()).stderr(Stdio::null());
    Process::start(command).unwrap_or_else(|error| panic!("{error}: apt-get install {debian_package}"))
}

/// A browser's own D-Bus session.
struct Bus {
    _daemon: Process,
    address: String,
}

impl Bus {
    fn start() -> Bus {
        let mut command = Command::new("dbus-daemon");
        command.args(["--session", "--nofork", "--nopidfile", "--print-address"]).stdout(Stdio::piped());
        let mut daemon = start(command, "dbus-daemon");
        let mut address = String::new();
        BufReader::new(daemon.child().stdout.take().expect("it is piped")).read_line(&mut address).unwrap();
        assert!(!address.trim().is_empty(), "dbus-daemon has exited");
        Bus { _daemon: daemon, address: address.trim().to_owned() }
    }
}
