//! The prefetches: they tell the processor which lines will be read or written soon. They have no effect but on time.

#![expect(unsafe_code, reason = "prefetch instructions have no safe wrapper in std")]

/// Bytes of a cache line.
const LINE: usize = 64;

/// Brings the cache lines of `value` closer, of which there are a few at most.
#[inline]
pub(crate) fn read<T>(value: &T) {
    each_line(value, line);
}

/// The same of what will be written: another processor that has written there gives it away now, instead of when it is
/// written.
#[inline]
pub(crate) fn own<T>(value: &T) {
    each_line(value, own_line);
}

#[inline]
fn each_line<T>(value: &T, prefetch: impl Fn(usize)) {
    const { assert!(size_of::<T>() <= 2 * LINE, "two lines at most, wherever it begins three") };
    let first = std::ptr::from_ref(value).addr();
    (0..size_of::<T>()).step_by(LINE).for_each(|at| prefetch(first + at));
    // What does not begin with a line may reach into one more.
    if align_of::<T>() < LINE && size_of::<T>() > align_of::<T>() {
        prefetch(first + size_of::<T>() - 1);
    }
}

/// Brings the cache line at an address closer, whether or not anything is there any more.
#[inline]
pub(crate) fn line(address: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // JUSTIFICATION: with a million flows each look-up misses the cache twice; overlapping the
        // misses of a batch is most of the difference to one packet at a time (bench `path/hit/1Mi`).
        // SAFETY: a prefetch does not fault whatever the address, and SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance(address)) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// The same of a line that will be written.
#[inline]
pub(crate) fn own_line(address: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        // JUSTIFICATION: two workers that open flows at once take 0.8 of the time that they take without. The
        // intrinsic, `_mm_prefetch` with `_MM_HINT_ET0`, is compiled to `prefetcht0` unless built with the target
        // feature `prfchw`.
        // SAFETY: it does not fault whatever the address, and processors of x86-64 that do not have it take it for a
        // no-operation (Intel SDM vol. 2 and AMD APM vol. 3, "PREFETCHW").
        unsafe {
            std::arch::asm!("prefetchw [{}]", in(reg) address, options(nostack, nomem, preserves_flags));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    fn are_brought_whole<T>(values: &[T]) {
        for value in values {
            let told = RefCell::new(BTreeSet::new());
            each_line(value, |address| _ = told.borrow_mut().insert(address / LINE));
            let first = std::ptr::from_ref(value).addr();
            let last = first + size_of::<T>() - 1;
            assert_eq!(told.into_inner(), (first / LINE..=last / LINE).collect());
        }
    }

    #[test]
    fn all_lines_of_a_value_are_brought_and_no_others() {
        #[repr(align(64))]
        #[expect(dead_code, reason = "only where it lies counts")]
        struct Line([u8; LINE]);
        are_brought_whole(&[0_u8; 130]);
        are_brought_whole(&[[0_u16; 3]; 65]);
        are_brought_whole(&[[0_u64; 2]; 16]);
        are_brought_whole(&[[0_u64; 11]; 16]);
        are_brought_whole(&[[0_u32; 32]; 3]);
        are_brought_whole(&[Line([0; LINE]), Line([0; LINE])]);
    }
}
