//! Fuzz targets for all code that parses untrusted input. Each target passes bytes to the real code and panics if a property
//! does not hold.
//!
//! `src/bin` passes the targets to libFuzzer, which `.ci/fuzz` builds and runs. `tests/corpus.rs` runs each target on every
//! file of `corpus/TARGET`: hand-written seeds, inputs that reached new code, and every input that found a bug.

mod forms;
mod heads;
mod looks;
mod names;
mod node;
mod proxy;
mod replies;
mod responses;

use std::path::PathBuf;

pub use forms::forms;
pub use heads::heads;
pub use looks::looks;
pub use names::names;
pub use proxy::proxy;
pub use replies::replies;

/// Runs a target on every file of its corpus and prints each file's name first. Returns the number of files.
///
/// # Panics
/// Panics if the corpus is empty or cannot be read, or if a property does not hold.
pub fn replay(name: &str, target: fn(&[u8])) -> usize {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    for path in &paths {
        println!("{}", path.display());
        target(&std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    }
    paths.len()
}
