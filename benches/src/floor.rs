//! The least that a translator must do for a packet: nothing is judged, checked or timed.
//!
//! Read the headers, hash the 5-tuple, find one flow entry of a cache line in an open-addressed
//! table at load 0.5 by batches of 32 with prefetch, rewrite address, port, time to live and two
//! checksums incrementally, count.

#![expect(unsafe_code, reason = "a prefetch has no safe wrapper")]

use dataplane::wire::tcp::flags::ACK;

use crate::pages::{Pages, room};
use crate::profile::{Profile, Size};
use crate::ring::{self, Batch, LINE, Line};
use crate::{BATCH, Cheated, topology};

const PREFETCHED: usize = 32;

#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
struct Entry {
    key: Key,
    used: bool,
    port: [u8; 2],
    source: [u8; 4],
    /// What the rewrite adds to the header's sum, and to the segment's.
    header: u16,
    segment: u16,
    packets: u64,
    bytes: u64,
}

const _: () = assert!(size_of::<Entry>() == 64);

/// Addresses in one word; ports and protocol in another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Key(u64, u64);

/// The floor, with a flow for each session.
#[derive(Debug)]
pub struct Floor {
    table: Vec<Entry>,
    /// Slots of an odd number of lines: a power of two apart, all headers would fall into the same
    /// cache sets.
    slots: Vec<Line>,
    stride: usize,
    turns: u64,
}

impl Floor {
    /// With a flow for each session of `profile`, which is of IPv4.
    #[must_use]
    pub fn new(profile: &Profile, pages: Pages) -> Self {
        let entries = (profile.sessions() as usize * 2).next_power_of_two();
        let mut table = room(entries, pages);
        table.resize(entries, Entry::default());
        let mut floor = Self { table, slots: Vec::new(), stride: 0, turns: 0 };
        floor.make_room(profile.size);
        for number in 0..profile.sessions() {
            let (_, segment) = profile.segment(number, ACK);
            let mut packet = [0; LINE];
            segment.write(&mut packet[..usize::from(segment.bare_length())]);
            floor.open(number, &packet);
        }
        floor
    }

    /// The same in other pages.
    #[must_use]
    pub fn copied_to(&self, pages: Pages) -> Self {
        let mut table = room(self.table.len(), pages);
        table.extend_from_slice(&self.table);
        Self { table, slots: self.slots.clone(), ..*self }
    }

    /// Makes slots for packets of these lengths, no longer than they need.
    pub fn make_room(&mut self, size: Size) {
        self.stride = size.longest().div_ceil(LINE) | 1;
        self.slots = vec![Line([0; LINE]); BATCH * self.stride];
    }

    fn open(&mut self, number: u32, packet: &[u8; LINE]) {
        let key = key(packet);
        let mask = self.table.len() - 1;
        let mut at = hash(key) & mask;
        while self.table[at].used {
            at = (at + 1) & mask;
        }
        #[expect(clippy::cast_possible_truncation, reason = "any port is as good")]
        let port = (number as u16 | 1024).to_be_bytes();
        let source = topology::NAT_PUBLIC.octets();
        let words = |source: [u8; 4]| word(&source, 0) + word(&source, 2);
        let before = [packet[12], packet[13], packet[14], packet[15]];
        let address = words(source) + 2 * 0xffff - words(before);
        let ports = word(&port, 0) + 0xffff - word(packet, 20);
        self.table[at] = Entry {
            key,
            used: true,
            port,
            source,
            header: fold(address + 0xffff - 0x100),
            segment: fold(address + ports),
            ..Entry::default()
        };
    }

