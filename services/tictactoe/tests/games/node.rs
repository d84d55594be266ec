//! A node, requests to it, and pages that watch a board.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use headcount_testkit::Process;
use socket2::{Domain, Socket, Type};

/// What takes longer hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A running node. It is killed when it is dropped.
pub(crate) struct Node {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl Node {
    /// Starts a node whose boards are in this Redis, and waits until it listens.
    pub(crate) fn start(redis: &str, arguments: &[&str]) -> Node {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tictactoe"));
        command.args(["--listen", "127.0.0.1:0", "--redis", redis]).args(arguments);
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut process = Process::start(command).unwrap();
        let mut log = BufReader::new(process.child().stderr.take().expect("it is piped")).lines();
        let address = loop {
            let line = log.next().expect("a node that has started").unwrap();
            if let Some((_, address)) = line.split_once("serving http://") {
                break address.trim_end_matches('/').parse().unwrap();
            }
        };
        let lines = Arc::default();
        let kept: Arc<Mutex<Vec<String>>> = Arc::clone(&lines);
        std::thread::spawn(move || log.map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line)));
        Node { process, address, log: lines }
    }

    /// The lines that it has logged since it listens.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Sends a request from an address and returns its socket.
    pub(crate) fn send_from(&self, from: Ipv4Addr, request: &[u8]) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        let mut socket = TcpStream::from(socket);
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // A node may answer and close before it has read everything.
        let _ = socket.write_all(request);
        socket
    }

    /// Sends a request and returns the whole answer.
    pub(crate) fn ask(&self, from: Ipv4Addr, request: &str) -> Answer {
        let mut bytes = Vec::new();
        if let Err(error) = self.send_from(from, request.as_bytes()).read_to_end(&mut bytes) {
            assert!(!bytes.is_empty(), "no answer: {error}");
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head[9..12].parse().unwrap();
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    /// `GET path`, with an answer that ends.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask(Ipv4Addr::LOCALHOST, &format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
    }

    /// Sends a form.
    pub(crate) fn post(&self, board: &str, agent: &str, form: &str) -> Answer {
        self.post_from(Ipv4Addr::LOCALHOST, board, agent, form)
    }

    /// Sends a form from an address.
    pub(crate) fn post_from(&self, from: Ipv4Addr, board: &str, agent: &str, form: &str) -> Answer {
        let bytes = form.len();
        let head = format!("POST /{board} HTTP/1.1\r\nHost: a\r\nUser-Agent: {agent}\r\nConnection: close\r\n");
        self.ask(from, &format!("{head}Content-Length: {bytes}\r\n\r\n{form}"))
    }

    /// Makes a move: a square from 1 to 9, for a position.
    pub(crate) fn play(&self, board: &str, agent: &str, at: u64, square: u8) -> Answer {
        self.post(board, agent, &format!("at={at}&square={square}"))
    }

    /// Opens the live document of a board.
    pub(crate) fn page(&self, board: &str) -> Page {
        self.page_from(Ipv4Addr::LOCALHOST, board).expect("a stream")
    }

    /// Opens the live document of a board from an address; fails with the status of a refusal.
    pub(crate) fn page_from(&self, from: Ipv4Addr, board: &str) -> Result<Page, u16> {
        let request = format!("GET /{board}/live.html HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut page = Page { socket: self.send_from(from, request.as_bytes()), text: String::new() };
        while !page.text.contains("\r\n\r\n") {
            assert!(page.read_more(), "no answer: {:?}", page.text);
        }
        match page.text[9..12].parse().unwrap() {
            200 => Ok(page),
            status => Err(status),
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// After how many seconds a browser tries again.
    pub(crate) fn refresh(&self) -> u32 {
        let (_, after) = self.head.split_once("\nrefresh: ").unwrap_or_else(|| panic!("no refresh: {self:?}"));
        after.split("\r\n").next().unwrap().parse().unwrap()
    }

    /// Checks that it refuses with this status, in one plain sentence.
    pub(crate) fn refuses(&self, status: u16, part: &str) {
        let sentence = self.body.strip_suffix(".\n").unwrap_or_else(|| panic!("no sentence: {self:?}"));
        assert!(!sentence.contains('\n') && sentence.len() < 150 && sentence.contains(part), "{self:?}");
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.head.contains("content-type: text/plain"), "{self:?}");
        assert_eq!(self.head.contains("retry-after: 5"), matches!(status, 429 | 503), "{self:?}");
    }
}

/// An open live document.
pub(crate) struct Page {
    socket: TcpStream,
    text: String,
}

/// What a live document shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The number of the position.
    pub(crate) at: u64,
    /// Nine letters: x, o, or e for an empty square.
    pub(crate) squares: String,
    /// The index of what is next.
    pub(crate) standing: u8,
    pub(crate) stale: bool,
}

impl Page {
    /// Whether something came before the stream ended.
    fn read_more(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match self.socket.read(&mut bytes) {
            Ok(0) => false,
            Ok(read) => {
                self.text.push_str(&String::from_utf8_lossy(&bytes[..read]));
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error} after {:?}", self.shown()),
        }
    }

    /// Reads for this time.
    pub(crate) fn read_for(&mut self, time: Duration) {
        let begun = Instant::now();
        self.socket.set_read_timeout(Some(time)).unwrap();
        let mut bytes = [0; 4096];
        while begun.elapsed() < time {
            if let Ok(read @ 1..) = self.socket.read(&mut bytes) {
                self.text.push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        }
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// What it shows after everything that has been read.
    pub(crate) fn shown(&self) -> Option<Shown> {
        let whole = &self.text[..self.text.rfind("</style>\n")?];
        let (_, update) = whole.rsplit_once("<input type=radio name=at value=")?;
        let (at, rest) = update.split_once(' ')?;
        let (_, rest) = rest.split_once(":where(#")?;
        let (ids, _) = rest.split_once(')')?;
        let ids: Vec<&str> = ids.split(",#").collect();
        let squares = ids[..9].iter().enumerate().map(|(index, id)| {
            assert_eq!(id[1..], index.to_string(), "{ids:?}");
            id.chars().next().unwrap()
        });
        let standing = ids[9].strip_prefix('s')?.parse().unwrap();
        Some(Shown {
            at: at.parse().unwrap(),
            squares: squares.collect(),
            standing,
            stale: ids.get(10) == Some(&"stale"),
        })
    }

    /// Reads until it shows what is wanted, and returns it.
    pub(crate) fn until(&mut self, wanted: impl Fn(&Shown) -> bool) -> Shown {
        let begun = Instant::now();
        loop {
            if let Some(shown) = self.shown().filter(&wanted) {
                return shown;
            }
            assert!(self.read_more() && begun.elapsed() < PATIENCE, "it shows {:?}", self.shown());
        }
    }

    /// Reads until it shows these squares.
    pub(crate) fn squares(&mut self, squares: &str) -> Shown {
        self.until(|shown| shown.squares == squares)
    }

    /// Reads to the end, and returns what is shown then.
    pub(crate) fn end(mut self) -> Shown {
        while self.read_more() {}
        self.shown().expect("a board")
    }
}

/// An address of this machine.
pub(crate) fn loopback(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 3, last)
}

/// The PROXY header of version 1 of a client.
pub(crate) fn proxy_header(client: IpAddr) -> String {
    format!("PROXY TCP4 {client} 127.0.0.1 4711 80\r\n")
}
