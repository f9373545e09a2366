//! Where large tables lie that are looked up at random.
//!
//! Memory of the kernel's own, not the allocator's, which keeps what was freed wherever something
//! above it is still used (malloc(3)): what many flows took would seem taken for ever.
//!
//! An array that is zero at first takes memory when it is touched, and gives it back when told. The
//! kernel is asked for huge pages (`madvise(2)`, `MADV_HUGEPAGE`): with a million flows each look-up
//! in pages of 4 KiB also misses the processor's table of pages, which costs more than the look-up
//! itself. An array that is made element by element gives its memory back when it is dropped.

#![expect(unsafe_code, reason = "mapping memory has no safe wrapper")]

use std::ffi::c_void;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use zerocopy::FromZeros;

/// An array of `T` in pages of its own.
#[derive(Debug)]
pub struct Pages<T> {
    first: NonNull<T>,
    len: usize,
    /// Where they lie.
    _mapping: Mapping,
}

/// What is released at once, in bytes: a huge page.
pub const HUGE: usize = 2 << 20;

impl<T: FromZeros> Pages<T> {
    /// `len` zeros, the first of them at the start of a huge page. No memory is taken yet.
    ///
    /// # Panics
    ///
    /// When the process has no address space left for them.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let bytes = bytes::<T>(len);
        let mapping = Mapping::new(bytes + HUGE, MapFlags::NORESERVE);
        let start = mapping.start.addr().get();
        // SAFETY: the next huge page begins within the mapping, and `bytes` behind it do too.
        let first = unsafe { mapping.start.byte_add(start.next_multiple_of(HUGE) - start) };
        // JUSTIFICATION: with huge pages a hit among a million flows takes half the time (bench
        // `nat44-*-s1032192`). A wish: where there are none, small ones serve.
        // SAFETY: the advice concerns this mapping alone, and changes none of its bytes.
        let _ = unsafe { madvise(first.as_ptr(), bytes, Advice::LinuxHugepage) };
        Self { first: first.cast(), len, _mapping: mapping }
    }

    /// Takes the memory of the first `count` elements now, so that no packet waits for it: the kernel clears a
    /// huge page in the time of a hundred first packets.
    #[must_use]
    pub fn taken(self, count: usize) -> Self {
        let bytes = bytes::<T>(count.min(self.len));
        // JUSTIFICATION: a worker's first thousand flows took 2.5 times the time that later ones take. A wish: kernels
        // before Linux 5.14 do not know it, and memory is taken when it is touched.
        // SAFETY: the pages are of this mapping, and that they are there changes none of their bytes.
        let _ = unsafe { madvise(self.first.as_ptr().cast(), bytes, Advice::LinuxPopulateWrite) };
        self
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

/// A cache line of words that several threads read and write.
#[derive(Debug, Default, FromZeros)]
#[repr(C, align(64))]
pub struct SharedLine(pub [AtomicU64; 8]);

impl Pages<SharedLine> {
    /// Makes the lines of one huge page zero, the one that begins with line `first`, and gives its memory back.
    ///
    /// # Panics
    ///
    /// When it does not begin there, or is not all there.
    pub fn release_shared(&self, first: usize) {
        let lines = &self[first..first + HUGE / size_of::<SharedLine>()];
        assert!(lines.as_ptr().addr().is_multiple_of(HUGE), "a huge page is given back as a whole");
        // JUSTIFICATION: as for `release`.
        // SAFETY: the lines lie in this private mapping, and read as zero afterwards. They are atomics, so whoever
        // reads them meanwhile reads what they were or zeros.
        let given = unsafe {
            madvise(
                self.first.add(first).as_ptr().cast(),
                size_of_val(lines),
                Advice::LinuxDontNeed,
            )
        };
        if given.is_err() {
            let words = lines.iter().flat_map(|line| &line.0);
            words.for_each(|word| word.store(0, Ordering::Relaxed));
        }
    }
}

impl<T> Pages<T> {
    /// What `make` makes, `len` times.
    ///
    /// # Panics
    ///
    /// When the process has no address space left for them.
    #[must_use]
    pub fn made(len: usize, make: impl FnMut() -> T) -> Self {
        const { assert!(align_of::<T>() <= 4096, "a mapping begins with a page") };
        // All of it is touched at once: cheaper together than page by page.
        let mapping = Mapping::new(bytes::<T>(len), MapFlags::POPULATE);
        let mut pages = Self { first: mapping.start.cast(), len: 0, _mapping: mapping };
        for element in std::iter::repeat_with(make).take(len) {
            // SAFETY: the mapping has room for `len` elements, and this place is not yet of the slice.
            unsafe { pages.first.add(pages.len).write(element) };
            pages.len += 1;
        }
        pages
    }
}

/// What so many elements take.
fn bytes<T>(len: usize) -> usize {
    size_of::<T>().checked_mul(len).expect("a table fits into the address space")
}

/// Zeros in pages of their own, until dropped.
#[derive(Debug)]
struct Mapping {
    start: NonNull<c_void>,
    size: usize,
}

impl Mapping {
    fn new(bytes: usize, how: MapFlags) -> Self {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | how);
        let size = bytes.max(1);
        // JUSTIFICATION: an allocator's memory comes in pages of 4 KiB, and is not given back when it
        // could be (test `benches/tests/expiry.rs`).
        // SAFETY: a new private mapping, at an address that the kernel chooses, aliases nothing.
        let mapped = unsafe { mmap_anonymous(std::ptr::null_mut(), size, protection, flags) };
        let start = mapped.expect("a process has address space for its tables");
        Self { start: NonNull::new(start).expect("a mapping does not begin at zero"), size }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the whole of the mapping that `new` made, to which nobody refers any more.
        let _ = unsafe { munmap(self.start.as_ptr(), self.size) };
    }
}

impl<T> Deref for Pages<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the mapping has `len` elements, initialised (one by one, or to zero, as `FromZeros`
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
        let elements: *mut [T] = &raw mut **self;
        // SAFETY: initialised as said above; nobody refers to them any more, and nobody will.
        unsafe { elements.drop_in_place() };
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
    fn what_is_taken_is_there_before_it_is_touched() {
        let pages = Pages::<[u64; 8]>::zeroed(1 << 17);
        assert_eq!(resident(&pages), 0);
        let pages = pages.taken(1 << 15);
        assert!((HUGE..2 * HUGE).contains(&resident(&pages)), "{} bytes", resident(&pages));
        assert!(pages.iter().all(|words| words.iter().all(|&word| word == 0)));
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
    fn drops_what_was_made_and_gives_its_memory_back() {
        let shared = std::rc::Rc::new(());
        let pages = Pages::made(100_000, || Some(shared.clone()));
        assert_eq!((pages.len(), std::rc::Rc::strong_count(&shared)), (100_000, 100_001));
        assert!(resident(&pages) >= 800_000);
        drop(pages);
        assert_eq!(std::rc::Rc::strong_count(&shared), 1);
    }

    #[test]
    fn an_empty_one_is_an_empty_slice() {
        assert!(Pages::<u32>::zeroed(0).is_empty());
    }
}
