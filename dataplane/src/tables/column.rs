//! Things by id, where some ids are nobody's any more.

use crate::state::prefetch;

/// The things of one kind. A name keeps its id for the instance's life, so there may be holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column<T>(Vec<Option<T>>);

impl<T> Column<T> {
    /// Each thing with its id; the last of equal ones holds.
    #[must_use]
    pub fn by_id(things: impl IntoIterator<Item = (usize, T)>) -> Self {
        let mut column = Self::default();
        for (at, thing) in things {
            if column.0.len() <= at {
                column.0.resize_with(at + 1, || None);
            }
            column.0[at] = Some(thing);
        }
        column
    }

    /// The thing that has the id, if one has.
    #[must_use]
    #[inline]
    pub fn get(&self, id: impl Into<usize>) -> Option<&T> {
        self.0.get(id.into())?.as_ref()
    }

    /// Brings the thing that has the id into cache.
    pub(crate) fn prefetch(&self, id: impl Into<usize>) {
        if let Some(thing) = self.0.get(id.into()) {
            prefetch::read(thing);
        }
    }

    /// All things, each with its id.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.0.iter().enumerate().filter_map(|(at, thing)| Some((at, thing.as_ref()?)))
    }

    /// The thing that has the id.
    ///
    /// # Panics
    ///
    /// When nothing has it.
    #[must_use]
    #[inline]
    pub fn at(&self, id: impl Into<usize>) -> &T {
        self.get(id).expect("what tables name, they have")
    }
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Things in the order of their ids, without holes.
impl<T> FromIterator<T> for Column<T> {
    fn from_iter<I: IntoIterator<Item = T>>(things: I) -> Self {
        Self(things.into_iter().map(Some).collect())
    }
}

/// Things in the order of their ids, without holes.
impl<T> From<Vec<T>> for Column<T> {
    fn from(things: Vec<T>) -> Self {
        things.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_what_it_was_given_and_holes_between() {
        let column = Column::by_id([(2, 'c'), (0, 'a')]);
        assert_eq!(column.get(0_usize), Some(&'a'));
        assert_eq!(column.get(1_usize), None);
        assert_eq!(column.at(2_usize), &'c');
        assert_eq!(column.get(3_usize), None);
        assert!(column.iter().eq([(0, &'a'), (2, &'c')]));
    }
}
