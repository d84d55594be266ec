//! The allocator and its settings.
//!
//! Every viewer arrives as an HTTP request, whose buffers are freed once the engine has the socket. After thousands of
//! arrivals, glibc's heap is fragmented and keeps 0.7 to 2 KiB per viewer. jemalloc returns the pages to the system and
//! keeps 0.3 KiB.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// jemalloc's settings, which it reads from a variable of this name (its manual, "TUNING"):
///
/// - `dirty_decay_ms`, `muzzy_decay_ms`: unused pages return to the system within one second, not ten.
/// - `background_thread`: they do so on a quiet node too, where nothing is allocated. One thread is enough.
/// - `narenas`: four heaps can fragment, not four for each core.
/// - `tcache_max`: threads do not cache request buffers (8 KiB).
#[expect(unsafe_code, reason = "a symbol with a fixed name; it is a constant, and jemalloc only reads it")]
// SAFETY: nothing else defines this symbol: jemalloc's own is weak, so that a program can replace it. It is a pointer to
// a zero-terminated string, as jemalloc expects.
#[unsafe(export_name = "_rjem_malloc_conf")]
#[used]
static SETTINGS: &[u8; 111] =
    b"dirty_decay_ms:1000,muzzy_decay_ms:0,background_thread:true,max_background_threads:1,narenas:4,tcache_max:1024\0";
