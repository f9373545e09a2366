//! Which id does a thing bear, and is it the only one with it?

use std::collections::HashMap;

use crate::check::{Check, Topology};
use crate::diagnostic::Fault;
use crate::model::At;

/// The id of the thing `name` of the kind `prefix` (`eni`, `nat`): as set, else derived from both, the same on every
/// run. EC2's are 17 hexadecimal digits, the first of which is 0.
pub(crate) fn id(prefix: &str, name: &str, set: Option<&At<String>>) -> String {
    match set {
        Some(id) => id.value.clone(),
        None => {
            format!("{prefix}-0{:016x}", fnv1a(prefix.bytes().chain([b'/']).chain(name.bytes())))
        }
    }
}

/// The id of the instance that the network interface `name` is of.
#[must_use]
pub fn instance_id(name: &str) -> String {
    id("i", name, None)
}

/// FNV-1a, 64 bits, with its bits mixed once more (the finalizer of MurmurHash3): short names differ in few bits.
fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

impl Check<'_, '_> {
    /// Set ids look like ids of their kind, and no two things bear the same.
    pub(super) fn ids(&mut self, topology: &Topology) {
        macro_rules! kinds {
            ($($kind:ident $prefix:literal),*) => {$({
                let set: Vec<_> = self.model.$kind.values().filter_map(|it| it.id.as_ref()).collect();
                let derived = topology.$kind.iter().filter(|it| {
                    self.model.$kind.get(&it.name).is_none_or(|declared| declared.id.is_none())
                });
                let derived = derived.map(|it| (it.id.as_str(), it.name.as_str()));
                self.set_ids($prefix, &set, if set.is_empty() { HashMap::new() } else { derived.collect() });
            })*};
        }
        kinds!(
            vpcs "vpc", internet_gateways "igw", egress_only_internet_gateways "eigw", subnets "subnet", route_tables "rtb", nat_gateways "nat",
            security_groups "sg", network_acls "acl", dhcp_options "dopt", network_interfaces "eni", vpc_endpoints "vpce"
        );
    }

    /// `derived`: who bears the ids that are not set.
    fn set_ids(&mut self, prefix: &str, set: &[&At<String>], derived: HashMap<&str, &str>) {
        let mut seen: HashMap<&str, &At<String>> = HashMap::new();
        for &id in set {
            let digits =
                id.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-')).unwrap_or("");
            if !matches!(digits.len(), 8 | 17)
                || !digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
            {
                let message =
                    format!("`{}` is no id of this kind of thing", crate::model::shortened(id));
                let help =
                    format!("such as {prefix}-0123456789abcdef0: 17 hexadecimal digits, or 8");
                self.faults.push(Fault::error(id.place, message).help(help));
            } else if let Some(other) = seen.insert(id, id) {
                let message = format!("the id {} is given to two things", id.value);
                let fault = Fault::error(id.place, message).label(other.place, "first here");
                self.faults.push(fault.help("leave one out: it is then derived from the name"));
            } else if let Some(other) = derived.get(id.as_str()) {
                let message = format!("the id {} is already that of `{other}`", id.value);
                self.faults.push(Fault::error(id.place, message).help("choose another"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_look_like_those_of_ec2_and_never_change() {
        assert_eq!(id("nat", "nat-a", None), "nat-0bc9ae70f1c3a0ebd");
        assert_ne!(id("eni", "a", None)[4..], id("nat", "a", None)[4..]);
        assert_eq!(id("eni", "app", None).len(), "eni-".len() + 17);
    }
}
