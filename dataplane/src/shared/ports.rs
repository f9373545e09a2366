//! The ports of NAT addresses: one exact pool for each address, remote and protocol.
//!
//! AWS "NAT gateway basics": up to 55,000 simultaneous connections to each unique destination
//! (destination address, port and protocol), from ports 1024-65535. A port is held by a [`Lease`],
//! which cannot be copied and gives the port back when it is dropped, so leases and ports in use
//! are always the same number. Choosing is O(1) at any load: a random place among the ports in use,
//! and from there the next free one.

mod bits;

use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use smallvec::SmallVec;

use crate::packet::{Addr, EniId, NatGatewayId};
use crate::state::prefetch;
use bits::Bits;

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
                let (ports, bits) = (Mutex::new(Ports::default()), AtomicUsize::new(0));
                place.insert(Arc::new(Pool { remote, home: shard.clone(), ports, bits })).into_mut()
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

/// A port that is held until this is dropped.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<Pool>,
    port: u16,
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
    /// Who has lent it.
    #[must_use]
    pub fn lender(&self) -> Lender {
        self.pool.remote.lender
    }

    pub(super) const fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address that the port belongs to.
    #[must_use]
    pub fn address(&self) -> Addr {
        self.pool.remote.address
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let is_last = {
            let mut ports = lock(&self.pool.ports);
            ports.give_back(self.port);
            ports.leased() == 0
        };
        if is_last {
            self.pool.leave();
        }
    }
}

/// The ports towards one remote.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) remote: Remote,
    home: Arc<Shard>,
    ports: Mutex<Ports>,
    /// The address of the bits, if there were any when a port was last leased: a hint, which nobody follows but to fetch.
    bits: AtomicUsize,
}

impl Pool {
    /// Leases a random free port, if one is left; `None` where the pool was removed.
    pub(super) fn lease(
        self: &Arc<Self>,
        range: PortRange,
        random: &mut fastrand::Rng,
    ) -> Option<Option<Lease>> {
        let mut ports = lock(&self.ports);
        if let Ports::Removed = *ports {
            return None;
        }
        let port = ports.take(range, random);
        self.bits.store(ports.address(), Ordering::Relaxed);
        Some(port.map(|port| Lease { pool: self.clone(), port, standing: Standing::New }))
    }

    /// Brings what the next port of `range` is chosen by into cache, if `random` is drawn from for nothing else before.
    #[inline]
    pub(super) fn prefetch(&self, range: PortRange, random: &fastrand::Rng) {
        let start = random.clone().u16(range.ports());
        let bits = self.bits.load(Ordering::Relaxed);
        prefetch::line(Bits::place(bits, start));
    }

    fn leased(&self) -> u32 {
        lock(&self.ports).leased()
    }

    /// Says that it is removed, if it holds nothing.
    fn end(&self) -> bool {
        let mut ports = lock(&self.ports);
        let is_empty = ports.leased() == 0;
        if is_empty {
            *ports = Ports::Removed;
        }
        is_empty
    }

    /// Removes the pool of `remote` if it holds nothing: somebody may have leased in between.
    #[cold]
    fn leave(&self) {
        let mut pools = lock(&self.home);
        let is_empty = |pool: &Arc<Self>| pool.remote == self.remote && pool.end();
        if let Ok(empty) = pools.find_entry(self.remote.hash(), is_empty) {
            empty.remove();
        }
        // What many pools needed is given back when they are gone.
        if pools.is_empty() {
            *pools = Pools::new();
        } else if pools.len() < pools.capacity() / 8 {
            let room = pools.len() * 2;
            pools.shrink_to(room, |pool| pool.remote.hash());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The ports in use.
#[derive(Debug)]
enum Ports {
    /// In order.
    Few(SmallVec<[u16; 8]>),
    /// A bit each.
    Many(Box<Bits>),
    /// None any more, of a pool that is among those of all workers no more.
    Removed,
}

/// So many ports are a list, and more are bits: these take 8 KiB, which is then no more than 32
/// bytes a port.
const FEW: usize = 256;

impl Ports {
    fn leased(&self) -> u32 {
        match self {
            Self::Few(ports) => ports.len().try_into().unwrap_or(u32::MAX),
            Self::Many(bits) => bits.leased(),
            Self::Removed => 0,
        }
    }

    /// Where the bits lie, if there are any.
    fn address(&self) -> usize {
        match self {
            Self::Many(bits) => bits.address(),
            Self::Few(_) | Self::Removed => 0,
        }
    }

    fn take(&mut self, range: PortRange, random: &mut fastrand::Rng) -> Option<u16> {
        let span = u32::from(range.last - range.first) + 1;
        if self.leased() >= range.limit.min(span) {
            return None;
        }
        let start = random.u16(range.ports());
        match self {
            Self::Few(ports) if ports.len() < FEW => {
                let free = |port| Some((port, ports.binary_search(&port).err()?));
                let (port, place) = cyclic(range, start).find_map(free)?;
                ports.insert(place, port);
                Some(port)
            }
            Self::Few(ports) => {
                *self = Self::Many(Bits::of(ports));
                self.take(range, random)
            }
            Self::Many(bits) => {
                let port = bits.first_free(range, start)?;
                bits.set(port);
                Some(port)
            }
            Self::Removed => None,
        }
    }

    fn give_back(&mut self, port: u16) {
        match self {
            Self::Few(ports) => {
                if let Ok(place) = ports.binary_search(&port) {
                    ports.remove(place);
                }
            }
            Self::Many(bits) => {
                bits.clear(port);
                if bits.leased() as usize == FEW / 4 {
                    *self = Self::Few(bits.ports().collect());
                }
            }
            Self::Removed => {}
        }
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self::Few(SmallVec::new())
    }
}

/// All ports of the range, from `start` on and round.
fn cyclic(range: PortRange, start: u16) -> impl Iterator<Item = u16> {
    (start..=range.last).chain(range.first..start)
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
