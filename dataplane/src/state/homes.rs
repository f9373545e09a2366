//! Which bucket is home to a hash, in a table that grows and shrinks by one bucket at a time?
//!
//! Linear hashing (Litwin 1980): a home more takes some of the entries of one that there was before, and nobody
//! else's; a home less gives them back.

/// Which bucket is home to a hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Homes {
    count: usize,
    /// The bits of a hash that lead to a home, where that is one already.
    wide: usize,
    /// One bit less: they lead to a home in any case.
    narrow: usize,
}

/// Which bits of a hash lead to the last home, and how they are then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Last {
    mask: u32,
    bits: u32,
}

impl Last {
    /// Those bits of a hash.
    #[inline]
    pub(crate) const fn part(self, half: u32) -> u32 {
        half & self.mask
    }

    /// What they are of those that the last home is home to.
    #[inline]
    pub(crate) const fn bits(self) -> u32 {
        self.bits
    }

    /// Whether the last home is that of a hash.
    #[inline]
    pub(crate) const fn is_home_to(self, half: u32) -> bool {
        self.part(half) == self.bits
    }
}

impl Homes {
    /// So many, at least one.
    #[inline]
    pub(crate) const fn new(count: usize) -> Self {
        let narrow = (1 << count.ilog2()) - 1;
        Self { count, wide: 2 * narrow + 1, narrow }
    }

    /// How many there are.
    #[inline]
    pub(crate) const fn count(self) -> usize {
        self.count
    }

    /// Whose entries the next one takes some of.
    #[inline]
    pub(crate) const fn split(self) -> usize {
        self.count - self.narrow - 1
    }

    /// By one bit more of the hash where that is a home already.
    #[inline]
    pub(crate) const fn of(self, half: u32) -> usize {
        let (home, sooner) = (half as usize & self.wide, half as usize & self.narrow);
        if home < self.count { home } else { sooner }
    }

    /// What tells the hashes that the last one is home to.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "by 32 bits there are no more than 2^32 homes"
    )]
    pub(crate) const fn last(self) -> Last {
        Last { mask: (self.count.next_power_of_two() - 1) as u32, bits: (self.count - 1) as u32 }
    }

    /// One more.
    pub(crate) const fn more(self) -> Self {
        let count = self.count + 1;
        let (wide, narrow) = (2 * self.wide + 1, self.wide);
        if count > narrow { Self { count, wide, narrow } } else { Self { count, ..self } }
    }

    /// One less.
    pub(crate) const fn fewer(self) -> Self {
        let count = self.count - 1;
        let (wide, narrow) = (self.narrow, self.narrow / 2);
        if count > self.narrow { Self { count, ..self } } else { Self { count, wide, narrow } }
    }
}
