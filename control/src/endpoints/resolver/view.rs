//! What does one VPC's resolver say of a name? Of the VPC's own zones the one with the longest fitting domain answers, and
//! only where none fits one of the internet (Route 53 "Working with private hosted zones"). CNAMEs are followed, also
//! into other zones.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::population;
use super::zone::{Found, Set, Zone};
use crate::check::{Topology, VpcIndex};

/// The most CNAMEs that are followed; unbound follows as many.
const MOST_ALIASES: usize = 11;

/// All that the resolver of one VPC knows.
#[derive(Clone, Debug)]
pub struct View {
    /// Private hosted zones and those of Amazon's names, by their domains in lower case.
    own: HashMap<Name, Zone>,
    /// Those of the internet; one is that of the root.
    internet: HashMap<Name, Zone>,
    /// Whom it answers by DNS64.
    dns64: HashSet<IpAddr>,
}

/// What becomes of a question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resolution {
    /// Whether there is such a name.
    pub(crate) code: ResponseCode,
    /// CNAMEs first, in their order.
    pub(crate) answers: Vec<Record>,
    /// The SOA that says for how long there is no other answer.
    pub(crate) negative: Option<Record>,
}

impl View {
    /// That of a VPC.
    #[must_use]
    pub fn of(topology: &Topology, vpc: VpcIndex) -> Self {
        let here = topology.network_interfaces.iter().filter(|it| {
            let subnet = &topology[it.subnet];
            subnet.vpc == vpc && subnet.dns64
        });
        let dns64 = here.flat_map(|it| it.addresses()).collect();
        let [own, internet] = population::zones(topology, vpc).map(|zones| {
            zones.into_iter().map(|zone| (zone.apex().to_lowercase(), zone)).collect()
        });
        Self { own, internet, dns64 }
    }

    /// Whether it answers `client` by DNS64.
    pub(super) fn is_dns64(&self, client: IpAddr) -> bool {
        self.dns64.contains(&client)
    }

    /// What it says of `name`, without DNS64.
    pub(super) fn resolve(&self, name: &Name, kind: RecordType) -> Resolution {
        let mut answers = Vec::new();
        let mut name = name.clone();
        for _ in 0..=MOST_ALIASES {
            let zone = self.zone_of(&name);
            let lowered = name.to_lowercase();
            let (code, negative) = match zone.find(&lowered, kind) {
                Found::Alias(set) => {
                    answers.extend(records(&name, set));
                    let Some(RData::CNAME(target)) = set.data.first() else { break };
                    name = target.0.clone();
                    continue;
                }
                Found::Sets(sets) => {
                    answers.extend(sets.into_iter().flat_map(|set| records(&name, set)));
                    (ResponseCode::NoError, None)
                }
                Found::NoData => (ResponseCode::NoError, Some(zone.negative())),
                Found::NoName => (ResponseCode::NXDomain, Some(zone.negative())),
            };
            return Resolution { code, answers, negative };
        }
        Resolution::failed()
    }

    /// The zone that speaks for `name`.
    fn zone_of(&self, name: &Name) -> &Zone {
        let found = longest(&self.own, name).or_else(|| longest(&self.internet, name));
        found.expect("every view has the root")
    }
}

impl Resolution {
    /// Whether there is no such name.
    pub(crate) fn is_unknown(&self) -> bool {
        self.code == ResponseCode::NXDomain
    }

    /// No answer is possible.
    pub(super) const fn failed() -> Self {
        Self { code: ResponseCode::ServFail, answers: Vec::new(), negative: None }
    }
}

/// The zone with the longest domain that `name` is of.
fn longest<'z>(zones: &'z HashMap<Name, Zone>, name: &Name) -> Option<&'z Zone> {
    let mut domain = name.to_lowercase();
    loop {
        match zones.get(&domain) {
            Some(zone) => return Some(zone),
            None if domain.is_root() => return None,
            None => domain = domain.base_name(),
        }
    }
}

fn records<'s>(name: &'s Name, set: &'s Set) -> impl Iterator<Item = Record> + 's {
    set.data.iter().map(|data| Record::from_rdata(name.clone(), set.ttl, data.clone()))
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
