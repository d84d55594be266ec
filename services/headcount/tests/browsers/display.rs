//! A virtual screen: Xvfb, the windows on it, and their pixels.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use headcount_testkit::Process;
use x11rb::{
    connection::Connection,
    protocol::xproto::{
        Atom, ClientMessageEvent, ConfigureWindowAux, ConnectionExt, EventMask, ImageFormat, MapState, StackMode,
        Window,
    },
    rust_connection::RustConnection,
    wrapper::ConnectionExt as _,
};

use crate::{browser::start, picture::Rectangle};

/// Size of the screen, in pixels. Two browser windows fit side by side.
pub(crate) const SIZE: (u16, u16) = (1400, 720);
/// Smaller windows are menus, tooltips and invisible windows of toolkits.
const SMALLEST_BROWSER: u16 = 200;

/// An X server with one screen. It is killed when dropped.
pub(crate) struct Display {
    _server: Process,
    name: String,
    connection: RustConnection,
    root: Window,
    wm_protocols: Atom,
    wm_delete_window: Atom,
}

impl Display {
    pub(crate) fn start() -> Display {
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-screen", "0", &format!("{}x{}x24", SIZE.0, SIZE.1), "-nolisten", "tcp"]);
        command.stdout(Stdio::piped());
        let mut server = start(command, "xvfb");
        let mut number = String::new();
        let stdout = server.child().stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut number).expect("Xvfb prints its display's number");
        let name = format!(":{}", number.trim());
        let (connection, screen) = RustConnection::connect(Some(&name)).expect("Xvfb accepts connections");
        let root = connection.setup().roots[screen].root;
        let atom = |name: &[u8]| connection.intern_atom(false, name).unwrap().reply().unwrap().atom;
        let (wm_protocols, wm_delete_window) = (atom(b"WM_PROTOCOLS"), atom(b"WM_DELETE_WINDOW"));
        Display { _server: server, name, connection, root, wm_protocols, wm_delete_window }
    }

    /// The value of `DISPLAY` for programs on this screen.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the visible browser windows.
    pub(crate) fn windows(&self) -> Vec<Window> {
        let tree = self.connection.query_tree(self.root).unwrap().reply().unwrap();
        tree.children.into_iter().filter(|&window| self.is_browser(window)).collect()
    }

    fn is_browser(&self, window: Window) -> bool {
        // A window may close between the listing and these requests.
        let Ok(attributes) = self.connection.get_window_attributes(window).unwrap().reply() else { return false };
        let Ok(geometry) = self.connection.get_geometry(window).unwrap().reply() else { return false };
        attributes.map_state == MapState::VIEWABLE
            && !attributes.override_redirect
            && geometry.width.min(geometry.height) >= SMALLEST_BROWSER
    }

    /// Waits for a window that is not in `known`, and moves it to a half of the screen.
    pub(crate) fn new_window(&self, known: &[Window], half: Half, patience: Duration) -> Window {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(&window) = self.windows().iter().find(|window| !known.contains(window)) {
                self.place(window, half.part());
                self.connection.sync().unwrap();
                return window;
            }
            assert!(Instant::now() < deadline, "no browser window has opened within {patience:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn place(&self, window: Window, part: Rectangle) {
        let number = |pixels: usize| u32::try_from(pixels).unwrap();
        let place = ConfigureWindowAux::new()
            .x(number(part.x).cast_signed())
            .y(number(part.y).cast_signed())
            .width(number(part.width))
            .height(number(part.height))
            // It must not cover the window under test.
            .stack_mode(StackMode::BELOW);
        self.connection.configure_window(window, &place).unwrap();
    }

    /// Closes a window as a click on its frame does.
    pub(crate) fn close(&self, window: Window) {
        let data = [self.wm_delete_window, x11rb::CURRENT_TIME, 0, 0, 0];
        let event = ClientMessageEvent::new(32, window, self.wm_protocols, data);
        self.connection.send_event(false, window, EventMask::NO_EVENT, event).unwrap();
        self.connection.sync().unwrap();
    }

    /// Minimizes a window: without a window manager, it is only not shown any more.
    pub(crate) fn minimize(&self, window: Window) {
        self.connection.unmap_window(window).unwrap();
        self.connection.sync().unwrap();
    }

    /// Returns the pixels of a part of the screen, row by row, as red, green and blue.
    pub(crate) fn pixels(&self, part: Rectangle) -> Vec<[u8; 3]> {
        let (x, y) = (i16::try_from(part.x).unwrap(), i16::try_from(part.y).unwrap());
        let (width, height) = (u16::try_from(part.width).unwrap(), u16::try_from(part.height).unwrap());
        let image = self
            .connection
            .get_image(ImageFormat::Z_PIXMAP, self.root, x, y, width, height, u32::MAX)
            .unwrap()
            .reply()
            .expect("the part is on the screen");
        image.data.as_chunks::<4>().0.iter().map(|&[blue, green, red, _]| [red, green, blue]).collect()
    }

    /// Saves a screenshot to debug a failure, and returns its path.
    pub(crate) fn save_screenshot(&self) -> PathBuf {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browsers.png");
        let whole = Rectangle { x: 0, y: 0, width: SIZE.0.into(), height: SIZE.1.into() };
        let (pixels, [width, height]) = (self.pixels(whole), [SIZE.0, SIZE.1].map(u32::from));
        image::save_buffer(&path, pixels.as_flattened(), width, height, image::ExtendedColorType::Rgb8).unwrap();
        path
    }
}

/// A half of the screen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Half {
    Left,
    Right,
}

impl Half {
    pub(crate) fn part(self) -> Rectangle {
        let (width, height) = (usize::from(SIZE.0) / 2, usize::from(SIZE.1));
        let x = match self {
            Half::Left => 0,
            Half::Right => width,
        };
        Rectangle { x, y: 0, width, height }
    }
}
