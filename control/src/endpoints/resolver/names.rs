//! What does Amazon call an instance? AWS "Amazon EC2 instance hostnames and domains".

use std::net::Ipv4Addr;

/// The region whose names are shorter than those of others.
const FIRST_REGION: &str = "us-east-1";

/// The domain of private names in a region.
pub(crate) fn private_domain(region: &str) -> String {
    match region {
        FIRST_REGION => "ec2.internal".to_owned(),
        _ => format!("{region}.compute.internal"),
    }
}

/// The private name of an address: `ip-10-0-0-5.ec2.internal`.
pub(crate) fn private_name(region: &str, address: Ipv4Addr) -> String {
    format!("ip-{}.{}", dashed(address), private_domain(region))
}

/// The private name of an instance: `i-0123456789abcdef0.ec2.internal`.
pub(crate) fn resource_name(region: &str, instance: &str) -> String {
    format!("{instance}.{}", private_domain(region))
}

/// The domain of public names in a region.
pub(crate) fn public_domain(region: &str) -> String {
    match region {
        FIRST_REGION => "compute-1.amazonaws.com".to_owned(),
        _ => format!("{region}.compute.amazonaws.com"),
    }
}

/// The public name of an address: `ec2-198-51-100-20.compute-1.amazonaws.com`.
pub(crate) fn public_name(region: &str, address: Ipv4Addr) -> String {
    format!("ec2-{}.{}", dashed(address), public_domain(region))
}

fn dashed(address: Ipv4Addr) -> String {
    address.to_string().replace('.', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_region_has_names_of_its_own() {
        let (private, public) = (Ipv4Addr::new(10, 0, 0, 5), Ipv4Addr::new(203, 0, 113, 25));
        assert_eq!(private_name("us-east-1", private), "ip-10-0-0-5.ec2.internal");
        assert_eq!(private_name("eu-west-1", private), "ip-10-0-0-5.eu-west-1.compute.internal");
        let id = "i-0123456789abcdef0";
        assert_eq!(resource_name("us-east-1", id), "i-0123456789abcdef0.ec2.internal");
        assert_eq!(public_name("us-east-1", public), "ec2-203-0-113-25.compute-1.amazonaws.com");
        assert_eq!(
            public_name("eu-west-1", public),
            "ec2-203-0-113-25.eu-west-1.compute.amazonaws.com"
        );
    }
}
