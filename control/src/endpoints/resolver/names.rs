//! What is an instance called in DNS (AWS "Amazon EC2 instance hostname types")?

use std::net::Ipv4Addr;

use crate::check::{self, VpcEndpoint};

/// The name by its private address, such as `ip-10-0-0-5.ec2.internal`.
pub(crate) fn private_name(region: &str, address: Ipv4Addr) -> String {
    format!("ip-{}.{}", dashed(address), private_domain(region))
}

/// The name by its id, such as `i-0123456789abcdef0.ec2.internal`.
pub(crate) fn resource_name(region: &str, instance: &str) -> String {
    format!("{instance}.{}", private_domain(region))
}

/// The name by its public address, such as `ec2-203-0-113-25.compute-1.amazonaws.com`.
pub(crate) fn public_name(region: &str, address: Ipv4Addr) -> String {
    format!("ec2-{}.{}", dashed(address), public_domain(region))
}

/// What public names end with.
pub(crate) fn public_domain(region: &str) -> String {
    let domain = services_domain(region);
    match region {
        "us-east-1" => format!("compute-1.{domain}"),
        _ => format!("{region}.compute.{domain}"),
    }
}

/// What the names of AWS's services in a region end with (AWS "Amazon Resource Names": partitions).
pub(crate) fn services_domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// The name of an interface endpoint, or of its network interface in one zone, such as
/// `vpce-0123456789abcdef0-01234567-us-east-1a.secretsmanager.us-east-1.vpce.amazonaws.com`.
pub(crate) fn endpoint_name(region: &str, endpoint: &VpcEndpoint, zone: Option<&str>) -> String {
    let hash = check::id("name", &endpoint.id, None);
    let hash = hash.get(hash.len() - 8..).unwrap_or_default();
    let zone = zone.map(|zone| format!("-{zone}")).unwrap_or_default();
    let (id, service) = (&endpoint.id, endpoint.service.host);
    format!("{id}-{hash}{zone}.{service}.{region}.vpce.{}", services_domain(region))
}

/// What private names end with: the domain name of the default DHCP option set (AWS "DHCP option sets").
pub(crate) fn private_domain(region: &str) -> String {
    match region {
        "us-east-1" => "ec2.internal".to_owned(),
        _ => format!("{region}.compute.internal"),
    }
}

fn dashed(address: Ipv4Addr) -> String {
    address.to_string().replace('.', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_ec2_in_its_first_region_and_in_others() {
        let (private, public) = (Ipv4Addr::new(10, 0, 0, 5), Ipv4Addr::new(203, 0, 113, 25));
        let id = "i-0123456789abcdef0";
        for (region, names) in [
            (
                "us-east-1",
                [
                    "ip-10-0-0-5.ec2.internal",
                    "i-0123456789abcdef0.ec2.internal",
                    "ec2-203-0-113-25.compute-1.amazonaws.com",
                ],
            ),
            (
                "eu-west-1",
                [
                    "ip-10-0-0-5.eu-west-1.compute.internal",
                    "i-0123456789abcdef0.eu-west-1.compute.internal",
                    "ec2-203-0-113-25.eu-west-1.compute.amazonaws.com",
                ],
            ),
            (
                "cn-north-1",
                [
                    "ip-10-0-0-5.cn-north-1.compute.internal",
                    "i-0123456789abcdef0.cn-north-1.compute.internal",
                    "ec2-203-0-113-25.cn-north-1.compute.amazonaws.com.cn",
                ],
            ),
        ] {
            let said = [
                private_name(region, private),
                resource_name(region, id),
                public_name(region, public),
            ];
            assert_eq!(said, names);
        }
    }
}
