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
        Self(Arc::new(ArcSwap::from_pointee(tables)))
    }

    /// Replaces the tables. Workers see the new ones from their next batch on.
    pub fn replace(&self, tables: Tables) {
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
