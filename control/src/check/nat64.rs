//! Is `profile.nat64` a translator that can be?
//!
//! RFC 6052 s. 2.2 (prefixes), RFC 6146 (bindings), RFC 7757 s. 3 (explicit address mappings), RFC 6791 (sources of ICMP
//! errors). What AWS does is no matter here: the key is for test vectors of others.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::net::{Ipv4Addr, SocketAddrV4, SocketAddrV6};

use ipnet::{Ipv4Net, Ipv6Net};

use crate::check::Check;
use crate::check::routes::NAT64;
use crate::diagnostic::{Fault, Place};
use crate::model::{self, At, Nat64Protocol, Nat64Rules, PortRange};

/// A plain translator in the place of every NAT gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nat64 {
    /// Of a length of RFC 6052; 64:ff9b::/96 unless the file says otherwise.
    pub prefix: Ipv6Net,
    /// What IPv4 hosts see; none if it keeps no state.
    pub pool: Option<Nat64Pool>,
    /// Bindings that are always there; no two alike on one side. None without a pool.
    pub bindings: Vec<Nat64Static>,
    /// Explicit address mappings; no block twice on one side.
    pub mappings: Vec<Nat64Mapping>,
    /// The source of ICMP errors whose own cannot be translated.
    pub icmp_source: Option<Ipv4Addr>,
    /// Whose fragments, timers and refusals hold.
    pub rules: Nat64Rules,
}

/// What a translator with state has outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat64Pool {
    /// Its address, which no internet host has.
    pub address: Ipv4Addr,
    /// The ports that it gives out.
    pub ports: PortRange,
}

/// A binding that is always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat64Static {
    /// Of which protocol.
    pub protocol: Nat64Protocol,
    /// An address and a port or identifier.
    pub inside: SocketAddrV6,
    /// The pool's address, and a port or identifier.
    pub outside: SocketAddrV4,
}

/// An explicit address mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat64Mapping {
    /// At least as many addresses as of `ipv4`.
    pub ipv6: Ipv6Net,
    /// What they are outside.
    pub ipv4: Ipv4Net,
}

/// The lengths that a prefix may have (RFC 6052 s. 2.2).
const LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];

/// Bits 64 to 71, which are zero in any address that stands for IPv4 (RFC 6052 s. 2.2).
const ZERO_OCTET: u128 = 0xff << 56;

/// The ports that a pool gives out unless the file says otherwise: those of a NAT gateway.
const PORTS: PortRange = PortRange { first: 1024, last: 65535 };

impl Check<'_, '_> {
    /// The translator that the profile asks for.
    pub(super) fn nat64(&mut self, nat64: &At<model::Nat64>) -> Option<Nat64> {
        let prefix = nat64.prefix.inspect(|prefix| self.nat64_prefix(*prefix));
        let pool = nat64.pool?;
        let address = match pool.value {
            model::Nat64Pool::Address(address) => Some(address),
            model::Nat64Pool::None => None,
        };
        if let Some(address) = address {
            self.nat64_pool(At { place: pool.place, value: address });
        } else if let Some(ports) = nat64.ports {
            let fault = Fault::error(ports.place, "ports of a translator that has none");
            self.faults.push(fault.label(pool.place, "no pool").help("leave `ports` out"));
        }
        Some(Nat64 {
            prefix: prefix.map_or(NAT64, |it| it.value),
            pool: address.map(|address| {
                let ports = nat64.ports.map_or(PORTS, |it| it.value);
                Nat64Pool { address, ports }
            }),
            bindings: self.nat64_bindings(nat64, At { place: pool.place, value: address }),
            mappings: self.nat64_mappings(nat64),
            icmp_source: nat64.icmp_source.map(|it| it.value).or(address),
            rules: nat64.rules.map_or(Nat64Rules::Aws, |it| it.value),
        })
    }

    fn nat64_prefix(&mut self, prefix: At<Ipv6Net>) {
        let fault = if !LENGTHS.contains(&prefix.prefix_len()) {
            let help = "RFC 6052 has prefixes of 32, 40, 48, 56, 64 and 96 bits";
            Fault::error(prefix.place, format!("{} is no prefix for IPv4", prefix.value)).help(help)
        } else if prefix.network().to_bits() & ZERO_OCTET != 0 {
            let message = format!("bits 64 to 71 of {} are not zero", prefix.value);
            Fault::error(prefix.place, message).help("RFC 6052 keeps them so: choose another")
        } else {
            return;
        };
        self.faults.push(fault);
    }

    /// What comes to the pool's address is for the translator alone.
    fn nat64_pool(&mut self, pool: At<Ipv4Addr>) {
        let hosts = self.model.internet.iter().flat_map(|internet| internet.hosts.values());
        let mut addresses = hosts.flat_map(|it| it.addresses.iter().flat_map(|it| &it.value));
        if let Some(first) = addresses.find(|it| it.value == pool.value) {
            let fault = Fault::error(pool.place, format!("{} is taken", pool.value));
            let fault = fault.label(first.place, "it is given here");
            self.faults.push(fault.help("choose another: public addresses are unique in the file"));
        }
    }

    fn nat64_bindings(
        &mut self,
        nat64: &model::Nat64,
        pool: At<Option<Ipv4Addr>>,
    ) -> Vec<Nat64Static> {
        let (mut inside, mut outside) = (HashMap::new(), HashMap::new());
        let mut bindings = Vec::new();
        for it in nat64.r#static.iter().flat_map(|it| &it.value) {
            let (Some(protocol), Some(in6), Some(out4)) = (it.protocol, it.inside, it.outside)
            else {
                continue;
            };
            if pool.value != Some(*out4.ip()) {
                let message = format!("{} is not the pool's", out4.ip());
                let fault = Fault::error(out4.place, message).label(pool.place, "the pool");
                self.faults
                    .push(fault.help("a static binding has the address of the pool outside"));
            }
            self.once((protocol.value, in6.value), in6, &mut inside);
            self.once((protocol.value, out4.value), out4, &mut outside);
            let (protocol, inside, outside) = (protocol.value, in6.value, out4.value);
            bindings.push(Nat64Static { protocol, inside, outside });
        }
        bindings
    }

    fn nat64_mappings(&mut self, nat64: &model::Nat64) -> Vec<Nat64Mapping> {
        let (mut inside, mut outside) = (HashMap::new(), HashMap::new());
        let mut mappings = Vec::new();
        for it in nat64.mappings.iter().flat_map(|it| &it.value) {
            let (Some(ipv6), Some(ipv4)) = (it.ipv6, it.ipv4) else { continue };
            let (suffix6, suffix4) = (128 - ipv6.prefix_len(), 32 - ipv4.prefix_len());
            if suffix4 > suffix6 {
                let message = format!("{} has more addresses than {}", ipv4.value, ipv6.value);
                let fault = Fault::error(ipv4.place, message).label(ipv6.place, "the inside");
                self.faults
                    .push(fault.help("RFC 7757 maps into a block that is at least as large"));
            }
            self.once(ipv6.value, ipv6, &mut inside);
            self.once(ipv4.value, ipv4, &mut outside);
            mappings.push(Nat64Mapping { ipv6: ipv6.value, ipv4: ipv4.value });
        }
        mappings
    }

    /// Each side of a binding or mapping is that of one alone.
    fn once<K: Hash + Eq>(&mut self, key: K, side: At<impl Display>, seen: &mut HashMap<K, Place>) {
        if let Some(first) = seen.insert(key, side.place) {
            let fault = Fault::error(side.place, format!("{} a second time", side.value));
            self.faults.push(fault.label(first, "the first").help("remove one"));
        }
    }
}
