//! What a running instance counts, for Prometheus: each NAT gateway's CloudWatch metrics under the
//! names that the Prometheus exporter of CloudWatch gives them, exact counters beside them, and the
//! emulator's own.
//!
//! CloudWatch's have its meaning: the statistic over one minute (AWS "NAT gateway metrics and
//! dimensions"), here the last one of emulated time, in periods of ten seconds of which one runs.

use std::collections::HashMap;
use std::fmt;

use dataplane::packet::NatGatewayId;
use dataplane::shared::Lender;
use dataplane::state::{Count, Counters, GatewayMetrics, MeterReading, gateway_metrics};
use dataplane::time::Period;
use dataplane::worker::Gone;
use indexmap::IndexMap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};

use crate::check::PROVIDER;
use crate::observe;
use crate::runtime::emulator::Emulator;

/// One number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Its name, as Prometheus has it.
    pub name: String,
    /// What it is of.
    pub labels: IndexMap<String, String>,
    /// The number.
    pub value: Value,
}

/// A number, whole where it counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// How many.
    Count(u64),
    /// Any other.
    Real(f64),
}

/// Everything that is counted, at one time.
#[derive(Debug)]
pub struct Metrics(Vec<Family>);

/// Numbers of one name.
#[derive(Debug)]
struct Family {
    name: String,
    help: &'static str,
    kind: MetricType,
    samples: Vec<(Labels, Value)>,
}

