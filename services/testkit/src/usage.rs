//! What a process uses, read from `/proc`.

use std::{
    fs, io,
    ops::{Add, Sub},
    time::Duration,
};

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Proportional set size: its own memory, and its share of what it shares.
    pub pss_bytes: u64,
    /// Time on a processor so far, user and system.
    pub cpu: Duration,
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { pss_bytes: self.pss_bytes + other.pss_bytes, cpu: self.cpu + other.cpu }
    }
}

impl Sub for Usage {
    type Output = Self;

    /// What came to it since; memory that was given back counts as none.
    fn sub(self, earlier: Self) -> Self {
        Self { pss_bytes: self.pss_bytes.saturating_sub(earlier.pss_bytes), cpu: self.cpu.saturating_sub(earlier.cpu) }
    }
}

/// What one process uses.
///
/// # Errors
/// If it has ended, or belongs to another user.
pub fn of(process: u32) -> io::Result<Usage> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let kib =
        rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(Usage { pss_bytes: kib.unwrap_or(0) << 10, cpu: cpu(process)? })
}

/// The open files of one process.
///
/// # Errors
/// If it has ended, or belongs to another user.
pub fn descriptors(process: u32) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{process}/fd"))?.count())
}

/// What a process and its children use, theirs too.
///
/// # Errors
/// If it has ended, or belongs to another user.
pub fn of_family(process: u32) -> io::Result<Usage> {
    let mut usage = of(process)?;
    for child in children(process)? {
        // A child may end meanwhile.
        usage = usage + of_family(child).unwrap_or_default();
    }
    Ok(usage)
}

fn children(process: u32) -> io::Result<Vec<u32>> {
    let mut children = Vec::new();
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        children.extend(text.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    Ok(children)
}

/// The scheduler's own account in nanoseconds, thread by thread; `stat` counts in ticks of 10 ms.
fn cpu(process: u32) -> io::Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        nanos += text.split_whitespace().next().and_then(|time| time.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let before = of(std::process::id()).unwrap();
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_millis(20) {}
        let more = of(std::process::id()).unwrap();
        assert!(before.pss_bytes > 1 << 20, "{before:?}");
        assert!(descriptors(std::process::id()).unwrap() > 3);
        assert!((more - before).cpu > Duration::from_millis(5), "{before:?} {more:?}");
    }
}
