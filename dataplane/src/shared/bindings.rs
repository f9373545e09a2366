//! Which port of a pool is whose, whoever it talks to?
//!
//! RFC 6146 s. 3.1: a binding is of an IPv6 host's address and port alone, so every remote sees the same port, and
//! reaches the host by it. It lives as long as a flow goes by it. Workers share all bindings: they are touched
//! when a flow of a translator is judged, and by nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use foldhash::fast::FixedState;

use crate::packet::Addr;
use crate::shared::Lease;

/// An address, and a port or an identifier.
type End = (Addr, u16);

/// All bindings that flows go by.
#[derive(Clone, Debug, Default)]
pub struct Bindings(Arc<Mutex<Known>>);

/// By protocol number, and each side; both have the same bindings.
#[derive(Debug, Default)]
struct Known {
    inside: HashMap<(u8, End), Weak<Binding>, FixedState>,
    outside: HashMap<(u8, End), Weak<Binding>, FixedState>,
}

/// A port that is an IPv6 host's until the last flow that goes by it ends.
#[derive(Debug)]
pub struct Binding {
    protocol: u8,
    inside: End,
    lease: Lease,
    home: Bindings,
}

impl Binding {
    /// Whose it is.
    #[must_use]
    pub const fn inside(&self) -> End {
        self.inside
    }

    /// The port.
    #[must_use]
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    fn outside(&self) -> End {
        (self.lease.address(), self.lease.port())
    }
}

impl Bindings {
    /// The binding of `inside`.
    #[must_use]
    pub fn of(&self, protocol: u8, inside: End) -> Option<Arc<Binding>> {
        self.known().inside.get(&(protocol, inside)).and_then(Weak::upgrade)
    }

    /// The binding that has `outside`.
    #[must_use]
    pub fn at(&self, protocol: u8, outside: End) -> Option<Arc<Binding>> {
        self.known().outside.get(&(protocol, outside)).and_then(Weak::upgrade)
    }

    /// Binds `inside` to a leased port. Another worker may have done so since it was asked: then that holds.
    #[must_use]
    pub fn bind(&self, protocol: u8, inside: End, lease: Lease) -> Arc<Binding> {
        let mut known = self.known();
        if let Some(binding) = known.inside.get(&(protocol, inside)).and_then(Weak::upgrade) {
            return binding;
        }
        let binding = Arc::new(Binding { protocol, inside, lease, home: self.clone() });
        known.inside.insert((protocol, inside), Arc::downgrade(&binding));
        known.outside.insert((protocol, binding.outside()), Arc::downgrade(&binding));
        binding
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        let mut known = self.home.known();
        // Somebody may have bound one of the two anew since the last flow let go.
        let is_over = |it: &Weak<Self>| it.strong_count() == 0;
        let (inside, outside) = ((self.protocol, self.inside), (self.protocol, self.outside()));
        if known.inside.get(&inside).is_some_and(is_over) {
            known.inside.remove(&inside);
        }
        if known.outside.get(&outside).is_some_and(is_over) {
            known.outside.remove(&outside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::NatGatewayId;
    use crate::shared::{Lender, PortPools, PortRange, Remote};
    use crate::wire::protocol::UDP;

    fn lease(pools: &PortPools) -> Lease {
        let address = Addr::from_v4([192, 0, 2, 2]);
        let (remote, remote_port) = (Addr::UNSPECIFIED, 0);
        let lender = Lender::NatGateway(NatGatewayId(0));
        let remote = Remote { lender, address, remote, remote_port, protocol: UDP };
        let mut random = fastrand::Rng::with_seed(1);
        pools.lease(remote, PortRange { first: 7, last: 8, limit: 2 }, &mut random).unwrap()
    }

    fn host(port: u16) -> End {
        ("2001:db8::5".parse::<std::net::Ipv6Addr>().unwrap().octets().into(), port)
    }

    #[test]
    fn rfc_6146_s_3_1_a_binding_is_found_from_both_sides_while_it_is_held() {
        let (pools, bindings) = (PortPools::default(), Bindings::default());
        let held = bindings.bind(UDP, host(1), lease(&pools));
        let outside = (held.lease().address(), held.lease().port());
        assert_eq!(bindings.of(UDP, host(1)).unwrap().lease().port(), outside.1);
        assert_eq!(bindings.at(UDP, outside).unwrap().inside(), host(1));
        assert!(bindings.of(UDP, host(2)).is_none());
        assert!(bindings.of(crate::wire::protocol::TCP, host(1)).is_none());
        drop(held);
        assert!(bindings.of(UDP, host(1)).is_none() && bindings.at(UDP, outside).is_none());
        assert!(bindings.known().inside.is_empty() && bindings.known().outside.is_empty());
        assert_eq!(pools.total(), 0);
    }

    #[test]
    fn who_binds_second_gets_what_the_first_has() {
        let (pools, bindings) = (PortPools::default(), Bindings::default());
        let first = bindings.bind(UDP, host(1), lease(&pools));
        let second = bindings.bind(UDP, host(1), lease(&pools));
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(pools.total(), 1, "the port that was leased in vain is given back");
    }
}
