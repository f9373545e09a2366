//! `hypertun flows`: which conversations live?

use clap::Args;

use crate::cli::{Failure, OfInstance, Outcome, print_json, table};
use crate::observe;

/// Show live flows, with what each device on the way remembers of them
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hypertun flows --limit 20")]
pub struct Flows {
    #[command(flatten)]
    instance: OfInstance,
    /// At most so many.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    limit: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Flows {
    /// Asks the instance, and prints.
    ///
    /// # Errors
    ///
    /// When no instance answers.
    pub fn run(self) -> Outcome {
        let path = format!("/v1/flows?limit={}", self.limit);
        let flows: Vec<observe::Flow> = self.instance.client().get(&path)?;
        if self.json {
            print_json(&flows)?;
        } else {
            print(&flows)?;
        }
        Ok(0)
    }
}

/// Prints flows as a table.
///
/// # Errors
///
/// When nobody reads.
pub fn print(flows: &[observe::Flow]) -> Result<(), Failure> {
    let rows: Vec<_> = flows
        .iter()
        .map(|flow| {
            let arrow = |(src, dst): &(String, String)| format!("{src} > {dst}");
            let facets: Vec<_> = flow
                .facets
                .iter()
                .map(|facet| match facet.port {
                    Some(port) => format!("{} :{port} {:.0}s", facet.component, facet.expires_in),
                    None => format!("{} {:.0}s", facet.component, facet.expires_in),
                })
                .collect();
            [
                flow.protocol.clone(),
                flow.state.clone(),
                arrow(&flow.original),
                flow.reply.as_ref().map_or_else(|| "-".to_owned(), arrow),
                format!("{}/{}", flow.sent.0, flow.received.0),
                facets.join(", "),
            ]
        })
        .collect();
    table::print(["PROTO", "STATE", "SENT AS", "ANSWERED AS", "PACKETS", "REMEMBERED BY"], &rows)
}
