//! The floor: one thread a core, each with its share of the sockets, and for each frame one `send` to each of them.
//! It keeps nothing else, so nothing that runs in user space can be cheaper.

use std::{
    io::Write,
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, mpsc},
    thread,
};

use anyhow::Context;
use bytes::Bytes;
use parking_lot::Mutex;

use super::request::read_request;

enum Order {
    Adopt(TcpStream),
    Push(Bytes),
}

/// Serves until the process is killed.
pub(super) fn serve(port: u16) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).context("listening")?;
    // The standard library's queue of 128 would drop connections that are opened as fast as here.
    socket2::SockRef::from(&listener).listen(4096).context("a longer queue")?;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let senders: Vec<mpsc::Sender<Order>> = (0..threads).map(|_| sender()).collect();
    let newest = Arc::new(Mutex::new(Bytes::new()));
    for (index, stream) in listener.incoming().enumerate() {
        let mut stream = stream.context("accepting")?;
        let request = match read_request(&mut stream) {
            Ok(request) => request,
            Err(_) => continue,
        };
        match request.posted {
            Some(frame) => {
                newest.lock().clone_from(&frame);
                for sender in &senders {
                    sender.send(Order::Push(frame.clone())).context("a thread that sends is gone")?;
                }
                // The client may be gone.
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
            None => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {}\r\n\r\n", headcount_wire::CONTENT_TYPE);
                let opening = headcount_wire::opening("image/png");
                let frame = newest.lock().clone();
                if stream.write_all(&[head.as_bytes(), &opening, &frame].concat()).is_ok() {
                    stream.set_nonblocking(true).context("a socket that does not block")?;
                    senders[index % threads].send(Order::Adopt(stream)).context("a thread that sends is gone")?;
                }
            }
        }
    }
    Ok(())
}

fn sender() -> mpsc::Sender<Order> {
    let (orders, received) = mpsc::channel();
    thread::spawn(move || {
        let mut sockets = Vec::new();
        for order in received {
            match order {
                Order::Adopt(socket) => sockets.push(socket),
                // A viewer that is gone, or does not read, gets nothing.
                Order::Push(frame) => {
                    for socket in &mut sockets {
                        let _ = socket.write(&frame);
                    }
                }
            }
        }
    });
    orders
}
