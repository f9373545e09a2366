//! Who has which address, and which one is still free?

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Display;
use std::hash::Hash;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use crate::check::Check;
use crate::diagnostic::{Fault, Place};
use crate::model::At;

/// How many addresses at a subnet's start AWS keeps: network, router, resolver, future.
const RESERVED: u8 = 4;

/// An address of either family.
pub(super) trait Address: Copy + Ord + Hash + Display {
    type Block: Copy + Display;

    /// Whether it is of `block`.
    fn is_in(self, block: Self::Block) -> bool;

    /// The addresses of a subnet of this block that AWS does not keep for itself.
    fn usable(block: Self::Block) -> Cursor<Self>;

    /// The next address; any after the last of all.
    fn successor(self) -> Self;
}

macro_rules! address {
    ($address:ident, $block:ident) => {
        impl Address for $address {
            type Block = $block;

            fn is_in(self, block: $block) -> bool {
                block.contains(&self)
            }

            fn usable(block: $block) -> Cursor<Self> {
                let reserved = RESERVED.into();
                Cursor {
                    next: Self::from_bits(block.network().to_bits().saturating_add(reserved)),
                    last: Self::from_bits(block.broadcast().to_bits().saturating_sub(1)),
                }
            }

            fn successor(self) -> Self {
                Self::from_bits(self.to_bits().wrapping_add(1))
            }
        }
    };
}

address!(Ipv4Addr, Ipv4Net);
address!(Ipv6Addr, Ipv6Net);

/// Who has an address, in one address space.
#[derive(Clone)]
pub(super) struct Claims<A>(HashMap<A, Place>);

impl<A> Default for Claims<A> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<A: Address> Claims<A> {
    /// Claims `address` for what stands at `place`; whether it was free.
    pub(super) fn take(&mut self, address: A, place: Place) -> bool {
        match self.0.entry(address) {
            Entry::Vacant(free) => {
                free.insert(place);
                true
            }
            Entry::Occupied(_) => false,
        }
    }
}

/// The lowest address of a range that may still be free.
#[derive(Clone, Copy)]
pub(super) struct Cursor<A> {
    pub(super) next: A,
    pub(super) last: A,
}

impl<A: Address> Cursor<A> {
    /// The next address of the range that nobody has claimed, claimed for what stands at `place`.
    pub(super) fn free(&mut self, claims: &mut Claims<A>, place: Place) -> Option<A> {
        while self.next <= self.last {
            let address = self.next;
            self.next = address.successor();
            if claims.take(address, place) {
                return Some(address);
            }
        }
        None
    }

    pub(super) fn contains(self, address: A) -> bool {
        (self.next..=self.last).contains(&address)
    }

    fn advice(self) -> String {
        format!("choose one from {} to {}", self.next, self.last)
    }
}

impl Check<'_, '_> {
    /// A declared address in the subnet `name` of `block`, claimed; it is one that AWS would give there.
    pub(super) fn declared<A: Address>(
        &mut self,
        address: At<A>,
        (name, block): (&str, At<A::Block>),
        claims: &mut Claims<A>,
        rule: &str,
    ) -> Option<A> {
        let free = A::usable(block.value);
        if !address.is_in(block.value) {
            let message = format!("{} is not in subnet `{name}` ({})", address.value, block.value);
            let fault =
                Fault::error(address.place, message).label(block.place, "the subnet's block");
            self.faults.push(fault.help(free.advice()));
        } else if !free.contains(address.value) {
            let message = format!("AWS keeps {} of subnet `{name}` for itself", address.value);
            let help = format!("the first four and the last are reserved; {}", free.advice());
            self.faults.push(Fault::error(address.place, message).help(help));
        }
        self.claim(address, claims, rule)
    }

    /// A declared address, claimed; a fault if somebody else has it, against `rule`.
    pub(super) fn claim<A: Address>(
        &mut self,
        address: At<A>,
        claims: &mut Claims<A>,
        rule: &str,
    ) -> Option<A> {
        if let Some(&first) = claims.0.get(&address.value) {
            let message = format!("{} is taken", address.value);
            let fault = Fault::error(address.place, message).label(first, "it is given here");
            self.faults.push(fault.help(format!("choose another: {rule}")));
            return None;
        }
        claims.0.insert(address.value, address.place);
        Some(address.value)
    }

    /// The lowest free address of the subnet `name` for `who`, which stands at `place`.
    pub(super) fn lowest<A: Address>(
        &mut self,
        (who, place): (&str, Place),
        name: &str,
        cursor: &mut Cursor<A>,
        claims: &mut Claims<A>,
    ) -> Option<A> {
        let address = cursor.free(claims, place);
        if address.is_none() {
            let message = format!("subnet `{name}` has no address left for `{who}`");
            self.faults
                .push(Fault::error(place, message).help("enlarge the subnet or use another"));
        }
        address
    }
}
