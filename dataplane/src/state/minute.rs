//! What has passed a NAT gateway, and in the last minute: the workers' readings put together.
//!
//! A minute is six periods of ten seconds, of which the last one runs.

use std::collections::BTreeMap;

use crate::packet::NatGatewayId;
use crate::state::{MeterReading, Tally};
use crate::time::Period;

/// One gateway over all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GatewayMetrics {
    /// Since the instance began.
    pub total: Tally,
    /// In the last minute.
    pub minute: Tally,
    /// The most bytes a second received on either side, as the average of one of the minute's
    /// periods.
    pub peak_bytes: f64,
    /// The same of packets.
    pub peak_packets: f64,
}

/// Puts together what workers have read at about the same time; the latest is that of the minute.
#[must_use]
pub fn gateway_metrics<'a>(
    readings: impl IntoIterator<Item = &'a (NatGatewayId, MeterReading)>,
) -> BTreeMap<NatGatewayId, GatewayMetrics> {
    let mut gateways: BTreeMap<NatGatewayId, Vec<&MeterReading>> = BTreeMap::new();
    let mut period = Period::default();
    for (gateway, reading) in readings {
        period = period.max(reading.period);
        gateways.entry(*gateway).or_default().push(reading);
    }
    gateways.into_iter().map(|(gateway, readings)| (gateway, metrics(&readings, period))).collect()
}

fn metrics(readings: &[&MeterReading], period: Period) -> GatewayMetrics {
    let until = |period: Option<Period>| {
        let mut sum = Tally::default();
        readings.iter().for_each(|reading| sum += &reading.until(period));
        sum
    };
    let mut metrics = GatewayMetrics { total: until(Some(period)), ..GatewayMetrics::default() };
    let mut before = until(period.before(Period::MINUTE));
    metrics.minute = &metrics.total - &before;
    for period in period.minute() {
        let end = until(Some(period));
        let within = &end - &before;
        metrics.peak_bytes = metrics.peak_bytes.max(rate(within.bytes_in()));
        metrics.peak_packets = metrics.peak_packets.max(rate(within.packets_in()));
        before = end;
    }
    metrics
}

#[expect(clippy::cast_precision_loss, reason = "2^53 bytes do not pass in ten seconds")]
fn rate(count: u64) -> f64 {
    count as f64 / Period::SECONDS as f64
}

impl MeterReading {
    /// What there was at the end of `period`, one of the last minute or the one before; before all
    /// periods there was nothing.
    fn until(&self, period: Option<Period>) -> Tally {
        match period {
            None => Tally::default(),
            Some(period) if period >= self.period => self.total,
            Some(period) => self.ends[period.place()],
        }
    }
}
