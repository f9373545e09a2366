//! Packets in memory, as a device leaves them: whole, one after the other, each from the start of a
//! cache line on. Whoever reads them, reads them in the same way.

use dataplane::wire::tcp::flags::{ACK, SYN};
use fastrand::Rng;

use crate::BATCH;
use crate::profile::{Order, Profile};
use crate::segment::Segment;

/// Bytes of a cache line, and the unit in which packets are copied.
pub const LINE: usize = 64;

/// A cache line of a packet.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Line(pub [u8; LINE]);

/// Packets in the order in which they come.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    lines: Vec<Line>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    line: u32,
    length: u16,
    link: u16,
}

/// A packet in the ring.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The link that it comes in by.
    pub link: u16,
    /// Its bytes.
    pub length: usize,
    lines: &'a [Line],
}

/// Lines of the longest packet, at most.
const MOST: usize = 24;

/// Packets that a ring has at least, so that none is met again at once.
const AT_LEAST: usize = 1 << 14;

impl Ring {
    /// Packets of a profile's sessions in its order, in whole batches.
    #[must_use]
    pub fn of(profile: &Profile) -> Self {
        Self::from(profile, 0)
    }

    /// The same of as many sessions, numbered from `first` on.
    #[must_use]
    pub fn from(profile: &Profile, first: u32) -> Self {
        let mut random = Rng::with_seed(u64::from(profile.sessions()));
        let length = AT_LEAST.max(profile.sessions() as usize).next_multiple_of(BATCH);
        let mut ring = Self::default();
        for number in order(profile, length, &mut random) {
            ring.push(profile.segment(first + number, ACK), draw(profile, &mut random));
        }
        ring
    }

    /// The first packets of these sessions.
    #[must_use]
    pub fn opening(profile: &Profile, sessions: &[u32]) -> Self {
        let mut ring = Self::default();
        ring.open(profile, sessions);
        ring
    }

    /// Adds the first packets of these sessions.
    pub fn open(&mut self, profile: &Profile, sessions: &[u32]) {
        for &number in sessions {
            self.push_bare(profile.segment(number, SYN));
        }
    }

    /// Adds a bare packet of each of these sessions, which are open.
    pub fn go_on(&mut self, profile: &Profile, sessions: &[u32]) {
        for &number in sessions {
            self.push_bare(profile.segment(number, ACK));
        }
    }

    /// Nine in ten are of a profile's sessions in its order, each tenth opens one of `others`, in
    /// whole batches.
    #[must_use]
    pub fn mixed(profile: &Profile, others: &[u32]) -> Self {
        let mut random = Rng::with_seed(u64::from(profile.sessions()));
        let length = (others.len() * 10 / BATCH * BATCH).max(BATCH);
        let mut others = others.iter();
        let mut ring = Self::default();
        for (place, number) in order(profile, length, &mut random).into_iter().enumerate() {
            let other = if place % 10 == 0 { others.next() } else { None };
            match other {
                Some(&other) => ring.push_bare(profile.segment(other, SYN)),
                None => ring.push(profile.segment(number, ACK), draw(profile, &mut random)),
            }
        }
        ring
    }

    /// Adds a packet without data.
    ///
    /// # Panics
    ///
    /// When the ring is longer than 256 GiB.
    pub fn push_bare(&mut self, (link, segment): (u16, Segment)) {
        self.push((link, segment), segment.bare_length());
    }

    /// Adds a packet of `length` bytes.
    ///
    /// # Panics
    ///
    /// When it is longer than 1536 bytes, or the ring longer than 256 GiB.
    pub fn push(&mut self, (link, segment): (u16, Segment), length: u16) {
        let line = u32::try_from(self.lines.len()).expect("a ring fits in memory");
        self.entries.push(Entry { line, length, link });
        let mut bytes = [[0; LINE]; MOST];
        segment.write(&mut bytes.as_flattened_mut()[..usize::from(length)]);
        let lines = usize::from(length).div_ceil(LINE);
        self.lines.extend(bytes[..lines].iter().copied().map(Line));
    }

    /// Forgets all packets.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.entries.clear();
    }

    /// Packets in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All packets, a batch at a time.
    pub fn batches(&self) -> impl Iterator<Item = Batch<'_>> {
        self.entries.chunks(BATCH).map(|entries| Batch { lines: &self.lines, entries })
    }

    /// The batch at `at`, which goes on to the next, and from the last to the first.
    #[must_use]
    #[inline]
    pub fn next_batch(&self, at: &mut usize) -> Batch<'_> {
        let entries = &self.entries[*at..*at + BATCH];
        *at += BATCH;
        if *at + BATCH > self.entries.len() {
            *at = 0;
        }
        Batch { lines: &self.lines, entries }
    }
}

/// Packets that are read together.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    lines: &'a [Line],
    entries: &'a [Entry],
}

impl<'a> Batch<'a> {
    /// How many there are.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The length of each of them, in bytes.
    #[inline]
    pub fn lengths(self) -> impl Iterator<Item = u16> {
        self.entries.iter().map(|entry| entry.length)
    }

    /// Each of them.
    #[inline]
    pub fn packets(self) -> impl Iterator<Item = Received<'a>> {
        self.entries.iter().map(move |&Entry { line, length, link }| {
            let (line, length) = (line as usize, usize::from(length));
            let lines = &self.lines[line..line + length.div_ceil(LINE)];
            Received { link, length, lines }
        })
    }
}

