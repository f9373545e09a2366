//! How does a worker come to a port without asking for its pool among all of them?
//!
//! It remembers the pools that it has leased from lately. A port is leased from the pool itself, which all workers
//! share, so there are as many of them as ever, in the same order.

use std::sync::Arc;

use crate::shared::WorkerId;
use crate::shared::ports::{Access, Destination, Lease, PortPools, PortRange, Remote};

/// One worker, as it takes of what all share.
#[derive(Debug)]
pub(crate) struct Lessee {
    /// Which it is.
    pub(crate) worker: WorkerId,
    /// Chooses among what is free.
    pub(crate) random: fastrand::Rng,
    /// By what a remote hashes to, the last pool that was leased from.
    recent: Box<[Option<Recent>; RECENT]>,
    /// The place there of the pool that is expected to be leased from next.
    expected: usize,
    /// By what a destination hashes to, a pool towards it.
    towards: Box<[Towards; RECENT]>,
}

/// A pool, and what was leased there.
#[derive(Debug)]
struct Recent {
    pool: Arc<Access>,
    range: PortRange,
}

/// Where among the recent pools one stands that is towards a destination which hashes so. Where none is known, that is no
/// place there.
#[derive(Clone, Copy, Debug)]
struct Towards {
    tag: u16,
    place: u16,
}

/// Twenty KiB, of which those come into cache that are in use. Of a hundred destinations nine in ten share no place.
const RECENT: usize = 1024;

const _: () = assert!(RECENT <= Towards::NOBODY.place as usize, "nobody's place is none of these");

impl Lessee {
    /// Who has leased nothing yet.
    pub(crate) fn new(worker: WorkerId, random: fastrand::Rng) -> Self {
        let recent = Box::new([const { None }; RECENT]);
        Self { worker, random, recent, expected: 0, towards: Box::new([Towards::NOBODY; RECENT]) }
    }

    /// Brings what a port towards `destination` is chosen by into cache, for when so many were leased `before`: where one
    /// gateway leads there. Two workers seldom choose within one line of it.
    #[inline]
    pub(crate) fn foresee(&self, destination: Destination, before: usize) {
        if let Some(Recent { pool, range }) = self.towards(destination) {
            pool.prefetch_bit(|| self.start(*range, before));
        }
    }

    #[inline]
    fn towards(&self, destination: Destination) -> Option<&Recent> {
        let hash = destination.hash();
        let Towards { tag, place } = self.towards[place_of(hash)];
        let recent = self.recent.get(usize::from(place)).filter(|_| tag == tag_of(hash));
        recent?.as_ref()
    }

    /// The port of `range` that is looked at first, after so many leases.
    #[inline]
    fn start(&self, range: PortRange, before: usize) -> u16 {
        let mut random = self.random.clone();
        (0..before).for_each(|_| _ = range.start(&mut random));
        range.start(&mut random)
    }

    /// Brings what changes with each port that is leased towards `remote` into cache.
    pub(crate) fn expect(&mut self, remote: Remote) {
        self.expected = place_of(remote.hash());
        if let Some(Recent { pool, .. }) = &self.recent[self.expected] {
            pool.prefetch();
        }
    }

    /// See [`PortPools::lease`].
    pub(crate) fn lease(
        &mut self,
        pools: &PortPools,
        remote: Remote,
        range: PortRange,
    ) -> Option<Lease> {
        let Self { random, recent, expected, towards, .. } = self;
        let mut leased = |place: usize| {
            let recent = recent[place].as_ref().filter(|it| *it.pool.remote() == remote)?;
            recent.pool.lease(range, random)
        };
        if let Some(leased) = leased(*expected) {
            return leased;
        }
        let hash = remote.hash();
        let place = place_of(hash);
        if let Some(leased) = leased(place) {
            return leased;
        }
        let lease = pools.lease_by_hash(hash, remote, range, random)?;
        recent[place] = Some(Recent { pool: lease.access().clone(), range });
        let hash = remote.destination().hash();
        towards[place_of(hash)] = Towards::new(hash, place);
        Some(lease)
    }
}

