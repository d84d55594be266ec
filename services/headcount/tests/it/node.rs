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

/// Descriptors and threads of a process, to find leaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    descriptors: usize,
    threads: usize,
}

impl Holdings {
    pub(crate) fn of(node: &Node) -> Holdings {
        let count = |what: &str| fs::read_dir(format!("/proc/{}/{what}", node.process().id())).unwrap().count();
        Holdings { descriptors: count("fd"), threads: count("task") }
    }

    /// Waits until the node has no viewers and holds no more than this. The runtime keeps an idle thread for a while.
    pub(crate) fn come_back(self, node: &Node) {
        wait_for_count(node, "online", 0);
        wait_until("no viewer left", PATIENCE, || match node.metric("headcount_viewers_by_state").unwrap() {
            0.0 => Ok(()),
            viewers => Err(format!("{viewers} viewers")),
        })
        .unwrap();
        wait_until(&format!("{self:?} as at the beginning"), PATIENCE, || {
            let now = Holdings::of(node);
            if now.descriptors <= self.descriptors && now.threads <= self.threads {
                Ok(())
            } else {
                Err(format!("{now:?}"))
            }
        })
        .unwrap();
    }
}
