//! Where do the containers of a network come to sit? On the interfaces of one subnet, or on the instances of one
//! workload: as the options of the network say, and the topology that runs.

use std::fmt;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::check::{NetworkInterface, Role, SubnetIndex, Topology, Workload};
use crate::docker::messages::Options;
use crate::docker::options::text;
use crate::docker::refused::Refused;

/// A subnet or a workload, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Home {
    Subnet(String),
    Workload(String),
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subnet(name) => write!(f, "subnet={name}"),
            Self::Workload(name) => write!(f, "workload={name}"),
        }
    }
}

impl Home {
    /// What options say, if they say anything of it.
    pub(super) fn of(options: &Options) -> Result<Option<Self>, Refused> {
        match (text(options, "subnet")?, text(options, "workload")?) {
            (None, None) => Ok(None),
            (Some(name), None) => Ok(Some(Self::Subnet(name.to_owned()))),
            (None, Some(name)) => Ok(Some(Self::Workload(name.to_owned()))),
            (Some(_), Some(_)) => Err(Refused::TwoHomes),
        }
    }

    /// The one subnet of a block.
    pub(super) fn of_block(block: Ipv4Net, topology: &Topology) -> Result<Self, Refused> {
        let mut subnets = subnets(topology).filter(|it| it.cidr == Some(block));
        match (subnets.next(), subnets.next()) {
            (Some(subnet), None) => Ok(Self::Subnet(subnet.name.clone())),
            (None, _) => Err(Refused::NoHome),
            _ => Err(Refused::SeveralSubnets(block.to_string())),
        }
    }

    /// What an engine calls it, for which a pool of addresses has no state.
    pub(super) fn pool(&self) -> String {
        self.to_string()
    }

    /// What an engine calls by that name.
    pub(super) fn of_pool(id: &str) -> Option<Self> {
        match id.split_once('=')? {
            ("subnet", name) => Some(Self::Subnet(name.to_owned())),
            ("workload", name) => Some(Self::Workload(name.to_owned())),
            _ => None,
        }
    }

    /// The same in a topology.
    pub(super) fn find<'t>(&self, topology: &'t Topology) -> Result<Found<'t>, Refused> {
        match self {
            Self::Subnet(name) => {
                let at = topology.subnets.iter().position(|it| it.name == *name);
                let at = at.filter(|&at| is_of_file(topology, SubnetIndex(at)));
                let there = || subnets(topology).map(|it| it.name.clone()).collect();
                let at = at.ok_or_else(|| unknown("subnet", name, there()))?;
                let block = topology.subnets[at].cidr;
                let block = block.ok_or_else(|| Refused::NoIpv4(name.clone()))?;
                Ok(Found { topology, block, place: FoundPlace::Subnet(SubnetIndex(at)) })
            }
            Self::Workload(name) => {
                let workload = topology.workloads.iter().find(|it| it.name == *name);
                let there = || topology.workloads.iter().map(|it| it.name.clone()).collect();
                let workload = workload.ok_or_else(|| unknown("workload", name, there()))?;
                let first = workload.instances.first().map(|&it| topology[it].subnet);
                let block = first.and_then(|it| topology[it].cidr);
                let block = block.ok_or_else(|| Refused::NoIpv4(name.clone()))?;
                Ok(Found { topology, block, place: FoundPlace::Workload(workload) })
            }
        }
    }
}

fn unknown(kind: &'static str, name: &str, there: Vec<String>) -> Refused {
    Refused::Unknown { kind, name: name.to_owned(), place: "", there }
}

/// Whether a file declares a subnet: not those that workloads run in.
fn is_of_file(topology: &Topology, subnet: SubnetIndex) -> bool {
    topology[topology[subnet].vpc].name != crate::check::PROVIDER
}

fn subnets(topology: &Topology) -> impl Iterator<Item = &crate::check::Subnet> {
    let all = topology.subnets.iter().enumerate();
    all.filter(|&(at, _)| is_of_file(topology, SubnetIndex(at))).map(|(_, subnet)| subnet)
}

/// A home as it is now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'t> {
    topology: &'t Topology,
    pub(super) block: Ipv4Net,
    place: FoundPlace<'t>,
}

#[derive(Clone, Copy, Debug)]
enum FoundPlace<'t> {
    Subnet(SubnetIndex),
    Workload(&'t Workload),
}

