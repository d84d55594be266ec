//! The game is on the forum's page, and is played through the load balancer.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use headcount_testkit::http;

use crate::stack::Stack;

/// The board that the forum shows.
const BOARD: &str = "allotment";
/// What takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(stack: &Stack) -> anyhow::Result<()> {
    let forum = http::get((stack.outside()?, stack.ports.forum).into(), "/")?.text();
    for file in ["html", "png"] {
        let address = format!(":{}/{BOARD}.{file}\"", stack.ports.game);
        ensure!(forum.contains(&address), "the forum's page does not show {address}");
    }
    let game = SocketAddr::from((stack.outside()?, stack.ports.game));
    let outer = http::get(game, &format!("/{BOARD}.html"))?;
    ensure!(outer.status == 200 && outer.text().contains("live.html"), "{outer:?}");
    let mut page = TcpStream::connect(game)?;
    page.set_read_timeout(Some(PATIENCE))?;
    write!(page, "GET /{BOARD}/live.html HTTP/1.1\r\nHost: {game}\r\n\r\n")?;
    let mut shown = String::new();
    until(&mut page, &mut shown, "#e0,#e1,#e2,#e3,#e4,#e5,#e6,#e7,#e8,#s0)")?;
    let (_, last) = shown.rsplit_once("name=at value=").context("a position")?;
    let at = last.split(' ').next().unwrap_or_default().to_owned();
    let moved = Instant::now();
    let answer = http::post(game, &format!("/{BOARD}"), format!("at={at}&square=5").as_bytes())?;
    ensure!(answer.status == 204, "{answer:?}");
    until(&mut page, &mut shown, "#e0,#e1,#e2,#e3,#x4,#e5,#e6,#e7,#e8,#s1)")?;
    println!("  a move was shown after {:.0?}", moved.elapsed());
    let again = http::post(game, &format!("/{BOARD}"), format!("at={at}&square=5").as_bytes())?;
    ensure!(again.status == 409, "{again:?}");
    Ok(())
}

/// Reads until this is shown.
fn until(page: &mut TcpStream, shown: &mut String, wanted: &str) -> anyhow::Result<()> {
    let mut bytes = [0; 4096];
    while !shown.contains(wanted) {
        match page.read(&mut bytes)? {
            0 => bail!("the board's stream has ended"),
            read => shown.push_str(&String::from_utf8_lossy(&bytes[..read])),
        }
    }
    Ok(())
}
