//! The least that a translator must do for a packet: nothing is judged, checked or timed.
//!
//! Read the headers, hash the 5-tuple, find one flow entry of a cache line in an open-addressed
//! table at load 0.5 by batches of 32 with prefetch, rewrite address, port, time to live and two
//! checksums incrementally, count.

use crate::traffic::{BATCH, Bytes, LENGTH, Packets};

const PREFETCHED: usize = 32;

#[derive(Clone, Copy, Default)]
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
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Key(u64, u64);

pub struct Floor {
    table: Vec<Entry>,
    slots: [Bytes; BATCH],
    turns: u64,
}

impl Floor {
    pub fn new(packets: &Packets) -> Self {
        let flows = packets.segments();
        let mut floor = Self {
            table: vec![Entry::default(); (flows.len() * 2).next_power_of_two()],
            slots: [[0; LENGTH]; BATCH],
            turns: 0,
        };
        for (number, packet) in (1024_u32..).zip(flows) {
            let key = key(packet);
            let mut at = floor.home(key);
            while floor.table[at].used {
                at = (at + 1) & (floor.table.len() - 1);
            }
            #[expect(clippy::cast_possible_truncation, reason = "any port is as good")]
            let port = (number as u16).to_be_bytes();
            let source = [198, 51, 100, 10];
            let words = |source: [u8; 4]| word(&source, 0) + word(&source, 2);
            let before: [u8; 4] = packet[12..16].try_into().unwrap();
            let address = words(source) + 2 * 0xffff - words(before);
            let ports = word(&port, 0) + 0xffff - word(packet, 20);
            floor.table[at] = Entry {
                key,
                used: true,
                port,
                source,
                header: fold(address + 0xffff - 0x100),
                segment: fold(address + ports),
                ..Entry::default()
            };
        }
        floor
    }

    #[inline(never)]
    pub fn turn(&mut self, packets: &[Bytes]) {
        for (slot, packet) in self.slots.iter_mut().zip(packets) {
            *slot = *packet;
        }
        let mask = self.table.len() - 1;
        for start in (0..packets.len()).step_by(PREFETCHED) {
            let slots = &mut self.slots[start..start + PREFETCHED];
            let mut keys = [(Key::default(), 0); PREFETCHED];
            for (slot, found) in slots.iter().zip(&mut keys) {
                let key = key(slot);
                let home = hash(key) & mask;
                prefetch(&self.table[home]);
                *found = (key, home);
            }
            for (slot, (key, mut at)) in slots.iter_mut().zip(keys) {
                while self.table[at].key != key {
                    at = (at + 1) & mask;
                }
                rewrite(slot, &mut self.table[at]);
            }
        }
        self.turns += 1;
    }

    /// The floor is a floor only if it does its work.
    pub fn check(&self) {
        let counted: u64 = self.table.iter().map(|entry| entry.packets).sum();
        assert_eq!(counted, self.turns * BATCH as u64);
        if self.turns == 0 {
            return;
        }
        crate::datagram::Datagram::read(&self.slots[0]);
    }

    fn home(&self, key: Key) -> usize {
        hash(key) & (self.table.len() - 1)
    }
}

fn key(packet: &Bytes) -> Key {
    let addresses = u64::from_le_bytes(packet[12..20].try_into().unwrap());
    let ports = u32::from_le_bytes(packet[20..24].try_into().unwrap());
    Key(addresses, u64::from(ports) << 8 | u64::from(packet[9]))
}

#[expect(clippy::cast_possible_truncation, reason = "both halves of the product are used")]
fn hash(Key(addresses, ports): Key) -> usize {
    let product =
        u128::from(addresses ^ 0x9e37_79b9_7f4a_7c15) * u128::from(ports ^ 0xd1b5_4a32_d192_ed03);
    (product as u64 ^ (product >> 64) as u64) as usize
}

fn rewrite(packet: &mut Bytes, entry: &mut Entry) {
    packet[12..16].copy_from_slice(&entry.source);
    packet[20..22].copy_from_slice(&entry.port);
    packet[8] -= 1;
    update(packet, 10, entry.header);
    update(packet, 36, entry.segment);
    entry.packets += 1;
    entry.bytes += LENGTH as u64;
}

fn update(packet: &mut Bytes, at: usize, delta: u16) {
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
