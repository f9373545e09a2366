//! Which network interfaces stand beside those of the file? Those that are made while a topology runs, as AWS makes one
//! for whatever starts: they are checked as if the file declared them last, and stay when another file is applied.
//!
//! What they stand on cannot be taken away meanwhile: a file without their subnet or their groups is refused, as AWS
//! refuses to delete what is in use (`DependencyViolation`).

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Fault, Faults, Place};
use crate::model::{self, At};

/// A network interface that no file declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Born {
    /// Its name, unlike any other.
    pub name: String,
    /// The subnet that it lies in.
    pub subnet: String,
    /// Its address; the lowest free one unless it is given.
    pub private_ip: Option<Ipv4Addr>,
    /// Its groups; the VPC's `default` unless they are given.
    pub security_groups: Option<Vec<String>>,
}

/// Adds `born` to what a file says.
pub(super) fn add(born: &[Born], model: &mut model::Topology, faults: &mut Faults) {
    for one in born {
        let Some(place) = one.place(model, faults) else { continue };
        let at = |value: &String| At { place, value: value.clone() };
        let groups = one.security_groups.as_ref();
        let interface = model::NetworkInterface {
            place,
            subnet: Some(at(&one.subnet)),
            private_ip: one.private_ip.map(|value| At { place, value }),
            security_groups: groups
                .map(|groups| At { place, value: groups.iter().map(at).collect() }),
            ..Default::default()
        };
        model.network_interfaces.add(one.name.clone(), place, interface);
    }
}

impl Born {
    /// The place that stands for it in the file: that of its subnet. None after a fault.
    fn place(&self, model: &model::Topology, faults: &mut Faults) -> Option<Place> {
        let Self { name, subnet, .. } = self;
        if let Some(declared) = model.network_interfaces.get(name) {
            let message = format!("network interface `{name}` was made while the topology runs");
            let help = "call the declared one something else, or end what has the other";
            faults.push(Fault::error(declared.place, message).help(help));
            return None;
        }
        let lacks = |kind: &str, what: &str| {
            let message =
                format!("network interface `{name}`, which is in use, needs {kind} `{what}`");
            let help = "keep it, or end what has the interface: `hypertun status` shows it";
            Fault::error(Place::default(), message).help(help)
        };
        let Some(declared) = model.subnets.get(subnet) else {
            faults.push(lacks("subnet", subnet));
            return None;
        };
        for group in self.security_groups.iter().flatten() {
            if group != "default" && !model.security_groups.contains_key(group) {
                faults.push(lacks("security group", group));
                return None;
            }
        }
        Some(declared.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{read, read_beside};

    const TEXT: &str = "
vpcs: {main: {cidr_block: 10.0.0.0/16}}
subnets: {one: {vpc: main, cidr_block: 10.0.1.0/28}}
security_groups: {own: {vpc: main}}
network_interfaces: {app: {subnet: one}}
";

    fn born(name: &str, address: Option<[u8; 4]>) -> Born {
        Born {
            name: name.into(),
            subnet: "one".into(),
            private_ip: address.map(Into::into),
            security_groups: Some(vec!["own".into()]),
        }
    }

    fn refused(born: &[Born], text: &str) -> String {
        let report = read_beside(born, text, "test").unwrap_err();
        report.faults()[0].message.clone()
    }

    #[test]
    fn it_is_as_if_the_file_declared_it_last() {
        let all = [born("a", None), born("b", Some([10, 0, 1, 9]))];
        let sound = read_beside(&all, TEXT, "test").unwrap();
        assert_eq!(sound.born, all);
        let addresses = sound.topology.network_interfaces.iter().map(|it| it.private_ip.unwrap());
        let addresses: Vec<_> = addresses.map(|it| it.octets()[3]).collect();
        assert_eq!(addresses, [4, 5, 9]);
        let declared = TEXT.replace(
            "app: {subnet: one}",
            "app: {subnet: one}, a: {subnet: one, security_groups: [own]}",
        );
        let declared = read(&declared, "test").unwrap().topology;
        let as_born = read_beside(&all[..1], TEXT, "test").unwrap().topology;
        assert_eq!(as_born, declared);
    }

    #[test]
    fn what_it_stands_on_stays() {
        let one = [born("a", Some([10, 0, 1, 9]))];
        let refused = |old: &str, new: &str| refused(&one, &TEXT.replace(old, new));
        let needs = "network interface `a`, which is in use, needs";
        assert_eq!(refused("one", "two"), format!("{needs} subnet `one`"));
        assert_eq!(refused("{own:", "{other:"), format!("{needs} security group `own`"));
        let taken = refused("app: {subnet: one}", "app: {subnet: one, private_ip: 10.0.1.9}");
        assert_eq!(taken, "10.0.1.9 is taken");
        let named = refused("app:", "a:");
        assert_eq!(named, "network interface `a` was made while the topology runs");
    }

    #[test]
    fn a_subnet_has_an_end() {
        let all: Vec<_> = (0..11).map(|number| born(&format!("n{number}"), None)).collect();
        assert!(read_beside(&all[..10], TEXT, "test").is_ok());
        assert_eq!(refused(&all, TEXT), "subnet `one` has no address left for `n10`");
        let reserved = refused(&[born("a", Some([10, 0, 1, 2]))], TEXT);
        assert_eq!(reserved, "AWS keeps 10.0.1.2 of subnet `one` for itself");
    }
}
