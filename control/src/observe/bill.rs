//! What would AWS charge for what has passed a gateway, and for its being there?
//!
//! By the prices of `control/prices.json`, which are those of us-east-1 whatever the region: hours of emulated time, of
//! which one that has begun is whole, and gigabytes (2^30 bytes) that it has received on either side (AWS "Amazon VPC
//! pricing", "AWS PrivateLink pricing"). Public addresses, and what crosses zones or leaves for the internet, have
//! prices of their own, which are not added.

use std::path::Path;
use std::{fs, io};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::observe::{INTERFACE, Status};

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

impl Bill {
    /// The same hours and bytes at another price.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "2^53 bytes and hours are more than anybody pays for"
    )]
    pub fn at(self, price: Price) -> Self {
        let usd = price.hour * self.hours as f64 + price.gigabyte * self.bytes as f64 / GIGABYTE;
        Self { usd, ..self }
    }
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
#[serde(deny_unknown_fields)]
pub struct Price {
    /// US dollars an hour; none is below 0.
    #[serde(deserialize_with = "dollars")]
    pub hour: f64,
    /// US dollars a gigabyte, likewise.
    #[serde(deserialize_with = "dollars")]
    pub gigabyte: f64,
}

/// What AWS asks for something; it pays nobody for using it. JSON has no number that is none (RFC 8259 s. 6), and what
/// is beyond all numbers its reader refuses.
fn dollars<'d, D: Deserializer<'d>>(written: D) -> Result<f64, D::Error> {
    let price = f64::deserialize(written)?;
    if price < 0.0 {
        return Err(D::Error::custom(format_args!("a price below 0: {price}")));
    }
    Ok(price)
}

impl Prices {
    /// Those of the file.
    #[must_use]
    pub fn embedded() -> Self {
        serde_json::from_str(include_str!("../../prices.json"))
            .expect("the file of prices that is built in is read by a test")
    }

    /// Those of a file like that.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is another kind of file, with the place; also where a price is below 0 or no number.
    pub fn load(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
    }

    /// Those of an endpoint of this type.
    #[must_use]
    pub fn of(&self, vpc_endpoint_type: &str) -> Price {
        match vpc_endpoint_type {
            INTERFACE => self.interface_endpoint,
            _ => self.gateway_endpoint,
        }
    }
}

impl Status {
    /// What the same costs at other prices.
    pub fn price(&mut self, prices: &Prices) {
        for gateway in &mut self.nat_gateways {
            gateway.bill = gateway.bill.at(prices.nat_gateway);
        }
        for endpoint in &mut self.vpc_endpoints {
            endpoint.bill = endpoint.bill.at(prices.of(&endpoint.vpc_endpoint_type));
        }
    }
}

/// Bytes.
const GIGABYTE: f64 = (1 << 30) as f64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_prices_the_same_hours_and_bytes() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("prices.json");
        let prices = Prices::load(&file).unwrap();
        let bill = Bill { hours: 2, bytes: 1 << 31, usd: 7.0 };
        assert_eq!(bill.at(prices.nat_gateway), Bill { usd: 0.18, ..bill });
        assert_eq!(prices.of(INTERFACE), prices.interface_endpoint);
        assert_eq!(prices.of("Gateway"), prices.gateway_endpoint);
        let none = Prices::load(&file.with_file_name("Cargo.toml")).unwrap_err();
        assert!(none.to_string().contains("line 1"), "{none}");
        assert_eq!(
            Prices::load(&file.with_file_name("none")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn a_price_is_a_number_from_0_on() {
        let text = include_str!("../../prices.json");
        let with = |price: &str| {
            let text = text.replacen("0.045", price, 1);
            serde_json::from_str::<Prices>(&text).map_err(|error| error.to_string())
        };
        let line = 1 + text.lines().position(|line| line.contains("0.045")).unwrap();
        for wrong in ["-0.045", "-1e300", "NaN", "1e999", "-1e999", "\"0.045\"", "null"] {
            let error = with(wrong).unwrap_err();
            assert!(error.contains(&format!("line {line} column")), "{wrong}: {error}");
        }
        assert!(with("-2.5").unwrap_err().starts_with("a price below 0: -2.5"));
        for right in ["0", "-0.0", "0.05", "7"] {
            assert_eq!(with(right).unwrap().nat_gateway.hour, right.parse::<f64>().unwrap());
        }
    }
}
