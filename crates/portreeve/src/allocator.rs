//! mimalloc as the allocator of a gateway, asked for no alignment where what it gives anyway will do. The one place with `unsafe`.

#![expect(unsafe_code, reason = "an allocator is an unsafe trait, and mimalloc is a C library")]

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys as mi;

/// What every block of mimalloc of at least this size is aligned to, in bytes: `MI_MAX_ALIGN_SIZE`, as C demands of `malloc`
/// (C11 §7.22.3). Smaller blocks are aligned to a word of the machine.
const NATURAL: usize = 16;

/// mimalloc, for `#[global_allocator]`.
///
/// The crate `mimalloc` names the alignment in every call. For blocks of more than 1 KiB that are no power of two, mimalloc
/// then takes more than was asked for and aligns within it, although it would have been aligned: a gateway takes some twenty
/// such blocks for each request.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: portreeve::Allocator = portreeve::Allocator;
/// # fn main() {}
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Allocator;

/// Whether any block of `size` bytes is aligned enough.
const fn is_natural(size: usize, align: usize) -> bool {
    align <= NATURAL && align <= size
}

// SAFETY: every pointer comes from mimalloc, whose functions take and give back each other's pointers whatever alignment was
// asked for, return null when there is no memory, and do not unwind. `is_natural` holds only where every block of mimalloc is
// aligned to what the layout says (see `NATURAL`); elsewhere the alignment is asked for.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: neither has a precondition but that `align` is a power of two, which a `Layout` sees to.
        unsafe { if is_natural(size, align) { mi::mi_malloc(size) } else { mi::mi_malloc_aligned(size, align) } }.cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: as in `alloc`.
        unsafe { if is_natural(size, align) { mi::mi_zalloc(size) } else { mi::mi_zalloc_aligned(size, align) } }.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller gives back a block of this allocator, which is one of mimalloc.
        unsafe { mi::mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (block, align) = (block.cast(), layout.align());
        // SAFETY: the block is one of mimalloc, as above. Where it stays in place its alignment is the one it had; where it
        // moves, the new one is aligned as in `alloc`.
        unsafe {
            if is_natural(size, align) {
                mi::mi_realloc(block, size)
            } else {
                mi::mi_realloc_aligned(block, size, align)
            }
        }
        .cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes around every power of two, and what lies between.
    fn sizes() -> impl Iterator<Item = usize> {
        (1..=130).chain((9..18).flat_map(|power| [(1 << power) - 8, 1 << power, (1 << power) + 8, 3 << (power - 1)]))
    }

    #[test]
    fn blocks_are_aligned_as_asked_and_keep_their_bytes_when_they_grow_and_shrink() {
        for align in (0..13).map(|power| 1 << power) {
            for size in sizes() {
                let layout = Layout::from_size_align(size, align).unwrap();
                for new in [size + 1, size * 2, size.div_ceil(2)] {
                    // SAFETY: no size is zero; each block is given back once, with the layout it has by then; what is
                    // read lies within it and has been written.
                    unsafe {
                        let block = Allocator.alloc(layout);
                        assert!(!block.is_null() && block.addr().is_multiple_of(align), "{size} aligned to {align}");
                        block.write_bytes(0x5a, size);
                        let block = Allocator.realloc(block, layout, new);
                        assert!(
                            !block.is_null() && block.addr().is_multiple_of(align),
                            "{size} to {new} aligned to {align}"
                        );
                        let kept = std::slice::from_raw_parts(block, size.min(new));
                        assert!(kept.iter().all(|byte| *byte == 0x5a), "{size} to {new} aligned to {align}");
                        Allocator.dealloc(block, Layout::from_size_align(new, align).unwrap());
                    }
                }
            }
        }
    }

    #[test]
    fn many_blocks_of_a_size_are_aligned_and_apart() {
        for (size, align) in [(1, 1), (8, 8), (16, 16), (24, 8), (40, 16), (1048, 8), (1072, 16), (5000, 16), (9, 16)] {
            let layout = Layout::from_size_align(size, align).unwrap();
            // SAFETY: no size is zero, and each block is given back once.
            unsafe {
                let mut blocks: Vec<_> = (0..500).map(|_| Allocator.alloc(layout)).collect();
                assert!(
                    blocks.iter().all(|block| !block.is_null() && block.addr().is_multiple_of(align)),
                    "{size}, {align}"
                );
                blocks.sort_unstable();
                assert!(blocks.windows(2).all(|two| matches!(two, [a, b] if b.addr() - a.addr() >= size)));
                for block in blocks {
                    Allocator.dealloc(block, layout);
                }
            }
        }
    }

    #[test]
    fn what_is_asked_for_zeroed_is_zero() {
        for (size, align) in [(1, 1), (64, 8), (1500, 16), (70_000, 16), (100, 64), (70_000, 4096)] {
            let layout = Layout::from_size_align(size, align).unwrap();
            for _ in 0..3 {
                // SAFETY: as above.
                unsafe {
                    let block = Allocator.alloc_zeroed(layout);
                    assert!(!block.is_null() && block.addr().is_multiple_of(align));
                    let bytes = std::slice::from_raw_parts_mut(block, size);
                    assert!(bytes.iter().all(|byte| *byte == 0), "{size}, {align}");
                    bytes.fill(1);
                    Allocator.dealloc(block, layout);
                }
            }
        }
    }
}
