//! An array that takes memory chunk by chunk, and gives chunks back that nobody uses.

use crate::io::pages::Pages;

/// So many elements come and go together.
pub(crate) const CHUNK: usize = 512;

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

    /// Puts an element at `at`, with its chunk if need be.
    pub(crate) fn set(&mut self, at: usize, element: T) {
        let chunk = at / CHUNK;
        if chunk >= self.chunks.len() {
            self.chunks.resize_with(chunk + 1, || None);
        }
        let spare = &mut self.spare;
        let made = self.chunks[chunk]
            .get_or_insert_with(|| spare.take().unwrap_or_else(|| Pages::made(CHUNK, T::default)));
        made[at % CHUNK] = element;
    }

    /// Gives back the chunk that `at` lies in: all of its elements are as they were made.
    pub(crate) fn release(&mut self, at: usize) {
        if let Some(chunk) = self.chunks.get_mut(at / CHUNK).and_then(Option::take) {
            self.spare = Some(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_put_there_until_its_chunk_is_released() {
        let mut chunks = Chunks::<u8>::new();
        assert!(chunks.get(0).is_none());
        chunks.set(CHUNK + 3, 7);
        assert_eq!((chunks.get(CHUNK + 3), chunks.get(CHUNK + 4)), (Some(&7), Some(&0)));
        assert!(chunks.get(3).is_none());
        *chunks.get_mut(CHUNK + 3).unwrap() = 0;
        chunks.release(CHUNK + 9);
        assert!(chunks.get(CHUNK + 3).is_none());
        chunks.set(3, 1);
        assert!(chunks.spare.is_none(), "what was given back is used again");
    }
}
