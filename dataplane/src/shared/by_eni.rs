//! One thing for each ENI, found without a lock by any worker.

use std::sync::OnceLock;

use crate::packet::EniId;
use crate::state::prefetch;

/// A thing of each ENI that was ever asked for one.
#[derive(Debug)]
pub(super) struct ByEni<T> {
    /// By the high and the low byte of an [`EniId`].
    rows: Box<[OnceLock<Box<Row<T>>>; 256]>,
}

type Row<T> = [OnceLock<T>; 256];

impl<T: Default> ByEni<T> {
    /// That of `eni`, made if it has none yet.
    pub(super) fn of(&self, eni: EniId) -> &T {
        let [high, low] = eni.0.to_be_bytes().map(usize::from);
        let row = self.rows[high].get_or_init(|| Box::new([const { OnceLock::new() }; 256]));
        row[low].get_or_init(T::default)
    }
}

impl<T> ByEni<T> {
    /// That of `eni`, if it has one.
    pub(super) fn get(&self, eni: EniId) -> Option<&T> {
        let [high, low] = eni.0.to_be_bytes().map(usize::from);
        self.rows[high].get()?[low].get()
    }

    /// Brings what [`get`](Self::get) reads into cache.
    pub(super) fn prefetch(&self, eni: EniId) {
        let [high, low] = eni.0.to_be_bytes().map(usize::from);
        if let Some(row) = self.rows[high].get() {
            prefetch::read(&row[low]);
        }
    }

    /// Each that there is.
    pub(super) fn iter(&self) -> impl Iterator<Item = (EniId, &T)> {
        let rows =
            (0..=u8::MAX).zip(&*self.rows).filter_map(|(high, row)| Some((high, row.get()?)));
        rows.flat_map(|(high, row)| {
            let things = (0..=u8::MAX).zip(&**row);
            things.filter_map(move |(low, thing)| {
                Some((EniId(u16::from_be_bytes([high, low])), thing.get()?))
            })
        })
    }
}

impl<T> Default for ByEni<T> {
    fn default() -> Self {
        Self { rows: Box::new([const { OnceLock::new() }; 256]) }
    }
}
