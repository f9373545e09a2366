//! What does a topology hold, in a few lines?

use crate::check::{PROVIDER, Topology, VpcIndex};

impl Topology {
    /// A line for each VPC and one for the internet: names, blocks, and how many there are of what.
    #[must_use]
    pub fn summary(&self) -> Vec<String> {
        let mut lines: Vec<_> = (0..self.vpcs.len())
            .map(VpcIndex)
            .filter(|&it| self[it].name != PROVIDER)
            .map(|it| self.vpc_line(it))
            .collect();
        for workload in &self.workloads {
            lines.push(workload.line());
        }
        let declared = self.internet_hosts.iter().filter(|host| !host.implicit);
        let names: Vec<_> = declared.map(|host| host.name.as_str()).collect();
        if !names.is_empty() {
            let hosts = counted(names.len(), "host");
            lines.push(format!("internet: {hosts} ({})", names.join(", ")));
        }
        lines
    }

    fn vpc_line(&self, index: VpcIndex) -> String {
        let vpc = &self[index];
        let blocks: Vec<_> = vpc.blocks().map(|block| block.to_string()).collect();
        let here = |vpc: VpcIndex| vpc == index;
        let counts = [
            (self.subnets.iter().filter(|it| here(it.vpc)).count(), "subnet"),
            (self.route_tables.iter().filter(|it| here(it.vpc)).count(), "route table"),
            (self.internet_gateways.iter().filter(|it| here(it.vpc)).count(), "internet gateway"),
            (
                self.egress_only_internet_gateways.iter().filter(|it| here(it.vpc)).count(),
                "egress-only internet gateway",
            ),
            (
                self.nat_gateways.iter().filter(|it| here(self[it.subnet].vpc)).count(),
                "NAT gateway",
            ),
            (self.security_groups.iter().filter(|it| here(it.vpc)).count(), "security group"),
            (self.network_acls.iter().filter(|it| here(it.vpc)).count(), "network ACL"),
            (
                self.network_interfaces
                    .iter()
                    .filter(|it| it.is_seat() && here(self[it.subnet].vpc))
                    .count(),
                "network interface",
            ),
            (
                self.hyperplanes.iter().filter(|it| here(self[it.subnet].vpc)).count(),
                "Hyperplane ENI",
            ),
            (self.vpc_endpoints.iter().filter(|it| here(it.vpc)).count(), "VPC endpoint"),
        ];
        let counts = counts.into_iter().filter(|&(count, _)| count > 0);
        let counts: Vec<_> = counts.map(|(count, what)| counted(count, what)).collect();
        format!("VPC {} {}: {}", vpc.name, blocks.join(", "), counts.join(", "))
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