    /// One turn, over a whole batch of its sessions' packets.
    #[inline(never)]
    pub fn turn(&mut self, batch: Batch<'_>) {
        for (packet, slot) in batch.packets().zip(self.slots.chunks_exact_mut(self.stride)) {
            packet.copy_to(slot.iter_mut().map(|line| &mut line.0));
        }
        let mask = self.table.len() - 1;
        let mut lengths = batch.lengths();
        for slots in self.slots.chunks_exact_mut(PREFETCHED * self.stride) {
            let mut keys = [(Key::default(), 0); PREFETCHED];
            for (slot, found) in slots.chunks_exact(self.stride).zip(&mut keys) {
                let key = key(&slot[0].0);
                let home = hash(key) & mask;
                prefetch(&self.table[home]);
                *found = (key, home);
            }
            let slots = slots.chunks_exact_mut(self.stride);
            for ((slot, &(key, mut at)), length) in slots.zip(&keys).zip(&mut lengths) {
                while self.table[at].key != key {
                    at = (at + 1) & mask;
                }
                rewrite(&mut slot[0].0, &mut self.table[at], length);
            }
        }
        self.turns += 1;
    }

    /// Says whether it has done its work.
    ///
    /// # Errors
    ///
    /// What is not so.
    pub fn check(&self) -> Result<(), Cheated> {
        let counted: u64 = self.table.iter().map(|entry| entry.packets).sum();
        if counted != self.turns * BATCH as u64 {
            return Err(Cheated(format!("the floor has counted {counted} packets")));
        }
        if self.turns == 0 {
            return Ok(());
        }
        for slot in self.slots.chunks_exact(self.stride) {
            let segment = ring::read(slot);
            if segment.is_none_or(|segment| segment.src.0 != topology::NAT_PUBLIC) {
                return Err(Cheated(format!("the floor has made {segment:?}")));
            }
        }
        Ok(())
    }
}

fn key(packet: &[u8; LINE]) -> Key {
    let [_, _, _, _, _, _, _, _, _, protocol, _, _, addresses @ ..] = packet;
    let (addresses, rest) = addresses.split_first_chunk().expect("a line is longer");
    let (ports, _) = rest.split_first_chunk().expect("a line is longer");
    let ports = u64::from(u32::from_le_bytes(*ports));
    Key(u64::from_le_bytes(*addresses), ports << 8 | u64::from(*protocol))
}

#[expect(clippy::cast_possible_truncation, reason = "both halves of the product are used")]
fn hash(Key(addresses, ports): Key) -> usize {
    let product =
        u128::from(addresses ^ 0x9e37_79b9_7f4a_7c15) * u128::from(ports ^ 0xd1b5_4a32_d192_ed03);
    (product as u64 ^ (product >> 64) as u64) as usize
}

fn rewrite(packet: &mut [u8; LINE], entry: &mut Entry, length: u16) {
    packet[12..16].copy_from_slice(&entry.source);
    packet[20..22].copy_from_slice(&entry.port);
    packet[8] -= 1;
    update(packet, 10, entry.header);
    update(packet, 36, entry.segment);
    entry.packets += 1;
    entry.bytes += u64::from(length);
}

fn update(packet: &mut [u8; LINE], at: usize, delta: u16) {
    let sum = 0xffff - word(packet, at) + u32::from(delta);
    packet[at..at + 2].copy_from_slice(&(!fold(sum)).to_be_bytes());
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))
}

#[expect(clippy::cast_possible_truncation, reason = "two folds leave 16 bits")]
fn fold(sum: u32) -> u16 {
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + (sum & 0xffff)) as u16
}

/// As the path's own prefetch, which is not public.
fn prefetch(entry: &Entry) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // JUSTIFICATION: a floor without it would be none: at 1 Mi flows it would be misses alone.
        // SAFETY: a prefetch does not fault whatever the address, and SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(entry).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = entry;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ring;

    #[test]
    fn translates_what_it_is_given() {
        let mut floor = Floor::new(&Profile::NAT44[0], Pages::Small);
        for size in [Size::B64, Size::Imix] {
            let ring = Ring::of(&Profile { size, ..Profile::NAT44[0] });
            floor.make_room(size);
            for batch in ring.batches() {
                floor.turn(batch);
                floor.check().unwrap();
            }
        }
    }
}
