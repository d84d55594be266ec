//! libfaketime: a process's own wall clock. Monotonic clocks stay as they are.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The library's path, for `LD_PRELOAD`.
pub(crate) fn library() -> String {
    ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"]
        .map(|directory| format!("{directory}/faketime/libfaketimeMT.so.1"))
        .into_iter()
        .find(|path| Path::new(path).exists())
        .unwrap_or_else(|| "libfaketimeMT.so.1".into())
}

/// The wall clock of one process, which can be stepped while the process runs.
#[derive(Debug)]
pub(crate) struct SteppedClock {
    /// The library reads it at each call, which is slow and never late.
    file: PathBuf,
    /// Seconds ahead of the machine's clock.
    ahead: i64,
}

impl SteppedClock {
    /// A clock that is right. Its file is created in `directory`.
    pub(crate) fn new(directory: &Path) -> io::Result<Self> {
        let mut clock = Self { file: directory.join("clock"), ahead: 0 };
        clock.step(0)?;
        Ok(clock)
    }

    /// Moves it by this number of seconds, forward or back.
    pub(crate) fn step(&mut self, seconds: i64) -> io::Result<()> {
        let ahead = self.ahead + seconds;
        // By a rename: the process must not read half of it.
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{ahead:+}"))?;
        fs::rename(&next, &self.file)?;
        self.ahead = ahead;
        Ok(())
    }

    /// What a process needs in its environment to have this clock.
    pub(crate) fn environment(&self) -> [(&'static str, String); 5] {
        [
            // The allocator that Redis is linked with reads the clock before the library is ready: use libc's.
            ("LD_PRELOAD", format!("{}:libc.so.6", library())),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".into()),
            // The name until version 0.9.9, and since.
            ("DONT_FAKE_MONOTONIC", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }
}
