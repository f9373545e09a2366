//! How new tables reach the workers: swapped whole, loaded once a batch.

use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;

use crate::tables::Tables;

/// The tables in force.
#[derive(Clone, Debug)]
pub struct Published(Arc<ArcSwap<Tables>>);

impl Published {
    /// Publishes the first tables.
    #[must_use]
    pub fn new(tables: Tables) -> Self {
        tables.ready();
        Self(Arc::new(ArcSwap::from_pointee(tables)))
    }

    /// Replaces the tables. Workers see the new ones from their next batch on. Until then somebody is to keep the old
    /// ones: who lets go of tables last takes them down, and packets wait for a worker that does.
    pub fn replace(&self, tables: Tables) {
        tables.ready();
        self.0.store(Arc::new(tables));
    }

    /// The tables in force now.
    #[must_use]
    pub fn load(&self) -> Arc<Tables> {
        self.0.load_full()
    }

    /// A worker's view, whose loads cost one comparison while nothing changes.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader(Cache::new(self.0.clone()))
    }
}

/// One worker's cached view of the tables.
#[derive(Debug)]
pub struct Reader(Cache<Arc<ArcSwap<Tables>>, Arc<Tables>>);

impl Reader {
    /// The tables in force, for a whole batch.
    pub fn load(&mut self) -> &Arc<Tables> {
        self.0.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{LinkId, SubnetId};
    use crate::tables::{Column, Eni, GroupRules, Role};

    fn tables(epoch: u32) -> Tables {
        let rules = || Arc::new(GroupRules::new(Vec::new()));
        let eni = Eni {
            link: LinkId(0),
            subnet: SubnetId(0),
            addresses: [].into_iter().collect(),
            source_dest_check: true,
            groups: Vec::new(),
            egress: rules(),
            ingress: rules(),
            services: Arc::default(),
            role: Role::Interface,
        };
        Tables { epoch, enis: Column::by_id([(0, eni)]), ..Tables::default() }
    }

    #[test]
    fn rules_are_compiled_before_a_packet_meets_them() {
        let is_ready = |tables: &Tables| {
            let eni = tables.enis.at(0_usize);
            [eni.egress.is_ready(), eni.ingress.is_ready()]
        };
        assert_eq!(is_ready(&tables(1)), [false; 2], "who explains asks few of them");
        let published = Published::new(tables(1));
        assert_eq!(is_ready(&published.load()), [true; 2]);
        published.replace(tables(2));
        assert_eq!(is_ready(&published.load()), [true; 2]);
    }

    #[test]
    fn a_reader_lets_go_of_old_tables_when_it_loads_new_ones() {
        let published = Published::new(tables(1));
        let mut reader = published.reader();
        assert_eq!(reader.load().epoch, 1);
        let old = published.load();
        published.replace(tables(2));
        assert_eq!((old.epoch, Arc::strong_count(&old)), (1, 2));
        assert_eq!((reader.load().epoch, Arc::strong_count(&old)), (2, 1));
    }
}
