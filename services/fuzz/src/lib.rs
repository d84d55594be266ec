//! Whatever of headcount reads what strangers write, fed with anything. Each target takes bytes, gives them to the real
//! code, and panics where a property does not hold; `src/bin` hands it to libFuzzer, which `.ci/fuzz` builds and runs, and
//! `tests/corpus.rs` gives it every file of `corpus/TARGET` in each run of the tests: seeds that were written by hand,
//! the inputs that reached new code, and every input that ever found a fault.

mod heads;
mod looks;
mod names;
mod node;
mod proxy;
mod replies;
mod responses;

use std::path::PathBuf;

pub use heads::heads;
pub use looks::looks;
pub use names::names;
pub use proxy::proxy;
pub use replies::replies;

/// Gives a target every file of its corpus; says how many there were.
///
/// # Panics
/// Where the corpus cannot be read or is empty, or a property does not hold; the file is named before.
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
