//! How does a worker come to a port without asking for its pool among all of them?
//!
//! It remembers the pools that it has leased from lately. A port is leased from the pool itself, which all workers
//! share, so there are as many of them as ever, in the same order.

use std::sync::Arc;

use crate::shared::WorkerId;
use crate::shared::ports::{Access, Lease, PortPools, PortRange, Remote};

/// One worker, as it takes of what all share.
#[derive(Debug)]
pub(crate) struct Lessee {
    /// Which it is.
    pub(crate) worker: WorkerId,
    /// Chooses among what is free.
    pub(crate) random: fastrand::Rng,
    /// By what a remote hashes to, the last pool that was leased from.
    recent: Box<[Option<Arc<Access>>; RECENT]>,
    /// The place there of the pool that is expected to be leased from next.
    expected: usize,
}

/// Two KiB of references: what a worker needs beside a thousand flows that begin at once.
const RECENT: usize = 256;

impl Lessee {
    /// Who has leased nothing yet.
    pub(crate) fn new(worker: WorkerId, random: fastrand::Rng) -> Self {
        Self { worker, random, recent: Box::new([const { None }; RECENT]), expected: 0 }
    }

    /// Brings what the next port towards `remote` is chosen by into cache.
    pub(crate) fn expect(&mut self, remote: Remote, range: PortRange) {
        self.expected = place(remote.hash());
        if let Some(pool) = &self.recent[self.expected] {
            pool.expect(range, &self.random);
        }
    }

    /// See [`PortPools::lease`].
    pub(crate) fn lease(
        &mut self,
        pools: &PortPools,
        remote: Remote,
        range: PortRange,
    ) -> Option<Lease> {
        let Self { random, recent, expected, .. } = self;
        let mut leased = |place: usize| {
            let pool = recent[place].as_ref().filter(|pool| *pool.remote() == remote)?;
            pool.lease(range, random)
        };
        if let Some(leased) = leased(*expected) {
            return leased;
        }
        let hash = remote.hash();
        let place = place(hash);
        if let Some(leased) = leased(place) {
            return leased;
        }
        let lease = pools.lease_by_hash(hash, remote, range, random)?;
        recent[place] = Some(lease.access().clone());
        Some(lease)
    }
}

/// Where a pool is remembered whose remote hashes so.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are those that choose")]
const fn place(hash: u64) -> usize {
    hash as usize % RECENT
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
            for port in 0..600 {
                let leased = lessee.lease(&pools, remote(port), RANGE);
                let expected = others.lease(remote(port), RANGE, &mut random);
                assert_eq!(leased.is_some(), round < 80);
                assert_eq!(leased.as_ref().map(Lease::port), expected.as_ref().map(Lease::port));
                held.extend(leased.into_iter().chain(expected));
            }
        }
        assert_eq!(pools.total(), 80 * 600);
        drop(held);
        assert_eq!(pools.total(), 0);
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
