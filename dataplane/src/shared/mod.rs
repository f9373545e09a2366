//! The little that workers share, touched when a flow opens or closes and never in between.

mod allowances;
pub mod bindings;
mod by_eni;
mod claims;
pub mod connections;
pub mod directory;
mod lessee;
pub mod ports;
pub mod tracking;
mod uses;

use std::sync::Arc;

pub use allowances::Allowances;
pub use bindings::{Binding, Bindings};
pub use connections::{Active, Connections};
pub use directory::{Directory, WorkerId};
pub(crate) use lessee::Lessee;
pub(crate) use ports::{Destination, Standing};
pub use ports::{Lease, Lender, PortPools, PortRange, Remote};
pub use tracking::{Entry, Tracked};
pub use uses::{Presence, Reclaim, Uses};

/// So many workers [`Default`] has room for.
const MANY: usize = 16;

/// What all shards of one instance share.
#[derive(Debug, Default)]
pub struct Shared {
    /// Ports of every NAT address.
    pub ports: Arc<PortPools>,
    /// Bindings of translators.
    pub bindings: Bindings,
    /// Connections that each ENI tracks.
    pub tracked: Tracked,
    /// What each ENI has sent to the services at its link within this second.
    pub allowances: Allowances,
    /// When Hyperplane ENIs were last used.
    pub uses: Uses,
    /// Active connections at each NAT gateway.
    pub connections: Arc<Connections>,
    /// Which worker owns a flow.
    pub directory: Directory,
}

impl Shared {
    /// What so many workers share, of which each has no more than so many flows; [`Default`] is for any number.
    #[must_use]
    pub fn for_workers(count: usize, flows: usize) -> Self {
        Self {
            directory: Directory::for_workers(count, flows),
            ports: Arc::default(),
            bindings: Bindings::default(),
            tracked: Tracked::for_workers(count),
            allowances: Allowances::default(),
            uses: Uses::default(),
            connections: Arc::default(),
        }
    }
}
