//! The allocator of the binary: mimalloc, with large blocks on large pages where the system has them.
//!
//! Knows nothing of who asks. Invariant: it returns what mimalloc returns; advice changes how memory is mapped, never what
//! is in it. With small pages each random look at a state of gigabytes misses the processor's table of pages as well as its
//! cache: measured by `cargo bench -p dstream --bench state`, large ones save about a fifth of an update.
#![expect(unsafe_code, reason = "an allocator is unsafe to write; each call hands on what its caller promised")]

use mimalloc::MiMalloc;
use std::alloc::{GlobalAlloc, Layout};

/// Blocks from here on are put on large pages: the least that can hold a whole one.
const LARGE_BLOCK_BYTES: usize = LARGE_PAGE_BYTES;
/// On the processors that this runs on.
const LARGE_PAGE_BYTES: usize = 2 << 20;

/// The allocator. A program of your own gets it with
/// `#[global_allocator] static MEMORY: dstream::Memory = dstream::Memory;`.
#[derive(Debug, Default)]
pub struct Memory;

// SAFETY: every method returns what `MiMalloc`, a `GlobalAlloc`, returns for the same arguments, and `advised` returns the
// block that it was given and neither reads nor writes what is in it.
unsafe impl GlobalAlloc for Memory {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the layout has a size, as the caller promised.
        advised(unsafe { MiMalloc.alloc(layout) }, layout.size())
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the layout has a size, as the caller promised.
        advised(unsafe { MiMalloc.alloc_zeroed(layout) }, layout.size())
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is one of `MiMalloc`'s with this layout, as the caller promised.
        unsafe { MiMalloc.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the block is one of `MiMalloc`'s with this layout and the new size is none that overflows, as the caller
        // promised.
        advised(unsafe { MiMalloc.realloc(block, layout, size) }, size)
    }
}

/// The block; the system knows now that it is to lie on large pages, if it is large.
#[inline]
fn advised(block: *mut u8, bytes: usize) -> *mut u8 {
    if bytes >= LARGE_BLOCK_BYTES && !block.is_null() {
        advise(block, bytes);
    }
    block
}

/// Whole large pages, from the one in which the block begins to the one in which it ends.
#[cold]
#[cfg(all(target_os = "linux", not(miri)))]
fn advise(block: *mut u8, bytes: usize) {
    let before = block.addr() % LARGE_PAGE_BYTES;
    let length = (before + bytes).next_multiple_of(LARGE_PAGE_BYTES);
    let start = block.with_addr(block.addr() - before);
    // A system without large pages, or with a hole before or behind the block, says so: the pages stay as they are.
    // SAFETY: this advice changes no byte of the range and no access to it, so it may reach to memory of others.
    let _ = unsafe { rustix::mm::madvise(start.cast(), length, rustix::mm::Advice::LinuxHugepage) };
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn advise(_: *mut u8, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static TESTED: Memory = Memory;

    /// Blocks of a size and alignment, each as its life goes: written, grown, read again.
    #[test]
    fn blocks_keep_what_is_in_them_when_they_grow_and_shrink_across_the_size_of_large_ones() {
        for bytes in [1, 4096, LARGE_BLOCK_BYTES - 1, LARGE_BLOCK_BYTES, 5 * LARGE_BLOCK_BYTES / 2] {
            let mut block = vec![7u8; bytes];
            block.resize(2 * bytes, 9);
            block.truncate(bytes);
            block.shrink_to_fit();
            assert!(block.iter().all(|byte| *byte == 7));
            assert!(vec![0u8; bytes].iter().all(|byte| *byte == 0));
        }
    }
}
