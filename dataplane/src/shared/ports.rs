//! The ports of NAT addresses: one exact pool for each address, remote and protocol.
//!
//! AWS "NAT gateway basics": up to 55,000 simultaneous connections to each unique destination
//! (destination address, port and protocol), from ports 1024-65535. A port is held by a [`Lease`],
//! which cannot be copied and gives the port back when it is dropped, so leases and ports in use
//! are always the same number. Choosing is O(1) at any load: a random place in a bitmap, and then
//! the next free bit.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use dashmap::DashMap;

use crate::packet::{Addr, NatGatewayId};

type Pools = DashMap<Remote, Arc<Pool>, foldhash::fast::FixedState>;

/// A NAT address and the destination that ports are counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Remote {
    /// The gateway.
    pub gateway: NatGatewayId,
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

    fn ports(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

/// All pools that hold at least one lease.
#[derive(Debug, Default)]
pub struct PortPools {
    pools: Arc<Pools>,
}

impl PortPools {
    /// Leases a random free port of `range` towards `remote`; `None` when none is left.
    #[must_use]
    pub fn lease(
        &self,
        remote: Remote,
        range: PortRange,
        random: &mut fastrand::Rng,
    ) -> Option<Lease> {
        // The guard is held while the pool is changed, so that it is not removed in between.
        let pool = self.pools.entry(remote).or_insert_with(|| {
            Arc::new(Pool {
                remote,
                pools: Arc::downgrade(&self.pools),
                ports: Mutex::new(Ports::default()),
            })
        });
        let port = pool.ports.lock().unwrap_or_else(PoisonError::into_inner).take(range, random)?;
        Some(Lease { pool: pool.clone(), port, standing: Standing::New })
    }

    /// Ports leased towards `remote`.
    #[must_use]
    pub fn leased(&self, remote: &Remote) -> u32 {
        self.pools.get(remote).map_or(0, |pool| pool.leased())
    }

    /// Ports leased in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.pools.iter().map(|pool| u64::from(pool.leased())).sum()
    }

    /// Each pool that holds leases, and how many.
    pub fn for_each(&self, mut visit: impl FnMut(&Remote, u32)) {
        for pool in self.pools.iter() {
            visit(&pool.remote, pool.leased());
        }
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
    /// The gateway.
    #[must_use]
    pub fn gateway(&self) -> NatGatewayId {
        self.pool.remote.gateway
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
        let last = {
            let mut ports = self.pool.ports.lock().unwrap_or_else(PoisonError::into_inner);
            ports.give_back(self.port);
            ports.leased == 0
        };
        if last && let Some(pools) = self.pool.pools.upgrade() {
            // Looked at again under the map's lock: somebody may have leased in between.
            pools.remove_if(&self.pool.remote, |_, pool| pool.leased() == 0);
        }
    }
}

#[derive(Debug)]
struct Pool {
    remote: Remote,
    pools: Weak<Pools>,
    ports: Mutex<Ports>,
}

impl Pool {
    fn leased(&self) -> u32 {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).leased
    }
}

/// The ports in use. A few are a list; more are a bit each.
#[derive(Debug, Default)]
struct Ports {
    leased: u32,
    few: Vec<u16>,
    many: Option<Box<[u64; WORDS]>>,
}

const WORDS: usize = 65_536 / 64;

/// More than this many ports are kept as bits: a search through the list is then no longer cheap.
const FEW: usize = 32;

impl Ports {
    fn take(&mut self, range: PortRange, random: &mut fastrand::Rng) -> Option<u16> {
        let span = u32::from(range.last - range.first) + 1;
        if self.leased >= range.limit.min(span) {
            return None;
        }
        let start = random.u16(range.ports());
        let port = match &mut self.many {
            None if self.few.len() < FEW => {
                let port = cyclic(range, start).find(|port| !self.few.contains(port))?;
                self.few.push(port);
                port
            }
            many => {
                let bits = many.get_or_insert_with(|| {
                    let mut bits = Box::new([0; WORDS]);
                    for port in self.few.drain(..) {
                        bits[usize::from(port / 64)] |= 1 << (port % 64);
                    }
                    bits
                });
                let port = first_free(bits, range, start)?;
                bits[usize::from(port / 64)] |= 1 << (port % 64);
                port
            }
        };
        self.leased += 1;
        Some(port)
    }

    fn give_back(&mut self, port: u16) {
        match &mut self.many {
            Some(bits) => bits[usize::from(port / 64)] &= !(1 << (port % 64)),
            None => self.few.retain(|&held| held != port),
        }
        self.leased -= 1;
        if self.leased == 0 {
            *self = Self::default();
        }
    }
}

/// All ports of the range, from `start` on and round.
fn cyclic(range: PortRange, start: u16) -> impl Iterator<Item = u16> {
    (start..=range.last).chain(range.first..start)
}

/// The first free port from `start` on and round, a word of 64 ports at a time.
fn first_free(bits: &[u64; WORDS], range: PortRange, start: u16) -> Option<u16> {
    let within = |ports: RangeInclusive<u16>| {
        let (first, last) = ports.into_inner();
        (first / 64..=last / 64).find_map(|word| {
            let mut free = !bits[usize::from(word)];
            if word == first / 64 {
                free &= u64::MAX << (first % 64);
            }
            if word == last / 64 {
                free &= u64::MAX >> (63 - last % 64);
            }
            let bit = u16::try_from(free.trailing_zeros()).ok().filter(|&bit| bit < 64)?;
            Some(word * 64 + bit)
        })
    };
    within(start..=range.last)
        .or_else(|| (start > range.first).then(|| within(range.first..=start - 1))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::net::Ipv4Addr;

    fn remote(last: u8) -> Remote {
        Remote {
            gateway: NatGatewayId(0),
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
        assert!(pools.pools.is_empty(), "empty pools are removed");
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
