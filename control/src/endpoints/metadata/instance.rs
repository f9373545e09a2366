//! What is there to say of a network interface, as if it were the one of an instance (AWS "Access instance metadata for
//! an EC2 instance": instance metadata categories, instance identity documents)?
//!
//! What a topology does not know (image, type, account) is the same for all.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::SystemTime;

use serde_json::json;

use super::MetadataOptions;
use crate::check::{NetworkInterface, NetworkInterfaceIndex, Topology, id, instance_id};
use crate::endpoints::resolver::names;

/// The account that everything belongs to; the one of AWS's own examples.
const ACCOUNT: &str = "123456789012";

/// The image that instances run; the one of AWS's own examples.
const IMAGE: &str = "ami-0abcdef1234567890";

/// A type on the Nitro system, which alone has the service over IPv6.
const INSTANCE_TYPE: &str = "m5.large";

const ARCHITECTURE: &str = "x86_64";

/// One network interface and the instance behind it.
#[derive(Clone, Debug)]
pub(in crate::endpoints) struct Instance {
    pub(super) options: MetadataOptions,
    interface: NetworkInterface,
    region: String,
    availability_zone: String,
    subnet: Network,
    vpc: Network,
    /// By name, and by id.
    groups: (Vec<String>, Vec<String>),
    /// Whether a public address has a name.
    public_names: bool,
}

/// An id, and blocks as they are written.
#[derive(Clone, Debug)]
struct Network {
    id: String,
    ipv4: Vec<String>,
    ipv6: Vec<String>,
}

impl Instance {
    pub(in crate::endpoints) fn of(topology: &Topology, index: NetworkInterfaceIndex) -> Self {
        let interface = topology[index].clone();
        let subnet = &topology[interface.subnet];
        let vpc = &topology[subnet.vpc];
        let text = |block: &dyn ToString| block.to_string();
        let groups = interface.security_groups.iter().map(|&group| &topology[group]);
        Self {
            options: interface.metadata,
            region: topology.region.clone(),
            availability_zone: subnet.availability_zone.clone(),
            subnet: Network {
                id: subnet.id.clone(),
                ipv4: subnet.cidr.iter().map(|it| text(it)).collect(),
                ipv6: subnet.ipv6_cidr.iter().map(|it| text(it)).collect(),
            },
            vpc: Network {
                id: vpc.id.clone(),
                ipv4: vpc.cidrs.iter().map(|it| text(it)).collect(),
                ipv6: vpc.ipv6_cidr.iter().map(|it| text(it)).collect(),
            },
            groups: groups.map(|group| (group.name.clone(), group.id.clone())).unzip(),
            public_names: vpc.dns_support && vpc.dns_hostnames,
            interface,
        }
    }

    #[cfg(test)]
    pub(in crate::endpoints) fn set_options(&mut self, options: MetadataOptions) {
        self.options = options;
    }

    /// The interface's, `eni-…`.
    pub(super) fn id(&self) -> &str {
        &self.interface.id
    }

    /// All values by their paths below a version, for an instance that was launched at `began`. What there is not has no
    /// path.
    pub(super) fn leaves(&self, began: SystemTime) -> BTreeMap<String, String> {
        let mut leaves = BTreeMap::new();
        let document = self.identity_document(began);
        leaves.insert("dynamic/instance-identity/document".to_owned(), document);
        for (path, value) in self.of_the_instance() {
            leaves.insert(format!("meta-data/{path}"), value);
        }
        let mac = self.mac();
        for (path, value) in self.of_the_interface() {
            leaves.insert(format!("meta-data/network/interfaces/macs/{mac}/{path}"), value);
        }
        leaves
    }

    fn of_the_instance(&self) -> impl Iterator<Item = (&'static str, String)> {
        let NetworkInterface { name, private_ip, public_ip, ipv6_addresses, .. } = &self.interface;
        let partition = match self.region.split('-').collect::<Vec<_>>()[..] {
            ["cn", ..] => "aws-cn",
            ["us", "gov", ..] => "aws-us-gov",
            _ => "aws",
        };
        let always = [
            ("ami-id", IMAGE.to_owned()),
            ("ami-launch-index", "0".to_owned()),
            ("hostname", self.private_name()),
            ("instance-action", "none".to_owned()),
            ("instance-id", self.instance_id()),
            ("instance-life-cycle", "on-demand".to_owned()),
            ("instance-type", INSTANCE_TYPE.to_owned()),
            ("local-hostname", self.private_name()),
            ("mac", self.mac()),
            ("placement/availability-zone", self.availability_zone.clone()),
            ("placement/region", self.region.clone()),
            ("reservation-id", id("r", name, None)),
            ("security-groups", self.groups.0.join("\n")),
            ("services/domain", names::services_domain(&self.region).to_owned()),
            ("services/partition", partition.to_owned()),
        ];
        let sometimes = [
            ("local-ipv4", private_ip.map(|it| it.to_string())),
            ("public-ipv4", public_ip.map(|it| it.to_string())),
            ("public-hostname", self.public_name()),
            ("ipv6", ipv6_addresses.first().map(Ipv6Addr::to_string)),
        ];
        always.into_iter().chain(some(sometimes))
    }

