//! Where large tables lie that are looked up at random.
//!
//! An array that is zero at first, takes memory when it is touched, and gives it back when told.
//! The kernel is asked for huge pages (`madvise(2)`, `MADV_HUGEPAGE`): with a million flows each
//! look-up in pages of 4 KiB also misses the processor's table of pages, which costs more than the
//! look-up itself.

#![expect(unsafe_code, reason = "mapping memory has no safe wrapper")]

use std::ffi::c_void;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use zerocopy::FromZeros;

/// An array of `T` in pages of its own.
#[derive(Debug)]
pub struct Pages<T> {
    first: NonNull<T>,
    len: usize,
}

/// What is released at once, in bytes: a huge page.
pub const HUGE: usize = 2 << 20;

impl<T: FromZeros> Pages<T> {
    /// `len` zeros. No memory is taken yet.
    ///
    /// # Panics
    ///
    /// When the process has no address space left for them.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        let bytes = size_of::<T>() * len.max(1);
        // JUSTIFICATION: an allocator's memory comes in pages of 4 KiB and cannot be given back in
        // parts; with huge pages a hit among a million flows takes half the time (bench
        // `nat44-*-s1032192`).
        // SAFETY: a new private mapping, at an address that the kernel chooses, aliases nothing.
        let mapped = unsafe {
            mmap_anonymous(std::ptr::null_mut(), bytes, protection, flags | MapFlags::NORESERVE)
        };
        let start = mapped.expect("a process has address space for its tables");
        // A wish: where there are no huge pages, small ones serve.
        // SAFETY: the advice concerns this mapping alone, and changes none of its bytes.
        let _ = unsafe { madvise(start, bytes, Advice::LinuxHugepage) };
        let first = NonNull::new(start.cast()).expect("a mapping does not begin at zero");
        Self { first, len }
    }

    /// Makes these elements zero, and gives back the memory of the huge pages that lie among them. An
    /// element's size is a power of two.
    pub fn release(&mut self, range: Range<usize>) {
        const { assert!(size_of::<T>().is_power_of_two(), "huge pages hold whole elements") };
        let elements = &mut self[range];
        let bytes = elements.as_mut_ptr_range();
        let start = bytes.start.addr().next_multiple_of(HUGE);
        let end = bytes.end.addr() / HUGE * HUGE;
        if start >= end {
            return elements.zero();
        }
        // Whole elements: their size divides that of a page.
        let (head, tail) = (start - bytes.start.addr(), end - bytes.start.addr());
        let (kept, rest) = elements.split_at_mut(head / size_of::<T>());
        let (inner, after) = rest.split_at_mut((tail - head) / size_of::<T>());
        kept.zero();
        after.zero();
        // JUSTIFICATION: memory of flows that are gone would be kept for ever.
        // SAFETY: the elements of `inner` are exclusively borrowed and lie in this private mapping,
        // which reads as zero afterwards: any `T` that `FromZeros` allows.
        let given = unsafe {
            madvise(inner.as_mut_ptr().cast(), size_of_val(inner), Advice::LinuxDontNeed)
        };
        if given.is_err() {
            inner.zero();
        }
    }
}

impl<T> Deref for Pages<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the mapping has `len` elements, initialised (to zero at first, as `FromZeros`
        // allows), and lives as long as this.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Pages<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above; and whoever borrows this mutably borrows alone.
        unsafe { std::slice::from_raw_parts_mut(self.first.as_ptr(), self.len) }
    }
}

impl<T> Drop for Pages<T> {
    fn drop(&mut self) {
        let bytes = size_of::<T>() * self.len.max(1);
        // SAFETY: the whole of the mapping that `zeroed` made, to which nobody refers any more.
        // `T` is plain data, as `FromZeros` makes likely and `zeroed` alone constructs.
        let _ = unsafe { munmap(self.first.as_ptr().cast::<c_void>(), bytes) };
    }
}

// SAFETY: it owns its elements, as a `Box<[T]>` does.
unsafe impl<T: Send> Send for Pages<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Pages<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_zero_and_keeps_what_is_put_there() {
        let mut pages = Pages::<u64>::zeroed(1 << 20);
        assert_eq!(pages.len(), 1 << 20);
        assert!(pages.iter().all(|&word| word == 0));
        pages[77] = 5;
        pages[(1 << 20) - 1] = 6;
        assert_eq!((pages[77], pages[(1 << 20) - 1]), (5, 6));
    }

    #[test]
    fn gives_back_what_is_released_and_only_that() {
        let mut pages = Pages::<[u64; 4]>::zeroed(1 << 19);
        for (at, element) in (0..).zip(pages.iter_mut()) {
            *element = [at; 4];
        }
        let before = resident(&pages);
        let released = 1000..400_000;
        pages.release(released.clone());
        let given = before - resident(&pages);
        assert!(given > 399_000 * 32 - 2 * HUGE, "{given} of {before} bytes");
        for (at, element) in pages.iter().enumerate() {
            let expected = if released.contains(&at) { 0 } else { at as u64 };
            assert_eq!(*element, [expected; 4]);
        }
    }

    /// Bytes of memory that the mapping has, of what is called so in proc_pid_smaps(5).
    fn resident<T>(pages: &Pages<T>) -> usize {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let range = pages.as_ptr_range();
        let mut is_here = false;
        let mut bytes = 0;
        for line in maps.lines() {
            let mut words = line.split_ascii_whitespace();
            let first = words.next().unwrap();
            if let Some((start, end)) = first.split_once('-') {
                let [start, end] = [start, end].map(|it| usize::from_str_radix(it, 16).unwrap());
                is_here = start < range.end.addr() && end > range.start.addr();
            } else if is_here && first == "Rss:" {
                bytes += words.next().unwrap().parse::<usize>().unwrap() * 1024;
            }
        }
        bytes
    }

    #[test]
    fn an_empty_one_is_an_empty_slice() {
        assert!(Pages::<u32>::zeroed(0).is_empty());
    }
}
