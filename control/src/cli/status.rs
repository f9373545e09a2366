//! `hypertun status`: what runs?

use std::path::PathBuf;

use clap::Args;

use crate::cli::say::say;
use crate::cli::{Failure, OfInstance, Outcome, print_json, table};
use crate::observe::bill::{Bill, Prices};
use crate::observe::{self, NatGatewayStatus as Gateway, VpcEndpointStatus as Endpoint};

/// Show what a running instance is and does
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hypertun status --json")]
pub struct Status {
    #[command(flatten)]
    instance: OfInstance,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Price it by this file instead of what us-east-1 costs: JSON like control/prices.json of the sources.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
}

impl Status {
    /// Asks the instance, and prints.
    ///
    /// # Errors
    ///
    /// When no instance answers.
    pub fn run(self) -> Outcome {
        let prices = self.prices.as_deref().map(|file| {
            let unread = |error| {
                let file = file.display();
                Failure::with_status(1, &format!("cannot read prices from {file}: {error}"))
            };
            Prices::load(file).map_err(unread)
        });
        let prices = prices.transpose()?;
        let mut status: observe::Status = self.instance.client().get("/v1/status")?;
        if let Some(prices) = &prices {
            status.price(prices);
        }
        if self.json {
            print_json(&status)?;
            return Ok(0);
        }
        let rows = [
            ("instance", format!("{} (pid {})", status.instance, status.pid)),
            ("uptime", format!("{:.0} s", status.uptime_seconds)),
            ("clock", format!("{:.0} s", status.clock_seconds)),
            ("workers", status.workers.to_string()),
            ("namespaces", status.namespaces.join(", ")),
            ("flows", status.flows.to_string()),
            (
                "packets",
                format!(
                    "{} received, {} forwarded, {} dropped, {} handed over",
                    status.packets_received,
                    status.packets_forwarded,
                    status.packets_dropped,
                    status.packets_handed_over
                ),
            ),
            ("bytes", format!("{} forwarded", status.bytes_forwarded)),
        ];
        for (what, value) in rows {
            say!("{what:<11} {value}");
        }
        if !status.network_interfaces.is_empty() {
            say!("");
            let rows = status.network_interfaces.iter().map(|it| {
                let [private, public] =
                    [&it.private_ip, &it.public_ip].map(|it| listed(it.as_slice()));
                [it.name.clone(), private, listed(&it.ipv6_addresses), public]
            });
            let heads = ["NETWORK INTERFACE", "PRIVATE IP", "IPV6 ADDRESSES", "PUBLIC IP"];
            table::print(heads, &rows.collect::<Vec<_>>())?;
        }
        let attached = status.network_interfaces.into_iter().filter_map(|interface| {
            let attachment = interface.attachment?;
            Some([interface.name, attachment.to.to_string(), attachment.interface])
        });
        let attached: Vec<_> = attached.collect();
        if !attached.is_empty() {
            say!("");
            table::print(["NETWORK INTERFACE", "ATTACHED TO", "AS"], &attached)?;
        }
        if !status.devices.is_empty() {
            say!("");
            let rows: Vec<_> = status
                .devices
                .into_iter()
                .map(|device| [device.name, device.kind, device.offloads.join(", ")])
                .collect();
            table::print(["DEVICE OF", "KIND", "OFFLOADS"], &rows)?;
        }
        if !status.workloads.is_empty() {
            say!("");
            let rows: Vec<_> = status
                .workloads
                .into_iter()
                .map(|it| {
                    let ways = listed(&it.hyperplane_enis);
                    [it.name, it.kind, it.state, it.instances.to_string(), ways]
                })
                .collect();
            table::print(["WORKLOAD", "KIND", "STATE", "INSTANCES", "HYPERPLANE ENIS"], &rows)?;
        }
        if !status.hyperplane_enis.is_empty() {
            say!("");
            let rows: Vec<_> = status
                .hyperplane_enis
                .into_iter()
                .map(|it| {
                    let (ipv6, connections) =
                        (listed(&it.ipv6_addresses), it.connections.to_string());
                    [it.name, it.id, it.state, it.private_ip, ipv6, connections]
                })
                .collect();
            let heads =
                ["HYPERPLANE ENI", "ID", "STATE", "PRIVATE IP", "IPV6 ADDRESSES", "CONNECTIONS"];
            table::print(heads, &rows)?;
        }
        if !status.nat_gateways.is_empty() {
            say!("");
            let rows: Vec<_> = status
                .nat_gateways
                .into_iter()
                .map(|gateway| {
                    let counts = [gateway.ports.to_string(), gateway.ports_busiest.to_string()];
                    let [ports, busiest] = counts;
                    let addresses = gateway.private_ips.join(", ");
                    let public = listed(&gateway.public_ips);
                    let [hours, bytes, cost] = costs(gateway.bill);
                    let Gateway { name, state, .. } = gateway;
                    [name, state, addresses, public, ports, busiest, hours, bytes, cost]
                })
                .collect();
            let heads = [
                "NAT GATEWAY",
                "STATE",
                "PRIVATE IP",
                "PUBLIC IP",
                "PORTS",
                "BUSIEST DESTINATION",
                "HOURS",
                "BYTES",
                "COST",
            ];
            table::print(heads, &rows)?;
        }
        if !status.vpc_endpoints.is_empty() {
            say!("");
            let rows: Vec<_> = status
                .vpc_endpoints
                .into_iter()
                .map(|endpoint| {
                    let addresses = listed(&endpoint.private_ips);
                    let [hours, bytes, cost] = costs(endpoint.bill);
                    let Endpoint { name, state, vpc_endpoint_type: kind, service, .. } = endpoint;
                    [name, state, kind, service, addresses, hours, bytes, cost]
                })
                .collect();
            let heads = [
                "VPC ENDPOINT",
                "STATE",
                "TYPE",
                "SERVICE",
                "PRIVATE IP",
                "HOURS",
                "BYTES",
                "COST",
            ];
            table::print(heads, &rows)?;
        }
        Ok(0)
    }
}

/// What there is of something, or that there is nothing.
fn listed(things: &[String]) -> String {
    if things.is_empty() { "-".to_owned() } else { things.join(", ") }
}

/// Hours, bytes and dollars.
fn costs(bill: Bill) -> [String; 3] {
    [bill.hours.to_string(), bill.bytes.to_string(), format!("${:.6}", bill.usd)]
}