impl Towards {
    const NOBODY: Self = Self { tag: 0, place: u16::MAX };

    #[expect(clippy::cast_possible_truncation, reason = "there are no more than 2^16 places")]
    const fn new(hash: u64, place: usize) -> Self {
        Self { tag: tag_of(hash), place: place as u16 }
    }
}

/// Where it is remembered what hashes so.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are those that choose")]
const fn place_of(hash: u64) -> usize {
    hash as usize % RECENT
}

/// What tells most of those apart that share a place.
const fn tag_of(hash: u64) -> u16 {
    (hash >> 48) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Addr, NatGatewayId};
    use crate::shared::Lender;

    const RANGE: PortRange = PortRange { first: 1024, last: 1123, limit: 80 };

    fn remote(port: u16) -> Remote {
        Remote {
            lender: Lender::NatGateway(NatGatewayId(0)),
            address: Addr::from_v4([10, 0, 0, 220]),
            remote: Addr::from_v4([203, 0, 113, 80]),
            remote_port: port,
            protocol: 6,
        }
    }

    #[test]
    fn ports_are_those_that_all_pools_give() {
        let (pools, others) = (PortPools::default(), PortPools::default());
        let mut lessee = Lessee::new(WorkerId(0), fastrand::Rng::with_seed(5));
        let mut random = fastrand::Rng::with_seed(5);
        // More remotes than are remembered, each of them again and again.
        let mut held = Vec::new();
        for round in 0..90 {
            for port in 0..1500 {
                let leased = lessee.lease(&pools, remote(port), RANGE);
                let expected = others.lease(remote(port), RANGE, &mut random);
                assert_eq!(leased.is_some(), round < 80);
                assert_eq!(leased.as_ref().map(Lease::port), expected.as_ref().map(Lease::port));
                held.extend(leased.into_iter().chain(expected));
            }
        }
        assert_eq!(pools.total(), 80 * 1500);
        drop(held);
        assert_eq!(pools.total(), 0);
    }

    #[test]
    fn it_is_foreseen_where_the_next_ports_are_looked_for() {
        let pools = PortPools::default();
        let mut lessee = Lessee::new(WorkerId(0), fastrand::Rng::with_seed(5));
        let range = PortRange::NAT_GATEWAY;
        let mut held = Vec::new();
        // More than are kept in a list.
        for _ in 0..300 {
            held.extend([1, 2].map(|port| lessee.lease(&pools, remote(port), range).unwrap()));
        }
        for _ in 0..200 {
            // Where one is looked for, after none or one before, it is found, or a little behind.
            let starts = [0, 1].map(|before| lessee.start(range, before));
            for (start, port) in starts.into_iter().zip([1, 2]) {
                let leased = lessee.lease(&pools, remote(port), range).unwrap();
                assert!((start..=start.saturating_add(9)).contains(&leased.port()), "{start}");
                held.push(leased);
            }
        }
        for port in 0..2000 {
            let known = lessee.towards(remote(port).destination());
            let known = known.map(|Recent { pool, range }| (*pool.remote(), *range));
            let is_one = (1..=2).contains(&port);
            assert_eq!(known, is_one.then(|| (remote(port), range)), "{port}");
        }
    }

    #[test]
    fn a_pool_that_was_removed_is_leased_from_no_more() {
        let pools = PortPools::default();
        let mut lessees =
            [1, 2].map(|it| Lessee::new(WorkerId(it), fastrand::Rng::with_seed(it.into())));
        for _ in 0..3 {
            let leases = lessees.each_mut().map(|it| it.lease(&pools, remote(1), RANGE));
            assert!(leases.iter().all(Option::is_some));
            assert_eq!(pools.leased(&remote(1)), 2, "both lease from the same pool");
            drop(leases);
            assert_eq!(pools.leased(&remote(1)), 0);
        }
    }
}
