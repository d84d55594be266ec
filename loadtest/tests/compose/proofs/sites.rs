//! Both demo sites in a real browser, before and after a crowd arrives.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::CHANGE;
use crate::{
    browser::Browser,
    crowd::Crowd,
    stack::{REPLICAS, Stack},
    timing::within,
};

/// Viewers in addition to the two browsers.
const OTHERS: usize = 300;
/// A screenshot takes a browser on a busy machine some tenths of a second, and there are two to take.
const SCREENSHOTS: Duration = Duration::from_secs(4);

pub(super) fn run(stack: &Stack) -> anyhow::Result<()> {
    let (forum, blog) = (Browser::start()?, Browser::start()?);
    let begun = Instant::now();
    forum.open(&format!("http://localhost:{}/", stack.ports.forum))?;
    blog.open(&format!("http://localhost:{}/", stack.ports.blog))?;
    let sites = [&forum, &blog];
    let both_show = |number: u64| {
        move || {
            for site in sites {
                let [counter] = &site.elements("#online")?[..] else { anyhow::bail!("the page has one counter") };
                let shown = site.number(counter)?;
                ensure!(shown == number, "one site shows {shown} where there are {number}");
            }
            Ok(())
        }
    };
    within("both sites show 2 after they were opened", begun, Duration::from_secs(30), both_show(2))?;

    let crowd = Crowd::open(stack, "online", OTHERS)?;
    let begun = Instant::now();
    let all = OTHERS as u64 + 2;
    crowd.viewers().all_see(all, CHANGE)?;
    within(&format!("both sites show {all} after {OTHERS} more came"), begun, SCREENSHOTS, both_show(all))?;

    let nodes = stack.nodes()?;
    let spread = nodes.iter().map(|node| node.viewers()).collect::<Result<Vec<_>, _>>()?;
    println!("  viewers by node: {spread:?}");
    let fair = all / REPLICAS as u64;
    ensure!(spread.iter().all(|viewers| viewers.abs_diff(fair) <= fair / 5), "{spread:?} is no fair share");

    let begun = Instant::now();
    drop(crowd);
    within("both sites show 2 after they left", begun, SCREENSHOTS, both_show(2))
}
