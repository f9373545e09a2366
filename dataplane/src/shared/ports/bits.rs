//! Which of all ports are in use, a bit each?

use crate::shared::ports::PortRange;

/// Ports in use.
#[derive(Debug)]
pub(super) struct Bits([u64; WORDS]);

const WORDS: usize = 65_536 / 64;

impl Bits {
    /// These ports, each once.
    pub(super) fn of(ports: &[u16]) -> Box<Self> {
        let mut bits = Box::new(Self([0; WORDS]));
        ports.iter().for_each(|&port| bits.set(port));
        bits
    }

    /// Adds a port that was not in use.
    pub(super) fn set(&mut self, port: u16) {
        self.0[usize::from(port / 64)] |= 1 << (port % 64);
    }

    /// Takes out a port that was in use.
    pub(super) fn clear(&mut self, port: u16) {
        self.0[usize::from(port / 64)] &= !(1 << (port % 64));
    }

    /// In order.
    pub(super) fn ports(&self) -> impl Iterator<Item = u16> {
        let words = (0..=u16::MAX).step_by(64).zip(&self.0).filter(|(_, word)| **word != 0);
        words.flat_map(|(first, &word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| first + bit)
        })
    }

    /// The first free port from `start` on and round, a word of 64 ports at a time.
    pub(super) fn first_free(&self, range: PortRange, start: u16) -> Option<u16> {
        let from = |first: u16, last: u16| {
            let mut taken = self.0[usize::from(first / 64)] | !(u64::MAX << (first % 64));
            let mut word = first / 64;
            while taken == u64::MAX && word < last / 64 {
                word += 1;
                taken = self.0[usize::from(word)];
            }
            let bit = u16::try_from(taken.trailing_ones()).ok().filter(|&bit| bit < 64)?;
            Some(word * 64 + bit).filter(|&port| port <= last)
        };
        from(start, range.last)
            .or_else(|| if start > range.first { from(range.first, start - 1) } else { None })
    }

    /// Where the bits begin.
    pub(super) fn address(&self) -> usize {
        self.0.as_ptr().addr()
    }

    /// Where the bit of a port lies that begin at `address`.
    pub(super) fn place(address: usize, port: u16) -> usize {
        address.wrapping_add(usize::from(port / 64) * size_of::<u64>())
    }
}