type Labels = Vec<(&'static str, String)>;

/// The media type of [`Metrics`] as text.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Metrics {
    /// Asks every worker.
    ///
    /// # Errors
    ///
    /// When one has ended.
    pub fn of(emulator: &Emulator) -> Result<Self, Gone> {
        let answers = emulator
            .ask(|shard, _| (shard.counters.clone(), shard.flows.len(), shard.read_meters()))?;
        let (mut total, mut flows, mut readings) = (Counters::default(), 0, Vec::new());
        for (counters, live, meters) in answers {
            total.add(&counters);
            flows += live as u64;
            readings.extend(meters);
        }
        emulator.add_overruns(&mut total);
        let mut families = gateways(emulator, &readings);
        families.extend(own(emulator, &total, flows));
        Ok(Self(families))
    }

    /// Each number by itself.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let families = self.0.iter().flat_map(|family| {
            let suffix = if family.kind.as_str() == "counter" { "_total" } else { "" };
            family.samples.iter().map(move |(labels, value)| Sample {
                name: format!("{}{suffix}", family.name),
                labels: labels.iter().map(|(name, of)| ((*name).to_owned(), of.clone())).collect(),
                value: *value,
            })
        });
        families.collect()
    }

    /// All of it in the format of OpenMetrics, which Prometheus reads.
    #[must_use]
    pub fn text(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        text::encode(&mut text, &registry).expect("a string takes whatever is written");
        text
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Family { name, help, kind, samples } in &self.0 {
            let mut family = encoder.encode_descriptor(name, help, None, *kind)?;
            // Labels that are none would be written as `{}`.
            if let [(labels, value)] = samples.as_slice()
                && labels.is_empty()
            {
                value.encode(*kind, family)?;
                continue;
            }
            for (labels, value) in samples {
                value.encode(*kind, family.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(self, kind: MetricType, encoder: MetricEncoder<'_>) -> fmt::Result {
        match (self, kind) {
            (Self::Count(count), MetricType::Counter) => ConstCounter::new(count).encode(encoder),
            (Self::Count(count), _) => ConstGauge::new(count).encode(encoder),
            (Self::Real(real), _) => ConstGauge::new(real).encode(encoder),
        }
    }
}

/// The metrics of every NAT gateway that there is or was.
fn gateways(emulator: &Emulator, readings: &[(NatGatewayId, MeterReading)]) -> Vec<Family> {
    let names = emulator.names();
    let counted = gateway_metrics(readings);
    let mut ports: HashMap<NatGatewayId, u64> = HashMap::new();
    let shared = emulator.shared();
    shared.ports.for_each(|remote, leased| {
        if let Lender::NatGateway(gateway) = remote.lender {
            *ports.entry(gateway).or_default() += u64::from(leased);
        }
    });
    let period = Period::of(emulator.clock().elapsed());
    let each = |value: &dyn Fn(NatGatewayId, &GatewayMetrics) -> Value| -> Vec<(Labels, Value)> {
        let shown = names.nat_gateways().filter(|(_, name, _)| *name != PROVIDER);
        let gateways = shown.map(|(gateway, name, id)| {
            let counted = counted.get(&gateway).copied().unwrap_or_default();
            let labels = [("nat_gateway_id", id.to_owned()), ("nat_gateway", name.to_owned())];
            (labels.to_vec(), value(gateway, &counted))
        });
        gateways.collect()
    };
    let mut families = Vec::new();
    let mut gauge = |name: String, help, samples| {
        families.push(Family { name, help, kind: MetricType::Gauge, samples });
    };
    for &count in Count::ALL {
        let samples = each(&|_, counted| Value::Count(counted.minute[count]));
        gauge(format!("aws_natgateway_{}_sum", count.label()), count.text(), samples);
    }
    gauge(
        "aws_natgateway_active_connection_count_maximum".to_owned(),
        "The most TCP connections that were active at once",
        each(&|gateway, _| Value::Count(shared.connections.of(gateway).most(period))),
    );
    gauge(
        "aws_natgateway_peak_bytes_per_second_maximum".to_owned(),
        "The most bytes a second received on either side, averaged over ten seconds",
        each(&|_, counted| Value::Real(counted.peak_bytes)),
    );
    gauge(
        "aws_natgateway_peak_packets_per_second_maximum".to_owned(),
        "The most packets a second received on either side, averaged over ten seconds",
        each(&|_, counted| Value::Real(counted.peak_packets)),
    );
    gauge(
        "hypertun_nat_gateway_ports".to_owned(),
        "Ports in use over all destinations, resting ones included",
        each(&|gateway, _| Value::Count(ports.get(&gateway).copied().unwrap_or(0))),
    );
    families.extend(Count::ALL.iter().map(|&count| Family {
        name: format!("hypertun_nat_gateway_{}", count.label()),
        help: count.text(),
        kind: MetricType::Counter,
        samples: each(&|_, counted| Value::Count(counted.total[count])),
    }));
    families
}

/// What is the emulator's alone.
fn own(emulator: &Emulator, total: &Counters, flows: u64) -> Vec<Family> {
    let names = emulator.names();
    let drops = observe::sorted(&total.drops).into_iter().map(|((reason, component), count)| {
        let component = names.component(component);
        let labels = [("reason", reason.label().to_owned()), ("component", component)];
        (labels.to_vec(), Value::Count(count))
    });
    let one = |name: &str, help, kind, value| {
        let samples = vec![(Labels::new(), value)];
        Family { name: name.to_owned(), help, kind, samples }
    };
    let counter = |name, help, count| one(name, help, MetricType::Counter, Value::Count(count));
    let gauge = |name, help, value| one(name, help, MetricType::Gauge, value);
    vec![
        Family {
            name: "hypertun_drops".to_owned(),
            help: "Packets that were dropped, super-packets as one",
            kind: MetricType::Counter,
            samples: drops.collect(),
        },
        counter(
            "hypertun_packets_received",
            "Packets that came in, super-packets as one",
            total.received,
        ),
        counter(
            "hypertun_packets_forwarded",
            "Packets that went out, super-packets as one",
            total.forwarded,
        ),
        counter("hypertun_bytes_forwarded", "Bytes that went out", total.forwarded_bytes),
        gauge("hypertun_flows", "Live flows", Value::Count(flows)),
        gauge(
            "hypertun_clock_seconds",
            "Emulated time since the instance began",
            Value::Real(emulator.clock().elapsed().as_secs_f64()),
        ),
        Family {
            name: "hypertun_build_info".to_owned(),
            help: "One, and what runs",
            kind: MetricType::Gauge,
            samples: vec![(
                vec![("version", env!("CARGO_PKG_VERSION").to_owned())],
                Value::Count(1),
            )],
        },
    ]
}
