//! What may a topology file say about workloads that live outside its VPCs: App Runner services, Lambda functions?

use super::declare::{record, words};
use super::read::At;

record! {
    /// A VPC connector of App Runner: where its services send into a VPC.
    AppRunnerVpcConnector = "a VPC connector" {
        /// One for each availability zone; all of one VPC.
        required subnets: Vec<At<String>>,
        /// The VPC's `default` by default.
        optional security_groups: Vec<At<String>>,
    }
}

record! {
    /// An App Runner service.
    AppRunnerService = "an App Runner service" {
        /// `DEFAULT` by default: by the internet alone.
        optional egress_type: EgressWord,
        /// The connector, with `VPC`.
        optional vpc_connector: String,
        /// How many run, 1 to 1000; 1 by default.
        optional instances: u16,
        /// `IPV4` by default.
        optional ip_address_type: IpAddressWord,
    }
}

words! {
    /// Where an App Runner service sends.
    EgressWord {
        /// To the internet, by a network of Amazon's.
        "DEFAULT" => Default,
        /// Into a VPC, by a connector.
        "VPC" => Vpc,
    }
}

words! {
    /// What an App Runner service has addresses of.
    IpAddressWord {
        /// IPv4.
        "IPV4" => Ipv4,
        /// IPv4 and IPv6.
        "DUAL_STACK" => DualStack,
    }
}

record! {
    /// A Lambda function.
    LambdaFunction = "a Lambda function" {
        /// Where it sends into a VPC; by the internet alone by default.
        optional vpc_config: VpcConfig,
        /// How many run at once, 1 to 1000; 1 by default.
        optional instances: u16,
    }
}

record! {
    /// Where a Lambda function sends into a VPC.
    VpcConfig = "a VPC configuration" {
        /// All of one VPC.
        required subnets: Vec<At<String>>,
        /// At least one.
        required security_groups: Vec<At<String>>,
        /// Whether it sends IPv6 too; false by default.
        optional ipv6_allowed_for_dual_stack: bool,
    }
}
