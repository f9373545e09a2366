//! How many packets and bytes have gone one way of a flow? In one word, so that a hit adds to both at once;
//! what that has no room for moves to the flow's cold part.

use zerocopy::FromZeros;

/// Packets in the low half, bytes in the high one. It is full when the highest bit is set: by then there are
/// no more packets than bytes.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(transparent)]
pub(super) struct Counted(u64);

/// What is carried over is so many bits higher than what is counted.
pub(super) const CARRIED: u32 = 30;

impl Counted {
    /// Counts packets of so many bytes in all; whether it is full now and is to be
    /// [carried over](Self::carry_over).
    #[inline(always)]
    pub(super) const fn add(&mut self, packets: usize, bytes: u32) -> bool {
        self.0 += (bytes as u64) << 32 | packets as u64;
        self.0 >> 63 != 0
    }

    /// Packets and bytes.
    #[expect(clippy::cast_possible_truncation, reason = "these are the halves")]
    pub(super) const fn halves(self) -> [u32; 2] {
        [self.0 as u32, (self.0 >> 32) as u32]
    }

    /// Takes out packets and bytes, in units of 2^30.
    pub(super) const fn carry_over(&mut self) -> [u32; 2] {
        const LOW: u32 = (1 << CARRIED) - 1;
        let [packets, bytes] = self.halves();
        self.0 = ((bytes & LOW) as u64) << 32 | (packets & LOW) as u64;
        [packets >> CARRIED, bytes >> CARRIED]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_one_is_carried_over_and_nothing_is_lost() {
        let (mut counted, mut sums, mut carried) = (Counted(0), [0; 2], [0_u64; 2]);
        while carried[0] < 10 {
            // The most packets that so many bytes can be.
            sums = sums.map(|sum| sum + 65_535);
            if counted.add(65_535, 65_535) {
                let more = counted.carry_over().map(u64::from);
                carried = [carried[0] + more[0], carried[1] + more[1]];
            }
            let low = counted.halves().map(u64::from);
            assert_eq!([0, 1].map(|at| (carried[at] << CARRIED) + low[at]), sums);
        }
    }
}
