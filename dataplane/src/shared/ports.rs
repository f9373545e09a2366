//! The ports of NAT addresses: one exact pool for each address, remote and protocol.
//!
//! AWS "NAT gateway basics": up to 55,000 simultaneous connections to each unique destination
//! (destination address, port and protocol), from ports 1024-65535. A port is held by a [`Lease`],
//! which cannot be copied and gives the port back when it is dropped, so leases and ports in use
//! are always the same number. Choosing is O(1) at any load: a random place among the ports in use,
//! and from there the next free one.

mod bits;
mod pool;

use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::packet::{Addr, EniId, NatGatewayId};
use crate::wire::protocol;
pub(super) use pool::Access;
use pool::Pool;

/// A device that lends ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lender {
    /// A NAT gateway.
    NatGateway(NatGatewayId),
    /// A Hyperplane ENI.
    Hyperplane(EniId),
    /// Interface endpoints: services know them by their addresses alone, so those of different VPCs that have the same
    /// share its ports.
    InterfaceEndpoint,
}

/// A NAT address and the destination that ports are counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Whose address it is.
    pub lender: Lender,
    /// Its own address.
    pub address: Addr,
    /// The destination.
    pub remote: Addr,
    /// The destination's port; zero where the protocol has none.
    pub remote_port: u16,
    /// IP protocol number.
    pub protocol: u8,
}

/// Of a [`Remote`], whom packets are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) address: Addr,
    pub(crate) port: u16,
    pub(crate) protocol: u8,
}

/// Which ports may be leased, and how many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// The last port, not below the first.
    pub last: u16,
    /// At most so many at once.
    pub limit: u32,
}

impl PortRange {
    /// A NAT gateway's (AWS "NAT gateway basics").
    pub const NAT_GATEWAY: Self = Self { first: 1024, last: 65_535, limit: 55_000 };

    /// A Hyperplane ENI's: all of them, to each destination (AWS "Network ACLs", "Ephemeral ports").
    pub const HYPERPLANE: Self = Self { first: 1024, last: 65_535, limit: 64_512 };

    fn ports(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }

    /// A port to begin with: it is leased, or the next that is free.
    #[inline]
    pub(super) fn start(self, random: &mut fastrand::Rng) -> u16 {
        random.u16(self.ports())
    }
}

/// All pools that hold at least one lease.
#[derive(Debug)]
pub struct PortPools {
    /// By the low bits of a remote's hash.
    shards: Box<[Arc<Shard>]>,
}

type Shard = Mutex<Pools>;
type Pools = HashTable<Arc<Pool>>;

/// So many that two workers seldom meet at one, and that making one larger or smaller holds up
/// nobody for long: with a million destinations, 1024 pools.
const SHARDS: usize = 1024;

const SEED: FixedState = FixedState::with_seed(0);

impl PortPools {
    /// Leases a random free port of `range` towards `remote`; `None` when none is left.
    #[must_use]
    pub fn lease(
        &self,
        remote: Remote,
        range: PortRange,
        random: &mut fastrand::Rng,
    ) -> Option<Lease> {
        self.lease_by_hash(remote.hash(), remote, range, random)
    }

    /// The same, of a remote that hashes so.
    pub(super) fn lease_by_hash(
        &self,
        hash: u64,
        remote: Remote,
        range: PortRange,
        random: &mut fastrand::Rng,
    ) -> Option<Lease> {
        let shard = self.shard(hash);
        // Held while the pool is changed, so that it is not removed in between.
        let mut pools = lock(shard);
        let pool = match pools.entry(hash, |pool| pool.remote == remote, |it| it.remote.hash()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                place.insert(Arc::new(Pool::new(remote, shard.clone()))).into_mut()
            }
        };
        pool.lease(range, random).flatten()
    }

    /// Ports leased towards `remote`.
    #[must_use]
    pub fn leased(&self, remote: &Remote) -> u32 {
        let hash = remote.hash();
        let pools = lock(self.shard(hash));
        pools.find(hash, |pool| pool.remote == *remote).map_or(0, |pool| pool.leased())
    }

    /// Ports leased in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        let mut total = 0;
        self.for_each(|_, leased| total += u64::from(leased));
        total
    }

    /// Each pool that holds leases, and how many.
    pub fn for_each(&self, mut visit: impl FnMut(&Remote, u32)) {
        for shard in &self.shards {
            lock(shard).iter().for_each(|pool| visit(&pool.remote, pool.leased()));
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low bits are those that choose")]
    fn shard(&self, hash: u64) -> &Arc<Shard> {
        // The table goes by the low bits too: of those that it has, other ones than here.
        &self.shards[hash.rotate_left(20) as usize % SHARDS]
    }
}

impl Default for PortPools {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Arc::default()).collect() }
    }
}

impl Remote {
    /// Ports of `address` towards a destination.
    pub(crate) const fn new(lender: Lender, address: Addr, destination: Destination) -> Self {
        let Destination { address: remote, port: remote_port, protocol } = destination;
        Self { lender, address, remote, remote_port, protocol }
    }

    pub(super) const fn destination(&self) -> Destination {
        let &Self { remote: address, remote_port: port, protocol, .. } = self;
        Destination { address, port, protocol }
    }

