//! What stands in subnets and on the internet, and is there what it needs?

use std::collections::HashMap;
use std::ops::RangeInclusive;

use dataplane::tables::ConnectionTracking;
use dataplane::time::Span;

use crate::check::addresses::Addresses;
use crate::check::ids::id;
use crate::check::{
    Check, InternetHost, MetadataOptions, NetworkInterface, Role, SecurityGroupIndex, Service,
    SubnetIndex, VpcIndex,
};
use crate::diagnostic::{Fault, Place};
use crate::model::{self, At, ServiceWord, Switch, TokensWord, shortened};

impl Check<'_, '_> {
    pub(super) fn network_interfaces(&mut self, addresses: &Addresses) -> Vec<NetworkInterface> {
        let mut interfaces = Vec::new();
        for (index, (name, interface)) in self.model.network_interfaces.iter().enumerate() {
            let subnet = self.homes.network_interfaces[index];
            let home = self.homes.vpc(subnet);
            let groups = match &interface.security_groups {
                Some(groups) => self.groups_of(groups, home),
                None => home.and_then(|vpc| self.words.groups[vpc.0]).into_iter().collect(),
            };
            let (private_ip, public_ip) = addresses.network_interfaces[index];
            let ipv6_addresses = addresses.ipv6[index].clone();
            self.addressed(name, interface, subnet);
            if let (Some(vpc), Some(_)) = (home, public_ip) {
                let place = interface.public_ip.map_or(interface.place, |it| it.place);
                self.reachable(name, place, vpc);
            }
            let tracking = interface.connection_tracking_specification.as_ref();
            let connection_tracking =
                tracking.map(|it| self.connection_tracking(it)).unwrap_or_default();
            let metadata = interface.metadata_options.as_ref();
            let metadata = metadata.map(|it| self.metadata(it)).unwrap_or_default();
            let Some(subnet) = subnet else { continue };
            if private_ip.is_none() && ipv6_addresses.is_empty() {
                continue;
            }
            interfaces.push(NetworkInterface {
                name: name.clone(),
                id: id("eni", name, interface.id.as_ref()),
                subnet,
                private_ip,
                ipv6_addresses,
                security_groups: groups,
                public_ip,
                source_dest_check: interface.source_dest_check.is_none_or(|it| it.value),
                connection_tracking,
                metadata,
                role: Role::Interface,
            });
        }
        interfaces
    }

    /// How the metadata service answers an interface (AWS "InstanceMetadataOptionsRequest").
    fn metadata(&mut self, written: &model::MetadataOptions) -> MetadataOptions {
        let default = MetadataOptions::default();
        let is_on = |switch: Option<At<Switch>>, default: bool| {
            switch.map_or(default, |it| it.value == Switch::Enabled)
        };
        let hops = written.http_put_response_hop_limit.filter(|it| {
            let hops = At { place: it.place, value: u32::from(it.value) };
            self.is_within("http_put_response_hop_limit", &hops, 1..=64)
        });
        MetadataOptions {
            endpoint: is_on(written.http_endpoint, default.endpoint),
            tokens_required: written.http_tokens.is_some_and(|it| it.value == TokensWord::Required),
            put_response_hop_limit: hops.map_or(default.put_response_hop_limit, |it| it.value),
            ipv6: is_on(written.http_protocol_ipv6, default.ipv6),
        }
    }

    /// In a subnet of IPv6 alone, an interface has an address of IPv6 or none.
    fn addressed(
        &mut self,
        name: &str,
        interface: &At<model::NetworkInterface>,
        subnet: Option<SubnetIndex>,
    ) {
        let assigns = self.subnet_of(subnet).and_then(|(_, it)| it.assign_ipv6_address_on_creation);
        let place = match &interface.ipv6_addresses {
            Some(addresses) if addresses.is_empty() => addresses.place,
            None if assigns.is_some_and(|it| !it.value) => interface.place,
            _ => return,
        };
        if self.is_native(subnet) {
            let fault = Fault::error(place, format!("network interface `{name}` has no address"));
            self.faults.push(fault.help("give it one: its subnet is of IPv6 alone"));
        }
    }

    /// AWS "Amazon EC2 security group connection tracking", "Configurable timeouts".
    fn connection_tracking(&mut self, written: &model::ConnectionTracking) -> ConnectionTracking {
        let mut timeout = |key: &str, written: &Option<At<u32>>, bounds: RangeInclusive<u32>| {
            let written = written.as_ref()?;
            self.is_within(key, written, bounds).then(|| Span::seconds(written.value))
        };
        ConnectionTracking {
            tcp_established: timeout(
                "tcp_established_timeout",
                &written.tcp_established_timeout,
                60..=432_000,
            ),
            udp: timeout("udp_timeout", &written.udp_timeout, 30..=60),
            udp_stream: timeout("udp_stream_timeout", &written.udp_stream_timeout, 60..=180),
        }
    }

    pub(super) fn groups_of(
        &mut self,
        names: &At<Vec<At<String>>>,
        home: Option<VpcIndex>,
    ) -> Vec<SecurityGroupIndex> {
        if names.is_empty() {
            let fault = Fault::error(names.place, "a network interface without a security group");
            let help = "name one, or leave `security_groups` out for the VPC's `default`";
            self.faults.push(fault.help(help));
        }
        let mut seen: HashMap<SecurityGroupIndex, Place> = HashMap::new();
        let mut groups = Vec::new();
        for name in &names.value {
            let Some(group) = self.group(name, home) else { continue };
            if let Some(first) = seen.insert(group, name.place) {
                let message = format!("security group `{}` is named twice", shortened(name));
                let fault = Fault::error(name.place, message).label(first, "first here");
                self.faults.push(fault.help("remove one"));
            }
            groups.push(group);
        }
        groups
    }

    /// A public address is of use only where there is an internet gateway.
    fn reachable(&mut self, name: &str, place: Place, vpc: VpcIndex) {
        if self.homes.gateways[vpc.0].is_none() {
            let vpc = self.vpc_name(vpc);
            let message = format!(
                "the public address of `{name}` leads nowhere: VPC `{vpc}` has no internet gateway"
            );
            let help = format!("declare one: internet_gateways: {{igw: {{vpc: {vpc}}}}}");
            self.faults.push(Fault::warning(place, message).help(help));
        }
    }

    pub(super) fn internet_hosts(&mut self, addresses: &Addresses) -> Vec<InternetHost> {
        let mut hosts = Vec::new();
        for (name, host) in self.model.internet.iter().flat_map(|it| it.hosts.iter()) {
            let Some(own) = &host.addresses else { continue };
            if own.is_empty() {
                let fault =
                    Fault::error(own.place, format!("internet host `{name}` has no address"));
                self.faults.push(fault.help("give it one, such as 203.0.113.80"));
            }
            let mut serves = Vec::new();
            for word in host.serves.iter().flat_map(|words| &words.value) {
                let service = match word.value {
                    ServiceWord::Checkip => Service::Checkip,
                    ServiceWord::Echo => Service::Echo,
                    ServiceWord::Discard => Service::Discard,
                };
                if serves.contains(&service) {
                    let fault = Fault::error(word.place, "this service is named twice");
                    self.faults.push(fault.help("remove one"));
                }
                serves.push(service);
            }
            hosts.push(InternetHost {
                name: name.clone(),
                addresses: own.iter().map(|address| address.value).collect(),
                serves,
                namespace: host.serves.is_none(),
                implicit: false,
            });
        }
        hosts.extend(self.service_hosts(&addresses.services));
        hosts
    }
}
