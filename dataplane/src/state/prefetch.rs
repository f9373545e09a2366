//! The one prefetch: tells the processor that a line will be read soon.

#![expect(unsafe_code, reason = "a prefetch instruction has no safe wrapper in std")]

/// Brings the cache lines of `value` closer, of which there are two at most. Has no effect but on time.
#[inline]
pub(crate) fn read<T>(value: &T) {
    const { assert!(size_of::<T>() <= 128, "as many lines as are told") };
    let first = std::ptr::from_ref(value).addr();
    line(first);
    if size_of::<T>() > 64 || align_of::<T>() < 64 && size_of::<T>() > 8 {
        line(first + size_of::<T>() - 1);
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
