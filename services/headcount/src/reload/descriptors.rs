//! Descriptors that outlive the program: the only module that takes one over by its number.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// Names the descriptor of the memory file to the new program. Not an option: `options` does not know it.
pub(super) const VARIABLE: &str = "HEADCOUNT_HANDOVER";
/// Standard input, output and error are never handed over.
const FIRST: RawFd = 3;

/// Creates a file in memory.
///
/// # Errors
/// Fails if there is no memory or no descriptor.
pub(super) fn memory_file() -> io::Result<File> {
    Ok(memfd_create(c"headcount-handover", MFdFlags::MFD_CLOEXEC)?.into())
}

/// Makes descriptors outlive `execve`, or not.
///
/// # Errors
/// Fails if one of them is not open.
pub(super) fn set_inherited<'a>(descriptors: impl Iterator<Item = BorrowedFd<'a>>, inherited: bool) -> io::Result<()> {
    let flags = if inherited { FdFlag::empty() } else { FdFlag::FD_CLOEXEC };
    for descriptor in descriptors {
        fcntl(descriptor, FcntlArg::F_SETFD(flags))?;
    }
    Ok(())
}

/// Takes the memory file over whose descriptor [`VARIABLE`] names. `None` if it names none that is open and was inherited.
pub(super) fn inherited_file() -> Option<OwnedFd> {
    take(number_in(&std::env::var_os(VARIABLE)?)?)
}

fn number_in(value: &OsStr) -> Option<RawFd> {
    value.to_str()?.parse().ok()
}

/// Takes a descriptor over by its number. `None` if it is not open, or if this program has opened it itself: everything that
/// it opens is closed by `execve`.
pub(super) fn take(number: RawFd) -> Option<OwnedFd> {
    if number < FIRST {
        return None;
    }
    #[expect(unsafe_code, reason = "a descriptor left by another program is known by its number only")]
    // SAFETY: it is only asked for its flags, which fails for a number that is not open.
    let flags = fcntl(unsafe { BorrowedFd::borrow_raw(number) }, FcntlArg::F_GETFD).ok()?;
    if FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC) {
        return None;
    }
    #[expect(unsafe_code, reason = "a descriptor left by another program is known by its number only")]
    // SAFETY: it is open, and without FD_CLOEXEC: nothing in this program owns it, because every descriptor that Rust's
    // libraries open has the flag. It is set now, so that no second call takes the same descriptor.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
    Some(descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsFd, AsRawFd};

    #[test]
    fn only_an_inherited_descriptor_is_taken_over_and_only_once() {
        let file = memory_file().expect("a memory file");
        let number = file.as_raw_fd();
        assert!(take(number).is_none(), "this program has opened it");
        set_inherited([file.as_fd()].into_iter(), true).expect("an open file");
        std::mem::forget(file);
        let taken = take(number).expect("it was left open");
        assert!(take(number).is_none(), "it is taken");
        drop(taken);
        assert!(take(number).is_none(), "it is closed");
        assert!(take(1).is_none(), "standard output");
    }
}
