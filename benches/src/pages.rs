//! In pages of what size does memory lie, and has the machine had it before?

#![expect(unsafe_code, reason = "advice to the kernel has no safe wrapper")]

use std::mem::MaybeUninit;

use rustix::mm::{Advice, madvise};

/// What a table lies in. Huge ones spare look-ups of addresses, so who has them is to be
/// compared with who has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// The processor's smallest, whatever the machine is set to.
    Small,
    /// Huge ones, where the machine gives them.
    Huge,
}

/// Room for so many elements, in memory that the process has not used yet.
pub(crate) fn room<T>(count: usize, pages: Pages) -> Vec<T> {
    let mut table = Vec::with_capacity(count);
    advise(table.spare_capacity_mut(), pages);
    table
}

/// Uses so many bytes in pages of either size, and gives them back. A virtual machine's memory that nobody has used is
/// found by its host when somebody does, which can take twenty times as long as to clear it; who is measured
/// afterwards is likely to get what was found here.
pub(crate) fn touch(bytes: u64) {
    const LINE: usize = 64;
    for pages in [Pages::Huge, Pages::Small] {
        let lines = usize::try_from(bytes).map_or(0, |bytes| bytes / LINE);
        let mut memory = room(lines, pages);
        memory.resize(lines, [1_u8; LINE]);
        std::hint::black_box(&memory);
    }
}

/// A multiple of every size that Linux gives ordinary pages, in bytes.
const PAGE: usize = 64 << 10;

/// Asks for `pages` in memory that was not used yet. A machine that has no such pages says so, and
/// nothing else happens.
fn advise<T>(memory: &mut [MaybeUninit<T>], pages: Pages) {
    let all = memory.as_mut_ptr_range();
    let (from, to) = (all.start.cast::<u8>(), all.end.cast::<u8>());
    let from = from.wrapping_add(from.align_offset(PAGE));
    let length = to.addr().saturating_sub(from.addr()) / PAGE * PAGE;
    let advice = match pages {
        Pages::Small => Advice::LinuxNoHugepage,
        Pages::Huge => Advice::LinuxHugepage,
    };
    // JUSTIFICATION: at 4 Mi flows huge pages make the floor 1.2 times as fast; a floor without them is
    // none for whoever has them.
    // SAFETY: whole pages of memory that is borrowed here; this advice changes no byte of it.
    let _ = unsafe { madvise(from.cast(), length, advice) };
}
