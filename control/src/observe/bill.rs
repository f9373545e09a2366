//! What would AWS charge for what has passed a gateway, and for its being there?
//!
//! By the prices of `control/prices.json`, which are those of us-east-1 whatever the region: hours of emulated time, of
//! which one that has begun is whole, and gigabytes (2^30 bytes) that it has received on either side (AWS "Amazon VPC
//! pricing", "AWS PrivateLink pricing"). Public addresses, and what crosses zones or leaves for the internet, have
//! prices of their own, which are not added.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a gateway costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// Hours of emulated time that have begun; of an interface endpoint for each of its zones.
    pub hours: u64,
    /// Bytes received, on either side.
    pub bytes: u64,
    /// US dollars for both.
    pub usd: f64,
}

/// The file of prices.
#[derive(Clone, Debug, Deserialize)]
pub struct Prices {
    /// Of a NAT gateway.
    pub nat_gateway: Price,
    /// Of an interface endpoint, in each zone.
    pub interface_endpoint: Price,
    /// Of a gateway endpoint.
    pub gateway_endpoint: Price,
}

/// What one kind of gateway costs.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Price {
    /// US dollars an hour.
    pub hour: f64,
    /// US dollars a gigabyte.
    pub gigabyte: f64,
}

impl Prices {
    /// Those of the file.
    #[must_use]
    pub fn embedded() -> Self {
        serde_json::from_str(include_str!("../../prices.json"))
            .expect("the file of prices that is built in is read by a test")
    }
}

impl Price {
    /// What something of this price costs that has been there in `places` for so long.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "2^53 bytes and hours are more than anybody pays for"
    )]
    pub fn bill(self, there: Duration, places: usize, bytes: u64) -> Bill {
        let begun = u64::try_from(there.as_millis().div_ceil(HOUR)).unwrap_or(u64::MAX).max(1);
        let hours = begun.saturating_mul(places as u64);
        let usd = self.hour * hours as f64 + self.gigabyte * bytes as f64 / GIGABYTE;
        Bill { hours, bytes, usd }
    }
}

/// Milliseconds.
const HOUR: u128 = 3_600_000;

/// Bytes.
const GIGABYTE: f64 = (1 << 30) as f64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_that_has_begun_is_whole_and_each_zone_has_its_own() {
        let Prices { nat_gateway, interface_endpoint, gateway_endpoint } = Prices::embedded();
        let second = Duration::from_secs(1);
        let one = nat_gateway.bill(second, 1, 1 << 30);
        assert_eq!(one, Bill { hours: 1, bytes: 1 << 30, usd: 0.09 });
        assert_eq!(nat_gateway.bill(second * 3600 + second / 1000, 1, 0).hours, 2);
        let zones = interface_endpoint.bill(second * 3600, 2, 0);
        assert_eq!((zones.hours, zones.usd), (2, 0.02));
        assert!(gateway_endpoint.bill(second * 7200, 1, 1 << 40).usd.abs() < f64::EPSILON);
    }
}
