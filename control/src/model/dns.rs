//! What may a topology file say about names: option sets of DHCP, and private hosted zones?

use std::net::IpAddr;

use serde_json::Value;

use super::addresses::ADDRESSES;
use super::declare::{record, words};
use super::read::{At, Read, text};
use super::schema::{self, Definitions};
use super::tree::Node;
use crate::diagnostic::Faults;

record! {
    /// A DHCP option set: what a VPC tells those who start in it.
    DhcpOptions = "a DHCP option set" {
        /// `dopt-…`; derived from the name by default.
        optional id: String,
        /// The domain that short names are looked for in; none by default.
        optional domain_name: String,
        /// Up to four resolvers, each an address or `AmazonProvidedDNS`; none by default.
        optional domain_name_servers: Vec<At<NameServer>>,
    }
    later "ntp_servers" "netbios_name_servers" "netbios_node_type" "ipv6_address_preferred_lease_time"
}

/// A resolver as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameServer {
    /// The VPC's own.
    AmazonProvided,
    /// Another, reached like any host.
    Address(IpAddr),
}

/// The word for the VPC's own resolver.
const AMAZON_PROVIDED: &str = "AmazonProvidedDNS";

impl Read for NameServer {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        match text(node, "an IP address or `AmazonProvidedDNS`", faults)? {
            AMAZON_PROVIDED => Some(Self::AmazonProvided),
            _ => IpAddr::read(node, faults).map(Self::Address),
        }
    }

    fn schema(_: &mut Definitions) -> Value {
        let [v4, v6] = ADDRESSES;
        schema::matching(&[AMAZON_PROVIDED, v4, v6])
    }
}

record! {
    /// A private hosted zone: names that only some VPCs know.
    PrivateHostedZone = "a private hosted zone" {
        /// Its domain; its key by default.
        optional name: String,
        /// The VPCs that know it.
        required vpcs: Vec<At<String>>,
        /// What it holds beside its own SOA and NS; nothing by default.
        optional records: Vec<ZoneRecord>,
    }
}

record! {
    /// All records of one name and type.
    ZoneRecord = "a record" {
        /// The name: whole, or what comes before the zone's domain; the domain itself by default.
        optional name: String,
        /// Their type.
        required r#type: RecordWord,
        /// Seconds that an answer may be kept; 300 by default.
        optional ttl: u32,
        /// What they say, as in a zone file; at least one.
        required records: Vec<At<String>>,
    }
}

words! {
    /// A type of records that hosted zones hold.
    RecordWord {
        /// An address of IPv4.
        "A" => A,
        /// An address of IPv6.
        "AAAA" => Aaaa,
        /// Who may issue certificates.
        "CAA" => Caa,
        /// Another name for it.
        "CNAME" => Cname,
        /// A mail server.
        "MX" => Mx,
        /// A name server.
        "NS" => Ns,
        /// The name of an address.
        "PTR" => Ptr,
        /// Where a service is.
        "SRV" => Srv,
        /// Text.
        "TXT" => Txt,
    }
}

record! {
    /// The instance metadata service, as one network interface has it.
    MetadataOptions = "metadata options" {
        /// Whether it answers at all; `enabled` by default.
        optional http_endpoint: Switch,
        /// Whether requests need a token (IMDSv2); `optional` by default.
        optional http_tokens: TokensWord,
        /// How many hops a token goes, 1 to 64; 1 by default.
        optional http_put_response_hop_limit: u8,
        /// Whether it answers by IPv6 too; `disabled` by default.
        optional http_protocol_ipv6: Switch,
    }
}

words! {
    /// Whether something is on.
    Switch {
        /// It is.
        "enabled" => Enabled,
        /// It is not.
        "disabled" => Disabled,
    }
}

words! {
    /// Whether requests to the instance metadata service need a token.
    TokensWord {
        /// They may have one.
        "optional" => Optional,
        /// They need one.
        "required" => Required,
    }
}
