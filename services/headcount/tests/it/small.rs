//! `--small`: what is hidden stays hidden, whatever a client compares.

use std::time::Duration;

use headcount_drawing::{Count, read_stamp};
use headcount_testkit::http;
use serde_json::Value;

use crate::{
    exchange::get,
    node::{start, wait_for_count},
    stream::Stream,
};

#[test]
fn below_the_bound_nothing_tells_of_a_change() {
    let node = start(["--small", "4"]);
    let json = || -> Value {
        let mut json: Value = serde_json::from_slice(&get(&node, "/online.json").body).unwrap();
        // The time of the request.
        json.as_object_mut().unwrap().remove("as_of");
        json
    };
    let snapshot = || get(&node, "/online/snapshot.png");
    let viewers = |wanted: f64| {
        headcount_testkit::wait_until("the viewers", crate::node::PATIENCE, || {
            match node.metric("headcount_presence_viewers").unwrap() {
                found if found == wanted => Ok(()),
                found => Err(found),
            }
        })
        .unwrap();
    };
    let mut streams = vec![Stream::open(&node, "/online.png")];
    viewers(1.0);
    let (first, picture) = (json(), snapshot());
    assert_eq!(first["version"], Value::Null, "{first}");
    for count in 2..4 {
        streams.push(Stream::open(&node, "/online.png"));
        viewers(f64::from(count));
        assert_eq!(json(), first, "a change from {} to {count}", count - 1);
        assert_eq!(snapshot().header("etag"), picture.header("etag"), "{count}");
    }
    streams.push(Stream::open(&node, "/online.png"));
    viewers(4.0);
    assert!(json()["version"].is_u64());
    assert_eq!(read_stamp(&snapshot().body).unwrap().count, Count::Exactly(4));
    streams.pop();
    viewers(3.0);
    assert_eq!(json(), first);
    assert_eq!(http::get(node.address(), "/online.json").unwrap().status, 200);
}

#[test]
fn a_counters_version_tells_nothing_of_others() {
    let node = start([]);
    let version = |counter: &str| node.reading(counter).unwrap().version;
    let mut stream = Stream::open(&node, "/online.png");
    stream.wait_for(1);
    // Two spans of equal length. During the second one, the other counter changes.
    let span = Duration::from_millis(300);
    let mut steps = Vec::new();
    for changes in [0, 12] {
        let before = version("other");
        let begun = std::time::Instant::now();
        for _ in 0..changes {
            drop(Stream::open(&node, "/online.png"));
        }
        std::thread::sleep(span.saturating_sub(begun.elapsed()));
        steps.push(version("other") - before);
    }
    println!("versions in {span:?} without and with changes of another counter: {steps:?}");
    assert!(steps[0] > 100, "the version of a counter that is not live tells the number of changes: {steps:?}");
    // It never goes back, whether the counter is live or not.
    let live = version("online");
    drop(stream);
    wait_for_count(&node, "online", 0);
    let left = version("online");
    assert!(left > live, "{left} after {live}");
    let mut last = left;
    headcount_testkit::wait_until("the counter's end on this node", crate::node::PATIENCE, || {
        let now = version("online");
        assert!(now >= last, "{now} after {last}");
        last = now;
        match node.metric("headcount_presence_counters").unwrap() {
            0.0 => Ok(()),
            counters => Err(counters),
        }
    })
    .unwrap();
    assert!(version("online") >= last);
    Stream::open(&node, "/online.png").wait_for(1);
    assert!(version("online") > last);
}
