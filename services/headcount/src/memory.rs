//! The allocator, and how it is set.
//!
//! Every viewer comes as an HTTP request whose buffers are as good as empty once the engine has the socket. After a rush of
//! thousands, glibc's heap is full of holes that are never given back: 0.7 to 2 KiB a viewer. jemalloc gives the
//! pages back, and 0.3 KiB remain.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// - `dirty_decay_ms`, `muzzy_decay_ms`: unused pages go back to the system within a second, not ten;
/// - `background_thread`: also where nothing is allocated any more, as on a quiet node; one is enough;
/// - `narenas`: the rush leaves its holes in four heaps, not in four for each core;
/// - `tcache_max`: request buffers (8 KiB) are not kept by each thread.
///
/// jemalloc looks for its settings in a variable of this name (its manual, "TUNING").
#[expect(unsafe_code, reason = "a symbol with a fixed name; it is a constant, and jemalloc only reads it")]
// SAFETY: nobody else defines a symbol of this name: jemalloc's own is weak, to be replaced by this. It is a pointer to a
// text that ends with a zero byte, which is what jemalloc expects.
#[unsafe(export_name = "_rjem_malloc_conf")]
#[used]
static SETTINGS: &[u8; 111] =
    b"dirty_decay_ms:1000,muzzy_decay_ms:0,background_thread:true,max_background_threads:1,narenas:4,tcache_max:1024\0";
