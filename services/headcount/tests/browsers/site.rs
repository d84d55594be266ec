//! A web site of another origin, with one static page that embeds the stream.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

/// Serves one page until the test's process exits.
pub(crate) struct Site {
    address: SocketAddr,
    /// When the page was last served.
    served: Arc<Mutex<Option<Instant>>>,
}

impl Site {
    /// Opens a site that embeds the image at `image_url`.
    pub(crate) fn open(image_url: &str) -> Site {
        // Not the node's address, so that it is another site to the browser, not just another port.
        let listener = TcpListener::bind("127.0.0.2:0").expect("127.0.0.0/8 is this machine");
        let address = listener.local_addr().unwrap();
        let page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>A page elsewhere</title>\n\
             <body style=\"margin: 24px; background: #fff\">\n<img src=\"{image_url}\" alt=\"\">\n</html>\n"
        );
        let served = Arc::new(Mutex::new(None));
        let answering = Arc::clone(&served);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Browsers open connections that they may never use, so each has its own thread.
                let (page, served) = (page.clone(), Arc::clone(&answering));
                thread::spawn(move || answer(client, &page, &served));
            }
        });
        Site { address, served }
    }

    /// The page's URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// When the page was last served.
    pub(crate) fn served(&self) -> Option<Instant> {
        *self.served.lock().unwrap()
    }
}

/// Answers one request and closes the connection. Errors are ignored.
fn answer(client: TcpStream, page: &str, served: &Mutex<Option<Instant>>) {
    let mut lines = BufReader::new(&client).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    while lines.next().is_some_and(|line| !line.is_empty()) {}
    let (status, body) = if request.starts_with("GET / ") { ("200 OK", page) } else { ("404 Not Found", "") };
    if !body.is_empty() {
        *served.lock().unwrap() = Some(Instant::now());
    }
    let _ = write!(
        &client,
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{body}",
        body.len(),
    );
}
