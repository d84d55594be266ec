//! A server of badges to test the client with: pushes a number to all viewers.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use headcount_drawing::{Artist, Figure, Format, Look};
use headcount_wire::{CONTENT_TYPE, Part, opening};
use parking_lot::Mutex;

#[derive(Default)]
struct Open {
    sockets: Vec<TcpStream>,
    heads: Vec<String>,
    frame: Option<Part>,
}

/// Pushes frames to all viewers.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    open: Arc<Mutex<Open>>,
}

pub(crate) fn head() -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE}\r\nConnection: close\r\n\r\n").into_bytes()
}

pub(crate) fn badge(number: u64, version: u64) -> Part {
    let figure = Figure { number, epoch: 1, version, stale: false, fewer_than: None };
    Part::new(&Artist::new().draw(&Look::default(), &figure, Format::Png), "image/png")
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let open: Arc<Mutex<Open>> = Arc::default();
        open.lock().frame = Some(badge(0, 0));
        let accepting = Arc::clone(&open);
        thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                let mut request = vec![0; 4096];
                let count = socket.read(&mut request).unwrap();
                let mut open = accepting.lock();
                open.heads.push(String::from_utf8_lossy(&request[..count]).into_owned());
                let frame = open.frame.clone().unwrap();
                socket.write_all(&[&head()[..], &opening("image/png"), frame.bytes()].concat()).unwrap();
                open.sockets.push(socket);
            }
        });
        Self { address, open }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/online.png", self.address)
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.open.lock().heads.clone()
    }

    pub(crate) fn push(&self, number: u64, version: u64) {
        let mut open = self.open.lock();
        let frame = badge(number, version);
        for socket in &mut open.sockets {
            // Viewers may have left.
            let _ = socket.write_all(frame.bytes());
        }
        open.frame = Some(frame);
    }

    /// Ends all streams as a node does that is stopped.
    pub(crate) fn end(&self) {
        let mut open = self.open.lock();
        let ending = open.frame.as_ref().unwrap().ending();
        for mut socket in open.sockets.drain(..) {
            socket.write_all(&ending).unwrap();
        }
    }

    /// Ends streams as a node does that is killed.
    pub(crate) fn drop_viewers(&self, count: usize) {
        let mut open = self.open.lock();
        open.sockets.drain(..count);
    }
}
