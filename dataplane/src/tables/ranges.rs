//! A map from disjoint ranges to values, looked up by binary search.

/// Values of ranges that cover everything: entry *i* holds from its key up to the next entry's.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RangeMap<K, V> {
    starts: Vec<K>,
    values: Vec<V>,
}

impl<K: Ord + Copy, V: PartialEq> RangeMap<K, V> {
    /// A map that gives each of `starts` (sorted, the first the least key there is) the value that
    /// `value` works out for it; neighbours of equal value are joined.
    pub(crate) fn build(
        starts: impl IntoIterator<Item = K>,
        mut value: impl FnMut(K) -> V,
    ) -> Self {
        let mut map = Self { starts: Vec::new(), values: Vec::new() };
        for start in starts {
            let value = value(start);
            if map.values.last() != Some(&value) {
                map.starts.push(start);
                map.values.push(value);
            }
        }
        map
    }

    /// The value that holds at `key`; `None` below the first range.
    pub(crate) fn at(&self, key: K) -> Option<&V> {
        let after = self.starts.partition_point(|&start| start <= key);
        self.values.get(after.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_range_that_holds() {
        let map = RangeMap::build([0, 10, 20, 30], |start: u16| start / 20);
        assert_eq!(map.starts, [0, 20], "equal neighbours are joined");
        assert_eq!(map.at(19), Some(&0));
        assert_eq!(map.at(20), Some(&1));
        assert_eq!(map.at(u16::MAX), Some(&1));
        assert_eq!(RangeMap::<u16, u16>::build([], |start| start).at(5), None);
    }
}
