//! What stands in the place of the NAT64 of NAT gateways?

use dataplane::packet::{Addr, NatGatewayId};
use dataplane::shared;
use dataplane::tables::{Mappings, Pool, StaticBindings, Translator};
use dataplane::wire::protocol;
use dataplane::wire::rfc6052::Prefix;

use crate::check::{Nat64, Profile};
use crate::model::{Nat64Protocol, Nat64Rules};

/// The translator that a profile asks for, in the place of `gateways`; none where there is no gateway.
pub(super) fn translator(profile: &Profile, gateways: &[NatGatewayId]) -> Option<Translator> {
    let nat64 = profile.nat64.as_ref()?;
    let Nat64 { prefix, pool, bindings, mappings, icmp_source, rules } = nat64;
    let bindings = bindings.iter().map(|it| {
        let inside = (Addr::from(it.inside.ip().octets()), it.inside.port());
        (number(it.protocol), inside, it.outside.port())
    });
    let mappings: Vec<_> = mappings.iter().map(|it| (it.ipv6, it.ipv4)).collect();
    let is_strict = *rules == Nat64Rules::Rfc;
    let limit = if is_strict { u32::MAX } else { profile.nat_connections };
    Some(Translator {
        prefix: Prefix::new(prefix.network(), prefix.prefix_len())
            .expect("`check` refuses what is none of RFC 6052"),
        pool: pool.map(|pool| Pool {
            address: Addr::v4(pool.address),
            ports: shared::PortRange { first: pool.ports.first, last: pool.ports.last, limit },
        }),
        bindings: StaticBindings::new(bindings),
        mappings: Mappings::new(&mappings),
        icmp_source: *icmp_source,
        strict: is_strict,
        gateway: *gateways.iter().min()?,
    })
}

/// A protocol's number, as IPv4 has it.
const fn number(protocol: Nat64Protocol) -> u8 {
    match protocol {
        Nat64Protocol::Tcp => protocol::TCP,
        Nat64Protocol::Udp => protocol::UDP,
        Nat64Protocol::Icmp => protocol::ICMP,
    }
}
