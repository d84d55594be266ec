//! Someone else's web site: another origin, one static page with our picture on it.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

/// Serves one page to whoever asks, until the test's process ends.
pub(crate) struct Site {
    address: SocketAddr,
    /// When the page was handed out last.
    served: Arc<Mutex<Option<Instant>>>,
}

impl Site {
    /// Opens a site that embeds the image at `image_url`.
    pub(crate) fn open(image_url: &str) -> Site {
        // Another address than the node's, so that it is another site to the browser, not merely another port.
        let listener = TcpListener::bind("127.0.0.2:0").expect("all of 127.0.0.0/8 is this machine");
        let address = listener.local_addr().unwrap();
        let page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>A page elsewhere</title>\n\
             <body style=\"margin: 24px; background: #fff\">\n<img src=\"{image_url}\" alt=\"\">\n</html>\n"
        );
        let served = Arc::new(Mutex::new(None));
        let answering = Arc::clone(&served);
        thread::spawn(move || {
            for visitor in listener.incoming().flatten() {
                // Browsers open connections that they may never use: each is waited for alone.
                let (page, served) = (page.clone(), Arc::clone(&answering));
                thread::spawn(move || answer(visitor, &page, &served));
            }
        });
        Site { address, served }
    }

    /// Where the page is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// When the page was handed out last.
    pub(crate) fn served(&self) -> Option<Instant> {
        *self.served.lock().unwrap()
    }
}

/// Answers one request and closes. What the visitor does wrong is the visitor's loss.
fn answer(visitor: TcpStream, page: &str, served: &Mutex<Option<Instant>>) {
    let mut lines = BufReader::new(&visitor).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    while lines.next().is_some_and(|line| !line.is_empty()) {}
    let (status, body) = if request.starts_with("GET / ") { ("200 OK", page) } else { ("404 Not Found", "") };
    if !body.is_empty() {
        *served.lock().unwrap() = Some(Instant::now());
    }
    let _ = write!(
        &visitor,
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{body}",
        body.len(),
    );
}
