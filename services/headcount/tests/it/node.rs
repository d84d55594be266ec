//! The node under test: one per test, on free ports.

use std::{fs, time::Duration};

use headcount_testkit::{Node, NodeOptions, wait_until};

/// Time limit of operations that are immediate on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Starts a node with embedded presence and the given arguments of `serve`.
pub(crate) fn start<const N: usize>(arguments: [&str; N]) -> Node {
    let options = NodeOptions { program: Some(env!("CARGO_BIN_EXE_headcount").into()), ..NodeOptions::default() };
    Node::start(&options.with(arguments)).unwrap()
}

/// Waits until a counter has exactly this count.
pub(crate) fn wait_for_count(node: &Node, counter: &str, count: u64) {
    wait_until(&format!("a count of {count}"), PATIENCE, || match node.reading(counter).unwrap().count {
        found if found == count => Ok(()),
        found => Err(format!("a count of {found}")),
    })
    .unwrap();
}

/// A feed without viewers is kept for some seconds, and a thread that has drawn for it for 10 s more.
const THREADS_LINGER: Duration = Duration::from_secs(20);

/// Descriptors and threads of a process, to find leaks.
#[derive(Clone, Debug)]
pub(crate) struct Holdings {
    descriptors: usize,
    /// Their names.
    threads: Vec<String>,
}

impl Holdings {
    pub(crate) fn of(node: &Node) -> Holdings {
        let entries = |what: &str| fs::read_dir(format!("/proc/{}/{what}", node.process().id())).unwrap();
        // A thread may end meanwhile.
        let name = |thread: fs::DirEntry| Some(fs::read_to_string(thread.path().join("comm")).ok()?.trim().to_owned());
        // The allocator starts a thread of its own for each processor, when it first has work for it.
        let threads =
            entries("task").filter_map(|thread| name(thread.unwrap()).filter(|name| !name.starts_with("jemalloc")));
        let threads = threads.collect();
        Holdings { descriptors: entries("fd").count(), threads }
    }

    /// Waits until the node has no viewers and holds no more than this. The runtime keeps an idle thread for a while.
    pub(crate) fn come_back(&self, node: &Node) {
        wait_for_count(node, "online", 0);
        wait_until("no viewer left", PATIENCE, || match node.metric("headcount_viewers_by_state").unwrap() {
            0.0 => Ok(()),
            viewers => Err(format!("{viewers} viewers")),
        })
        .unwrap();
        wait_until(&format!("{self:?} as at the beginning"), PATIENCE + THREADS_LINGER, || {
            let now = Holdings::of(node);
            if now.descriptors <= self.descriptors && now.threads.len() <= self.threads.len() {
                Ok(())
            } else {
                Err(format!("{now:?}"))
            }
        })
        .unwrap();
    }
}