    fn of_the_interface(&self) -> impl Iterator<Item = (String, String)> {
        let Self { interface, subnet, vpc, .. } = self;
        let address = |address: Option<Ipv4Addr>| address.map(|it| it.to_string());
        let first = |blocks: &[String]| blocks.first().cloned();
        let lines = |blocks: &[String]| (!blocks.is_empty()).then(|| blocks.join("\n"));
        let ipv6s: Vec<String> = interface.ipv6_addresses.iter().map(Ipv6Addr::to_string).collect();
        let always = [
            ("device-number", "0".to_owned()),
            ("interface-id", interface.id.clone()),
            ("local-hostname", self.private_name()),
            ("mac", self.mac()),
            ("owner-id", ACCOUNT.to_owned()),
            ("security-group-ids", self.groups.1.join("\n")),
            ("security-groups", self.groups.0.join("\n")),
            ("subnet-id", subnet.id.clone()),
            ("vpc-id", vpc.id.clone()),
        ];
        let sometimes = [
            ("ipv6s", lines(&ipv6s)),
            ("local-ipv4s", address(interface.private_ip)),
            ("public-hostname", self.public_name()),
            ("public-ipv4s", address(interface.public_ip)),
            ("subnet-ipv4-cidr-block", first(&subnet.ipv4)),
            ("subnet-ipv6-cidr-blocks", lines(&subnet.ipv6)),
            ("vpc-ipv4-cidr-block", first(&vpc.ipv4)),
            ("vpc-ipv4-cidr-blocks", lines(&vpc.ipv4)),
            ("vpc-ipv6-cidr-blocks", lines(&vpc.ipv6)),
        ];
        let association = interface
            .public_ip
            .zip(interface.private_ip)
            .map(|(public, private)| (format!("ipv4-associations/{public}"), private.to_string()));
        let named = always.into_iter().chain(some(sometimes));
        named.map(|(path, value)| (path.to_owned(), value)).chain(association)
    }

    /// Unsigned.
    fn identity_document(&self, began: SystemTime) -> String {
        let document = json!({
            "accountId": ACCOUNT,
            "architecture": ARCHITECTURE,
            "availabilityZone": self.availability_zone,
            "billingProducts": null,
            "devpayProductCodes": null,
            "marketplaceProductCodes": null,
            "imageId": IMAGE,
            "instanceId": self.instance_id(),
            "instanceType": INSTANCE_TYPE,
            "kernelId": null,
            "pendingTime": humantime::format_rfc3339_seconds(began).to_string(),
            "privateIp": self.interface.private_ip,
            "ramdiskId": null,
            "region": self.region,
            "version": "2017-09-30",
        });
        format!("{document:#}")
    }

    fn instance_id(&self) -> String {
        instance_id(&self.interface.name)
    }

    /// Locally administered (IEEE 802), derived from the interface's name.
    fn mac(&self) -> String {
        let digits = id("mac", &self.interface.name, None);
        let pairs = digits.as_bytes().rchunks(2).take(5);
        pairs.fold("02".to_owned(), |mac, pair| format!("{mac}:{}", String::from_utf8_lossy(pair)))
    }

    /// By its address of IPv4, or without one by its id (AWS "Amazon EC2 instance hostname types").
    fn private_name(&self) -> String {
        match self.interface.private_ip {
            Some(address) => names::private_name(&self.region, address),
            None => names::resource_name(&self.region, &self.instance_id()),
        }
    }

    fn public_name(&self) -> Option<String> {
        let address = self.interface.public_ip.filter(|_| self.public_names)?;
        Some(names::public_name(&self.region, address))
    }
}

/// Those that there are.
fn some<const N: usize>(
    values: [(&'static str, Option<String>); N],
) -> impl Iterator<Item = (&'static str, String)> {
    values.into_iter().filter_map(|(path, value)| Some((path, value?)))
}
