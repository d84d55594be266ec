//! What readers aloud are told of frames: Chromium's accessibility tree.

use std::{collections::HashSet, time::Duration};

use headcount_testkit::{WebDriver, wait_until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    PATIENCE, lock_browsers,
    node::{counts, join, start},
    site::Site,
};

/// All documents in one process: the tree of a frame in another could not be asked for.
const ARGUMENTS: [&str; 2] = ["--disable-site-isolation-trials", "--disable-features=IsolateOrigins,site-per-process"];
/// Looks of the page's frames, and what is read of each before the number.
const FRAMES: [(&str, &str); 4] =
    [("label=caf%C3%A9", "café "), ("style=plain&label=", ""), ("style=odometer", ""), ("style=sprites&height=40", "")];
/// Longest time from a join until it would be read: a frame is updated twice a second at most.
const SOON: Duration = Duration::from_secs(5);

/// One node of the tree that is not ignored.
#[derive(Debug)]
struct Spoken {
    role: String,
    name: String,
    is_live: bool,
}

#[test]
fn chromium_reads_frames_as_text() {
    let _lock = lock_browsers();
    let mut node = start(&[]);
    let frames = FRAMES.map(|(query, _)| {
        let url = node.url("online.html").replace('&', "&amp;");
        format!("<iframe loading=\"lazy\" src=\"{url}?{query}\" title=\"people here now\" width=\"200\" height=\"40\"></iframe>")
    });
    let site = Site::with(&frames.join("\n"));
    let browser = WebDriver::start(&ARGUMENTS).unwrap();
    browser.open(&site.url()).unwrap();
    counts(&node, FRAMES.len() as u64);
    browser.devtools("Accessibility.enable", &json!({})).unwrap();

    let page = tree_of(&browser, &frame_tree(&browser)["frame"]["id"]);
    let named = page.iter().filter(|one| one.role == "Iframe" && one.name == "people here now");
    assert_eq!(named.count(), FRAMES.len(), "{page:#?}");

    reads(&browser, "4", SOON);
    let viewer = join(&node);
    reads(&browser, "5", SOON);
    drop(viewer);
    reads(&browser, "4", SOON);
    for document in documents(&browser) {
        let spoken = tree_of(&browser, &document["id"]);
        let root = spoken.iter().find(|one| one.role == "RootWebArea").expect("a document");
        assert_eq!(root.name, "online: how many are here now");
        assert!(spoken.iter().any(|one| one.role == "main"), "{spoken:#?}");
        assert!(spoken.iter().all(|one| !one.is_live), "nothing announces itself: {spoken:#?}");
    }
    node.process().signal(Signal::SIGTERM).unwrap();
    ends_marked(&browser);
    assert!(node.process_ended(PATIENCE).unwrap().success());
}

/// Waits until each frame is read as its label and this number, and nothing else.
fn reads(browser: &WebDriver, number: &str, within: Duration) {
    wait_until(&format!("frames that say {number}"), within, || {
        let documents = documents(browser);
        let mut read: Vec<String> =
            documents.iter().map(|document| text_of(&tree_of(browser, &document["id"]))).collect();
        let mut expected = FRAMES.map(|(_, label)| format!("{label}{number}"));
        read.sort();
        expected.sort();
        if read == expected { Ok(()) } else { Err(format!("{read:?}")) }
    })
    .unwrap();
}

/// Waits until each frame has been read as a number that is not up to date. Some seconds later, it is loaded again. Those that end
/// later may have a lower number: the first have left by then.
fn ends_marked(browser: &WebDriver) {
    let mut seen = HashSet::new();
    wait_until("frames that say that they are not up to date", SOON, || {
        let documents = documents(browser);
        let texts = documents.iter().map(|document| text_of(&tree_of(browser, &document["id"])));
        let texts: Vec<String> = texts.collect();
        let marked = documents.iter().zip(&texts).filter(|(_, text)| text.ends_with(" (not up to date)"));
        seen.extend(marked.map(|(document, _)| document["id"].to_string()));
        if seen.len() == FRAMES.len() { Ok(()) } else { Err(format!("{seen:?} have, now: {texts:?}")) }
    })
    .unwrap();
}

/// The text of a document, one piece after the other, as it is read.
fn text_of(tree: &[Spoken]) -> String {
    let pieces = tree.iter().filter(|one| one.role == "StaticText").map(|one| one.name.trim());
    pieces.collect::<Vec<&str>>().join(" ")
}

/// The live documents in the page's frames.
fn documents(browser: &WebDriver) -> Vec<Value> {
    let page = frame_tree(browser);
    let children = |tree: &Value| tree["childFrames"].as_array().cloned().unwrap_or_default();
    children(&page).iter().flat_map(children).map(|live| live["frame"].clone()).collect()
}

fn frame_tree(browser: &WebDriver) -> Value {
    browser.devtools("Page.getFrameTree", &json!({})).unwrap()["frameTree"].clone()
}

/// What is read of a frame's document, without what its own frames hold.
fn tree_of(browser: &WebDriver, frame: &Value) -> Vec<Spoken> {
    // A frame may be loading.
    let answer = browser.devtools("Accessibility.getFullAXTree", &json!({"frameId": frame})).unwrap_or_default();
    let nodes = answer["nodes"].as_array().cloned().unwrap_or_default();
    let spoken = nodes.iter().filter(|node| node["ignored"] != true).map(|node| {
        let text = |field: &str| node[field]["value"].as_str().unwrap_or_default().to_owned();
        let mut properties = node["properties"].as_array().into_iter().flatten();
        let is_live = properties.any(|property| property["name"] == "live" && property["value"]["value"] != "off");
        Spoken { role: text("role"), name: text("name"), is_live }
    });
    spoken.collect()
}
