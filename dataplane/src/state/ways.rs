//! Which places of a bucket hold a word? All are compared at once.

use zerocopy::FromZeros;

/// Places of a bucket.
pub(super) const WAYS: usize = 8;

/// A word for each place.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C, align(32))]
pub(super) struct Words(pub(super) [u32; WAYS]);

/// Some of the places of a bucket. Two bits for each, the lowest for the first: so SSE2 gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ways(u32);

impl Words {
    /// The places that hold `word`.
    #[inline(always)]
    #[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "SSE2 has no safe wrapper"))]
    pub(super) fn equal_to(&self, word: u32) -> Ways {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{
                _mm_cmpeq_epi32, _mm_movemask_epi8, _mm_packs_epi32, _mm_set1_epi32, _mm_setr_epi32,
            };
            let [a, b, c, d, e, f, g, h] = self.0.map(u32::cast_signed);
            // JUSTIFICATION: a hit takes 7 of 235 instructions more by the loop below, whose speed depends on what compilers
            // make of it: with a bit instead of two for each place they compare one by one, 1.18 times the time of a hit.
            // SAFETY: SSE2 is part of x86-64.
            let same = unsafe {
                let word = _mm_set1_epi32(word.cast_signed());
                let low = _mm_cmpeq_epi32(_mm_setr_epi32(a, b, c, d), word);
                let high = _mm_cmpeq_epi32(_mm_setr_epi32(e, f, g, h), word);
                _mm_movemask_epi8(_mm_packs_epi32(low, high))
            };
            Ways(same.cast_unsigned())
        }
        #[cfg(not(target_arch = "x86_64"))]
        Ways::all(|way| self.0[way] == word)
    }
}

impl Ways {
    /// Of all places those that fulfil a condition.
    #[cfg(any(test, not(target_arch = "x86_64")))]
    fn all(mut fulfils: impl FnMut(usize) -> bool) -> Self {
        Self((0..WAYS).fold(0, |ways, way| ways | (u32::from(fulfils(way)) * 3) << (2 * way)))
    }

    #[inline]
    pub(super) const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The first of them; [`WAYS`] or more if there is none.
    #[inline(always)]
    pub(super) const fn first(self) -> usize {
        self.0.trailing_zeros() as usize / 2
    }

    /// Those that are none of the others.
    #[inline]
    pub(super) const fn except(self, Self(others): Self) -> Self {
        Self(self.0 & !others)
    }

    const fn without(self, way: usize) -> Self {
        self.except(Self(3 << (2 * way)))
    }
}

impl Iterator for Ways {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let first = Some(self.first()).filter(|&way| way < WAYS)?;
        *self = self.without(first);
        Some(first)
    }
}

impl DoubleEndedIterator for Ways {
    #[inline]
    fn next_back(&mut self) -> Option<usize> {
        let last = self.0.checked_ilog2()? as usize / 2;
        *self = self.without(last);
        Some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_are_found_where_they_are(words: [u8; WAYS], word in 0_u32..4) {
            // The lowest bits, or the highest.
            for shift in [0, 30] {
                let words = Words(words.map(|it| u32::from(it % 4) << shift));
                let word = word << shift;
                let places: Vec<usize> = (0..WAYS).filter(|&way| words.0[way] == word).collect();
                let ways = words.equal_to(word);
                prop_assert_eq!(ways, Ways::all(|way| words.0[way] == word));
                prop_assert_eq!(ways.is_none(), places.is_empty());
                prop_assert_eq!(ways.first() < WAYS, !places.is_empty());
                prop_assert!(ways.eq(places.iter().copied()));
                prop_assert!(ways.rev().eq(places.iter().rev().copied()));
                prop_assert!(places.is_empty() || places[0] == ways.first());
                let others = Ways::all(|way| words.0[way] != word);
                prop_assert_eq!(Ways::all(|_| true).except(ways), others);
            }
        }
    }
}
