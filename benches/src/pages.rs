//! In pages of what size does memory lie, and has the machine got it?

#![expect(unsafe_code, reason = "advice to the kernel has no safe wrapper")]

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::thread;
use std::time::Duration;

use rustix::mm::{Advice, madvise};

use crate::contest::{nanoseconds, quantile};

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

/// Memory that the process has used and not given back yet. A virtual machine's host takes back what is free for seconds,
/// and to find it again can take twenty times as long as to clear it. So who is to be measured gets what was given back a
/// moment before.
#[derive(Debug)]
pub(crate) struct Store(Vec<Vec<[u8; 64]>>);

impl Store {
    /// What comes and goes together, in bytes: more than the allocator would keep to itself (mallopt(3),
    /// `M_MMAP_THRESHOLD`).
    const BLOCK: u64 = Self::LINES as u64 * 64;
    const LINES: usize = 1 << 20;

    /// No more than so many bytes, in whole blocks.
    pub(crate) fn of(bytes: u64) -> Self {
        let block = |_| {
            let mut memory = room(Self::LINES, Pages::Huge);
            memory.resize(Self::LINES, [1; 64]);
            memory
        };
        Self((0..bytes / Self::BLOCK).map(block).collect())
    }

    /// Gives back all but so many bytes.
    pub(crate) fn keep(&mut self, bytes: u64) {
        self.0.truncate(usize::try_from(bytes / Self::BLOCK).unwrap_or(usize::MAX));
    }
}

/// The processor time that it takes to write to a huge page that nobody wrote to for so long, in nanoseconds, where nine in
/// ten take no longer. A fraction of a microsecond, or what a virtual machine's host has to do before.
pub(crate) fn cold(idle: Duration) -> f64 {
    const LINES: usize = (2 << 20) / size_of::<[u8; 64]>();
    const HUGE_PAGES: usize = 32;
    let mut memory = room(HUGE_PAGES * LINES, Pages::Huge);
    memory.resize(HUGE_PAGES * LINES, [1_u8; 64]);
    thread::sleep(idle);
    let lines = memory.iter_mut().step_by(LINES);
    quantile(lines.map(|line| nanoseconds(|| *black_box(line) = [2; 64])), 0.9)
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
