//! An array that takes memory chunk by chunk, and gives chunks back that nobody uses.

use crate::io::pages::Pages;

/// So many elements come and go together: half of what a turn may spend goes when the kernel takes 180 KiB back.
pub(crate) const CHUNK: usize = 2048;

/// An array of `T`, each [`Default`] until it is changed.
#[derive(Debug)]
pub(crate) struct Chunks<T> {
    chunks: Vec<Option<Pages<T>>>,
    /// The one that was given back last: what comes and goes around a boundary costs nothing.
    spare: Option<Pages<T>>,
}

impl<T: Default> Chunks<T> {
    /// An empty array.
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), spare: None }
    }

    /// The same, whose first chunk is there: nobody waits for it.
    pub(crate) fn begun() -> Self {
        let mut chunks = Self::new();
        chunks.make(0);
        chunks
    }

    /// The element at `at`, if its chunk is there.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.chunks.get(at / CHUNK)?.as_ref()?.get(at % CHUNK)
    }

    /// The same, to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.chunks.get_mut(at / CHUNK)?.as_mut()?.get_mut(at % CHUNK)
    }

    /// The element at `at`, to be changed; its chunk is made if need be.
    #[inline]
    pub(crate) fn entry(&mut self, at: usize) -> &mut T {
        let chunk = at / CHUNK;
        if self.chunks.get(chunk).is_none_or(Option::is_none) {
            self.make(chunk);
        }
        let made = self.chunks[chunk].as_mut().expect("a chunk that was missing is made");
        &mut made[at % CHUNK]
    }

    #[cold]
    fn make(&mut self, chunk: usize) {
        if chunk >= self.chunks.len() {
            self.chunks.resize_with(chunk + 1, || None);
        }
        let spare = self.spare.take();
        self.chunks[chunk] = Some(spare.unwrap_or_else(|| Pages::made(CHUNK, T::default)));
    }

    /// Gives back the chunk that `at` lies in, if there is one: all of its elements are as they were made.
    pub(crate) fn release(&mut self, at: usize) -> bool {
        let released = self.chunks.get_mut(at / CHUNK).and_then(Option::take);
        let is_there = released.is_some();
        self.spare = released.or(self.spare.take());
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_put_there_until_its_chunk_is_released() {
        let mut chunks = Chunks::<u8>::new();
        assert!(chunks.get(0).is_none());
        *chunks.entry(CHUNK + 3) = 7;
        assert_eq!((chunks.get(CHUNK + 3), chunks.get(CHUNK + 4)), (Some(&7), Some(&0)));
        assert!(chunks.get(3).is_none());
        *chunks.get_mut(CHUNK + 3).unwrap() = 0;
        assert!(chunks.release(CHUNK + 9) && !chunks.release(CHUNK + 9));
        assert!(chunks.get(CHUNK + 3).is_none());
        *chunks.entry(3) = 1;
        assert!(chunks.spare.is_none(), "what was given back is used again");
    }
}
