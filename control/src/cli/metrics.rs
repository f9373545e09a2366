//! `hypertun metrics`: what would Prometheus, or CloudWatch, see?

use clap::Args;

use crate::cli::{OfInstance, Outcome, print_json, say};
use crate::observe::metrics::Sample;

/// Show the metrics of NAT gateways, as CloudWatch names them, and the emulator's own
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hypertun metrics | grep error_port_allocation\n  \
    hypertun up vpc.yaml --metrics 127.0.0.1:9090   (for Prometheus to scrape)")]
pub struct Metrics {
    #[command(flatten)]
    instance: OfInstance,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Metrics {
    /// Asks the instance, and prints.
    ///
    /// # Errors
    ///
    /// When no instance answers.
    pub fn run(self) -> Outcome {
        let client = self.instance.client();
        if self.json {
            print_json(&client.get::<Vec<Sample>>("/v1/metrics")?)?;
        } else {
            say::text(format_args!("{}", client.text("/metrics")?))?;
        }
        Ok(0)
    }
}
