//! What an engine asks, and what it is told: libnetwork's remote driver protocol (`docs/remote.md`, `docs/ipam.md` of
//! moby's libnetwork). Only what hypertun reads, or must say.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Options by name, as an engine has them from its user and from itself.
pub(super) type Options = Map<String, Value>;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct RequestPool {
    pub(super) pool: String,
    pub(super) sub_pool: String,
    pub(super) options: Option<Options>,
    #[serde(rename = "V6")]
    pub(super) v6: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Pool {
    #[serde(rename = "PoolID")]
    pub(super) id: String,
    pub(super) pool: Ipv4Net,
    pub(super) data: Options,
}

/// `RequestAddress` and `ReleaseAddress`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfAddress {
    #[serde(rename = "PoolID")]
    pub(super) pool: String,
    #[serde(default)]
    pub(super) address: String,
    #[serde(default)]
    pub(super) options: Option<Options>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Address {
    pub(super) address: Ipv4Net,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateNetwork {
    #[serde(rename = "NetworkID")]
    pub(super) network: String,
    #[serde(default)]
    pub(super) options: Option<Options>,
    #[serde(rename = "IPv4Data", default)]
    pub(super) ipv4: Option<Vec<NetworkPool>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NetworkPool {
    #[serde(default)]
    pub(super) address_space: String,
    #[serde(default)]
    pub(super) pool: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct OfNetwork {
    #[serde(rename = "NetworkID")]
    pub(super) network: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateEndpoint {
    #[serde(rename = "NetworkID")]
    pub(super) network: String,
    #[serde(rename = "EndpointID")]
    pub(super) endpoint: String,
    #[serde(default)]
    pub(super) interface: Option<EndpointInterface>,
    #[serde(default)]
    pub(super) options: Option<Options>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct EndpointInterface {
    pub(super) address: String,
    pub(super) mac_address: String,
}

/// Calls about an endpoint that there is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfEndpoint {
    #[serde(rename = "EndpointID")]
    pub(super) endpoint: String,
    #[serde(default)]
    pub(super) sandbox_key: String,
    #[serde(default)]
    pub(super) options: Option<Options>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Joined {
    pub(super) interface_name: InterfaceName,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gateway: Option<Ipv4Addr>,
    pub(super) static_routes: Vec<StaticRoute>,
    /// Whether the engine leaves it at that, and connects the container to no bridge of its own beside.
    pub(super) disable_gateway_service: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InterfaceName {
    pub(super) src_name: String,
    pub(super) dst_prefix: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StaticRoute {
    pub(super) destination: &'static str,
    pub(super) route_type: u8,
}

/// A route to the link itself.
pub(super) const CONNECTED: u8 = 1;
