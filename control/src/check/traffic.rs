//! Which packets does a rule speak of, and can there be such packets?

use ipnet::IpNet;

use crate::check::{Check, Ports, Traffic};
use crate::diagnostic::{Fault, Place};
use crate::model::{At, PortRange, closest, shortened};

/// IANA protocol numbers that have a word.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// A rule's keys that say which packets it matches.
pub(super) struct Selector<'m> {
    /// Of the rule.
    pub(super) place: Place,
    pub(super) protocol: Option<&'m At<String>>,
    pub(super) ports: Option<&'m At<Option<PortRange>>>,
    pub(super) icmp_type: Option<&'m At<Option<u8>>>,
    pub(super) icmp_code: Option<&'m At<u8>>,
}

/// The keys of a rule, which groups and ACLs have in common.
macro_rules! selector {
    ($rule:expr) => {
        $crate::check::traffic::Selector {
            place: $rule.place,
            protocol: $rule.protocol.as_ref(),
            ports: $rule.ports.as_ref(),
            icmp_type: $rule.r#type.as_ref(),
            icmp_code: $rule.code.as_ref(),
        }
    };
}

pub(super) use selector;

impl Check<'_, '_> {
    /// The packets that `selector` picks.
    pub(super) fn traffic(&mut self, selector: &Selector<'_>) -> Option<Traffic> {
        let protocol = selector.protocol?;
        match self.protocol(protocol)? {
            None => self.bare(selector).then_some(Traffic::All),
            Some(TCP) => self.ports(selector).map(Traffic::Tcp),
            Some(UDP) => self.ports(selector).map(Traffic::Udp),
            Some(ICMP) => self
                .icmp(selector)
                .map(|(icmp_type, icmp_code)| Traffic::Icmp { icmp_type, icmp_code }),
            Some(ICMPV6) => self
                .icmp(selector)
                .map(|(icmp_type, icmp_code)| Traffic::Icmpv6 { icmp_type, icmp_code }),
            Some(number) => self.bare(selector).then_some(Traffic::Other(number)),
        }
    }

    /// The protocol's number; inside, none for all of them.
    #[expect(
        clippy::option_option,
        reason = "the outer one is a fault, the inner one the word `all`"
    )]
    fn protocol(&mut self, protocol: &At<String>) -> Option<Option<u8>> {
        let number = match protocol.as_str() {
            "all" | "-1" => return Some(None),
            "icmp" => ICMP,
            "tcp" => TCP,
            "udp" => UDP,
            "icmpv6" => ICMPV6,
            text => match text.parse() {
                Ok(number) => number,
                Err(_) => {
                    let message = format!("there is no protocol `{}`", shortened(text));
                    let help = "write tcp, udp, icmp, icmpv6, all, or a number from 0 to 255";
                    let near = closest(text, ["tcp", "udp", "icmpv6", "icmp", "all"].into_iter());
                    let help = near
                        .map_or(help.to_owned(), |near| format!("did you mean `{near}`? {help}"));
                    self.faults.push(Fault::error(protocol.place, message).help(help));
                    return None;
                }
            },
        };
        Some(Some(number))
    }

    /// TCP and UDP: ports, and nothing of ICMP.
    fn ports(&mut self, selector: &Selector<'_>) -> Option<Ports> {
        let right = self.none_of(selector, false, true);
        let Some(ports) = selector.ports else {
            let protocol = selector.protocol.map_or("", |protocol| protocol);
            let message = format!("a rule for {protocol} lacks `ports`");
            let help = "ports: 443 or ports: 1024-65535; ports: 0-65535 for all";
            self.faults.push(Fault::error(selector.place, message).help(help));
            return None;
        };
        let ports = ports.value?;
        right.then_some(Ports { first: ports.first, last: ports.last })
    }

    /// ICMP of either family: type and code.
    fn icmp(&mut self, selector: &Selector<'_>) -> Option<(Option<u8>, Option<u8>)> {
        let right = self.none_of(selector, true, false);
        if let (None, Some(code)) = (selector.icmp_type, selector.icmp_code) {
            let fault = Fault::error(code.place, "an ICMP code without a type");
            self.faults.push(fault.help("codes mean something within a type only: add `type`"));
            return None;
        }
        let icmp_type = selector.icmp_type.and_then(|it| it.value);
        let icmp_code = selector.icmp_code.map(|it| it.value);
        right.then_some((icmp_type, icmp_code))
    }

    /// ICMP is of IPv4 and ICMPv6 of IPv6: a rule for one with a block of the other matches nothing.
    pub(super) fn can_match(&mut self, selector: &Selector<'_>, traffic: Traffic, peer: At<IpNet>) {
        let (is, should_be) = match (traffic, peer.value) {
            (Traffic::Icmp { .. }, IpNet::V6(_)) => ("icmp", "icmpv6"),
            (Traffic::Icmpv6 { .. }, IpNet::V4(_)) => ("icmpv6", "icmp"),
            _ => return,
        };
        let place = selector.protocol.map_or(selector.place, |protocol| protocol.place);
        let message = format!("no packet matches: there is no {is} to or from {}", peer.value);
        let fault = Fault::warning(place, message).label(peer.place, "the block");
        self.faults.push(fault.help(format!("write {should_be}")));
    }

    /// Protocols of which nothing more can be said.
    fn bare(&mut self, selector: &Selector<'_>) -> bool {
        self.none_of(selector, true, true)
    }

    fn none_of(&mut self, selector: &Selector<'_>, ports: bool, icmp: bool) -> bool {
        let wrong = [
            ("ports", ports.then_some(selector.ports).flatten().map(|it| it.place)),
            ("type", icmp.then_some(selector.icmp_type).flatten().map(|it| it.place)),
            ("code", icmp.then_some(selector.icmp_code).flatten().map(|it| it.place)),
        ];
        let mut right = true;
        for (key, place) in wrong.into_iter().filter_map(|(key, place)| Some((key, place?))) {
            let protocol = selector.protocol.map_or("", |protocol| protocol);
            let message = format!("`{key}` in a rule for protocol {protocol}");
            let help = if key == "ports" {
                "only tcp and udp have ports"
            } else {
                "only icmp and icmpv6 have types and codes"
            };
            self.faults.push(Fault::error(place, message).help(help));
            right = false;
        }
        right
    }
}