impl Received<'_> {
    /// Copies the packet to the start of a slot, by whole lines.
    #[inline]
    pub fn copy_to<'a>(&self, slot: impl IntoIterator<Item = &'a mut [u8; LINE]>) {
        let mut places = slot.into_iter();
        // The first by itself: of the shortest packets it is all.
        let (Some((line, lines)), Some(place)) = (self.lines.split_first(), places.next()) else {
            return;
        };
        *place = line.0;
        if lines.is_empty() {
            return;
        }
        for (place, line) in places.zip(lines) {
            *place = line.0;
        }
    }

    /// What it says.
    ///
    /// # Panics
    ///
    /// When it is none: what was written was changed.
    #[must_use]
    pub fn segment(&self) -> Segment {
        read(self.lines).expect("what is in a ring was written as a segment")
    }
}

/// The packet that begins in these lines; `None` where a checksum does not verify.
#[must_use]
pub fn read(lines: &[Line]) -> Option<Segment> {
    let bytes: Vec<[u8; LINE]> = lines.iter().map(|line| line.0).collect();
    Segment::read(bytes.as_flattened())
}

/// So many numbers of sessions.
fn order(profile: &Profile, length: usize, random: &mut Rng) -> Vec<u32> {
    let mut sessions: Vec<u32> = (0..profile.sessions()).collect();
    let mut order = Vec::with_capacity(length);
    match profile.order {
        Order::Uniform => {
            while order.len() < length {
                random.shuffle(&mut sessions);
                order.extend(sessions.iter().take(length - order.len()));
            }
        }
        Order::Zipf => {
            // Who is popular has nothing to do with its number.
            random.shuffle(&mut sessions);
            let mut total = 0.0;
            let until: Vec<f64> = (1..=profile.sessions())
                .map(|rank| {
                    total += 1.0 / f64::from(rank);
                    total
                })
                .collect();
            order.extend((0..length).map(|_| {
                let drawn = random.f64() * total;
                sessions[until.partition_point(|&until| until <= drawn).min(sessions.len() - 1)]
            }));
        }
    }
    order
}

/// The length of the next packet.
fn draw(profile: &Profile, random: &mut Rng) -> u16 {
    let lengths = profile.size.lengths();
    let mut drawn = random.u32(..lengths.iter().map(|(_, times)| times).sum::<u32>());
    for &(length, times) in lengths {
        if drawn < times {
            return length;
        }
        drawn -= times;
    }
    lengths[0].0
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::profile::Size;

    const SMALL: Profile = Profile::NAT44[1];

    fn read_all(ring: &Ring) -> Vec<(usize, Segment)> {
        let packets = ring.batches().flat_map(Batch::packets);
        packets.map(|packet| (packet.length, packet.segment())).collect()
    }

    fn counts(ring: &Ring) -> Vec<u32> {
        let mut counts: HashMap<_, u32> = HashMap::new();
        for (_, segment) in read_all(ring) {
            *counts.entry(segment.src).or_default() += 1;
        }
        let mut counts: Vec<u32> = counts.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        counts
    }

    #[test]
    fn uniform_is_each_once() {
        let ring = Ring::of(&SMALL);
        assert_eq!(counts(&ring), vec![1; SMALL.sessions() as usize]);
        let few = counts(&Ring::of(&Profile::NAT44[0]));
        assert_eq!(few.len(), 1008);
        assert!(few[0] - few[1007] <= 1, "{} and {}", few[0], few[1007]);
    }

    #[test]
    fn zipf_is_few_often() {
        let profile = Profile { order: Order::Zipf, ..SMALL };
        let ring = Ring::of(&profile);
        let counts = counts(&ring);
        // The first rank has 1/H of all, H = ln 64512 + 0.577 = 11.65; the tenth a tenth of that.
        let expected = ring.len() as f64 / 11.65;
        assert!((f64::from(counts[0]) / expected - 1.0).abs() < 0.1, "{} {expected}", counts[0]);
        assert!((f64::from(counts[9]) / expected * 10.0 - 1.0).abs() < 0.3, "{}", counts[9]);
    }

    #[test]
    fn imix_is_seven_to_four_to_one() {
        let ring = Ring::of(&Profile { size: Size::Imix, ..SMALL });
        let lengths: Vec<usize> = read_all(&ring).into_iter().map(|(length, _)| length).collect();
        for (length, times) in [(64, 7.0), (552, 4.0), (1500, 1.0)] {
            let share = lengths.iter().filter(|&&it| it == length).count() as f64;
            let expected = lengths.len() as f64 * times / 12.0;
            assert!((share / expected - 1.0).abs() < 0.05, "{length}: {share} of {expected}");
        }
    }

    #[test]
    fn one_in_ten_opens() {
        let others: Vec<u32> = (SMALL.sessions()..SMALL.sessions() + 6400).collect();
        let packets = read_all(&Ring::mixed(&SMALL, &others));
        let opening = packets.iter().filter(|(_, segment)| segment.flags == SYN).count();
        assert_eq!((packets.len(), opening), (64_000, 6400));
    }

    #[test]
    fn batches_go_round() {
        let ring = Ring::of(&Profile::NAT44[0]);
        let (mut at, mut seen) = (0, 0);
        while {
            seen += ring.next_batch(&mut at).len();
            at != 0
        } {}
        assert_eq!(seen, ring.len());
    }
}
