//! A web site of another origin, with one static page that embeds the stream, and perhaps a document that arrives in parts.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// Serves one page until the test's process exits.
pub(crate) struct Site {
    address: SocketAddr,
    requests: Requests,
}

/// The path of the document that arrives in parts.
pub(crate) const PARTS: &str = "/parts";
/// Time between its parts: some frames of a browser.
const PAUSE: Duration = Duration::from_millis(400);

/// All paths that were requested, and when.
type Requests = Arc<Mutex<Vec<(String, Instant)>>>;

impl Site {
    /// Opens a site that embeds the image at `image_url`.
    pub(crate) fn open(image_url: &str) -> Site {
        Site::with(&format!("<img src=\"{image_url}\" alt=\"\">"))
    }

    /// Opens a site whose page has this body.
    pub(crate) fn with(body: &str) -> Site {
        Site::with_parts(body, &[])
    }

    /// Opens a site whose page has this body, with another document at [`PARTS`], which arrives in these parts.
    pub(crate) fn with_parts(body: &str, parts: &[&str]) -> Site {
        // Not the node's address, so that it is another site to the browser, not just another port.
        let listener = TcpListener::bind("127.0.0.2:0").expect("127.0.0.0/8 is this machine");
        let address = listener.local_addr().unwrap();
        let parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        let page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>A page elsewhere</title>\n\
             <body style=\"margin: 24px; background: #fff\">\n{body}\n</html>\n"
        );
        let requests = Requests::default();
        let answering = Arc::clone(&requests);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Browsers open connections that they may never use, so each has its own thread.
                let (page, parts, requests) = (page.clone(), parts.clone(), Arc::clone(&answering));
                thread::spawn(move || answer(client, &page, &parts, &requests));
            }
        });
        Site { address, requests }
    }

    /// The page's URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// When the page was last served.
    pub(crate) fn served(&self) -> Option<Instant> {
        self.requested("/").pop()
    }

    /// When this path was requested, each time.
    pub(crate) fn requested(&self, path: &str) -> Vec<Instant> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|(requested, _)| requested == path).map(|(_, at)| *at).collect()
    }
}

/// Answers one request and closes the connection. Errors are ignored.
fn answer(mut client: TcpStream, page: &str, parts: &[String], requests: &Mutex<Vec<(String, Instant)>>) {
    let mut lines = BufReader::new(&client).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    while lines.next().is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let page = [page.to_owned()];
    let (status, parts) = match path {
        "/" => ("200 OK", &page[..]),
        PARTS => ("200 OK", parts),
        _ => ("404 Not Found", &[][..]),
    };
    requests.lock().unwrap().push((path.to_owned(), Instant::now()));
    let length: usize = parts.iter().map(String::len).sum();
    let _ = write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {length}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
    );
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            thread::sleep(PAUSE);
        }
        let _ = client.write_all(part.as_bytes());
    }
}