impl<'t> Found<'t> {
    /// The network interfaces that its containers may have, in order: those of a workload are its instances.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = &'t NetworkInterface> + use<'t> {
        let Self { topology, place, .. } = *self;
        let is_here = move |(at, it): &(usize, &NetworkInterface)| match place {
            FoundPlace::Subnet(subnet) => it.role == Role::Interface && it.subnet == subnet,
            FoundPlace::Workload(workload) => workload.instances.iter().any(|one| one.0 == *at),
        };
        topology.network_interfaces.iter().enumerate().filter(is_here).map(|(_, it)| it)
    }

    /// The interface with an address.
    pub(super) fn holder(&self, address: Ipv4Addr) -> Option<&'t NetworkInterface> {
        self.interfaces().find(|it| it.private_ip == Some(address))
    }

    /// The next hop of its interfaces; instances of workloads have none.
    pub(super) fn router(&self) -> Option<Ipv4Addr> {
        match self.place {
            FoundPlace::Subnet(subnet) => self.topology[subnet].router(),
            FoundPlace::Workload(_) => None,
        }
    }

    /// The length of its addresses' prefixes.
    pub(super) fn length(&self) -> u8 {
        match self.place {
            FoundPlace::Subnet(_) => self.block.prefix_len(),
            FoundPlace::Workload(_) => Ipv4Net::from(Ipv4Addr::UNSPECIFIED).prefix_len(),
        }
    }

    /// The names of the groups that an interface made here may have; none are made for workloads.
    pub(super) fn groups(&self) -> Vec<&'t str> {
        let FoundPlace::Subnet(subnet) = self.place else { return Vec::new() };
        let vpc = self.topology[subnet].vpc;
        let groups = self.topology.security_groups.iter().filter(|it| it.vpc == vpc);
        groups.map(|it| it.name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    const TEXT: &str = "
vpcs: {main: {cidr_block: 10.0.0.0/16}, twin: {cidr_block: 10.0.0.0/16}}
subnets:
  one: {vpc: main, cidr_block: 10.0.1.0/24}
  two: {vpc: main, cidr_block: 10.0.2.0/24}
  twin: {vpc: twin, cidr_block: 10.0.2.0/24}
network_interfaces: {app: {subnet: one, private_ip: 10.0.1.10}}
security_groups: {own: {vpc: main}}
app_runner_vpc_connectors: {shared: {subnets: [one]}}
app_runner_services: {web: {egress_type: VPC, vpc_connector: shared, instances: 2}}
";

    fn topology() -> Topology {
        let sound = check::read(TEXT, "test").unwrap_or_else(|report| panic!("{report}"));
        (*sound.topology).clone()
    }

    #[test]
    fn a_pool_is_known_by_its_name_alone() {
        for home in [Home::Subnet("private-a".into()), Home::Workload("web".into())] {
            assert_eq!(Home::of_pool(&home.pool()), Some(home));
        }
        assert_eq!(Home::of_pool("10.0.1.0/24"), None);
        assert_eq!(Home::of_pool("zone=a"), None);
    }

    #[test]
    fn a_block_is_a_subnet_where_there_is_one_alone() {
        let topology = topology();
        let of = |block: &str| Home::of_block(block.parse().unwrap(), &topology);
        assert_eq!(of("10.0.1.0/24").unwrap(), Home::Subnet("one".into()));
        assert!(matches!(of("10.0.2.0/24"), Err(Refused::SeveralSubnets(_))));
        assert!(matches!(of("10.0.3.0/24"), Err(Refused::NoHome)));
        assert!(matches!(of("100.64.0.0/17"), Err(Refused::NoHome)), "it is Amazon's");
    }

    #[test]
    fn a_subnet_has_its_own_interfaces_and_a_workload_its_instances() {
        let topology = topology();
        let names = |home: Home| {
            let found = home.find(&topology).unwrap();
            let names: Vec<_> = found.interfaces().map(|it| it.name.as_str()).collect();
            (names, found.router().map(|it| it.to_string()), found.length(), found.groups())
        };
        // Not the Hyperplane ENIs that stand there too.
        let (subnet, router) = (Home::Subnet("one".into()), Some("10.0.1.1".to_owned()));
        assert_eq!(names(subnet), (vec!["app"], router, 24, vec!["own", "default"]));
        let workload = Home::Workload("web".into());
        assert_eq!(names(workload), (vec!["web/0", "web/1"], None, 32, vec![]));
        let unknown = Home::Subnet("aws:instances".into()).find(&topology).unwrap_err();
        let there = "the topology has no subnet `aws:instances`; it has: one, two, twin";
        assert_eq!(unknown.to_string(), there);
    }
}