    pub(super) fn hash(&self) -> u64 {
        let &Self { lender, address, remote, remote_port, protocol } = self;
        let lender = match lender {
            Lender::NatGateway(id) => u64::from(id.0),
            Lender::Hyperplane(id) => u64::from(id.0) | 1 << 16,
            Lender::InterfaceEndpoint => 2 << 16,
        };
        let mut hasher = SEED.build_hasher();
        address.hash(&mut hasher);
        remote.hash(&mut hasher);
        let ends = lender << 32 | u64::from(remote_port) << 16 | u64::from(protocol);
        hasher.write_u64(ends);
        hasher.finish()
    }
}

impl Destination {
    /// That of packets of `protocol` to a port. All queries of ICMP to an address share the identifiers.
    #[inline]
    pub(crate) const fn new((address, port): (Addr, u16), protocol: u8) -> Self {
        Self { address, port: if protocol == protocol::ICMP { 0 } else { port }, protocol }
    }

    pub(super) fn hash(self) -> u64 {
        let mut hasher = SEED.build_hasher();
        self.address.hash(&mut hasher);
        hasher.write_u64(u64::from(self.port) << 8 | u64::from(self.protocol));
        hasher.finish()
    }
}

/// A port that is held until this is dropped.
#[derive(Debug)]
pub struct Lease {
    access: Arc<Access>,
    port: u16,
    /// As the pool says, whose line other workers write to.
    lender: Lender,
    /// What the gateway counts it as.
    pub(crate) standing: Standing,
}

/// Whether a gateway counts the connection that has a port as active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not yet; never, if it is no TCP.
    New,
    /// It does.
    Active,
    /// It did, until the connection was closed.
    Over,
}

impl Lease {
    fn of(access: Arc<Access>, port: u16) -> Self {
        let lender = access.remote().lender;
        Self { access, port, lender, standing: Standing::New }
    }

    /// Who has lent it.
    #[must_use]
    pub const fn lender(&self) -> Lender {
        self.lender
    }

    /// By which it was leased.
    pub(super) const fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Brings what changes when it is given back into cache.
    pub(crate) fn prefetch(&self) {
        self.access.prefetch();
        self.access.prefetch_bit(|| self.port);
    }

    /// The address that the port belongs to.
    #[must_use]
    pub fn address(&self) -> Addr {
        self.access.remote().address
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.access.give_back(self.port);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::net::Ipv4Addr;

    fn remote(last: u8) -> Remote {
        Remote {
            lender: Lender::NatGateway(NatGatewayId(0)),
            address: Addr::v4(Ipv4Addr::new(10, 0, 0, 220)),
            remote: Addr::v4(Ipv4Addr::new(203, 0, 113, last)),
            remote_port: 443,
            protocol: 6,
        }
    }

    #[test]
    fn leases_exactly_the_limit_and_each_port_once() {
        let pools = PortPools::default();
        let mut random = fastrand::Rng::with_seed(1);
        let mut leases = Vec::new();
        while let Some(lease) = pools.lease(remote(1), PortRange::NAT_GATEWAY, &mut random) {
            leases.push(lease);
        }
        assert_eq!(leases.len(), 55_000);
        let ports: HashSet<_> = leases.iter().map(Lease::port).collect();
        assert_eq!(ports.len(), 55_000);
        assert!(ports.iter().all(|port| (1024..=65_535).contains(port)));

        let other = pools.lease(remote(2), PortRange::NAT_GATEWAY, &mut random);
        assert!(other.is_some(), "another destination has its own ports");
        let freed = leases.pop().map(|lease| lease.port());
        let again = pools.lease(remote(1), PortRange::NAT_GATEWAY, &mut random);
        assert!(freed.is_some() && again.is_some());
        assert!(pools.lease(remote(1), PortRange::NAT_GATEWAY, &mut random).is_none());

        drop((leases, again, other));
        assert_eq!(pools.total(), 0);
        assert!(pools.shards.iter().all(|it| lock(it).capacity() == 0), "empty pools are removed");
    }

    #[test]
    fn a_range_can_be_used_to_its_last_port() {
        let pools = PortPools::default();
        let mut random = fastrand::Rng::with_seed(2);
        let range = PortRange { first: 65_500, last: 65_535, limit: 55_000 };
        let leases: Vec<_> =
            std::iter::from_fn(|| pools.lease(remote(1), range, &mut random)).collect();
        assert_eq!(leases.len(), 36);
    }

    proptest! {
        /// Whatever is taken and given back: leases are distinct, within the range, and counted.
        #[test]
        fn leases_are_what_is_held(
            seed in any::<u64>(),
            first in 1_u16..200,
            extra in 0_u16..200,
            steps in prop::collection::vec(prop::option::of(0_usize..64), 1..400),
        ) {
            let range = PortRange { first, last: first + extra, limit: 150 };
            let pools = PortPools::default();
            let mut random = fastrand::Rng::with_seed(seed);
            let mut held: Vec<Lease> = Vec::new();
            for step in steps {
                match step {
                    Some(at) if !held.is_empty() => drop(held.swap_remove(at % held.len())),
                    _ => {
                        let room = held.len() < 150.min(usize::from(extra) + 1);
                        let lease = pools.lease(remote(1), range, &mut random);
                        prop_assert_eq!(lease.is_some(), room);
                        held.extend(lease);
                    }
                }
                let ports: HashSet<_> = held.iter().map(Lease::port).collect();
                prop_assert_eq!(ports.len(), held.len());
                prop_assert!(ports.iter().all(|port| range.ports().contains(port)));
                prop_assert_eq!(pools.leased(&remote(1)) as usize, held.len());
            }
        }
    }
}
