//! `hypertun explain`: what becomes of one packet, hop by hop?

use std::path::PathBuf;

use clap::Args;
use dataplane::wire::protocol;

use crate::cli::say::say;
use crate::cli::{Failure, Outcome, load, print_json};
use crate::explain::{Question, Walked, explain};

/// Walk one packet and its reply over a topology, and say what decides at each hop
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hypertun explain vpc.yaml --from app --to 203.0.113.80 --port 443
  hypertun explain vpc.yaml --from app --to bastion --protocol icmp --json")]
pub struct Explain {
    /// Topology file.
    file: PathBuf,
    /// Who sends: a network interface or an internet host.
    #[arg(long, value_name = "NAME")]
    from: String,
    /// Whom to: an address, a network interface or an internet host.
    #[arg(long, value_name = "ADDR|NAME")]
    to: String,
    /// Protocol: tcp, udp, icmp or a number.
    #[arg(long, default_value = "tcp", value_parser = protocol_number)]
    protocol: u8,
    /// Destination port, for tcp and udp.
    #[arg(long, default_value_t = 80)]
    port: u16,
    /// Source port, for tcp and udp.
    #[arg(long, default_value_t = 40_000)]
    source_port: u16,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Explain {
    /// Explains; the status is 0 only if request and reply are both delivered.
    ///
    /// # Errors
    ///
    /// When the file is wrong, or names what it does not have.
    pub fn run(self) -> Outcome {
        let topology = load(&self.file)?.topology;
        let question = Question {
            from: self.from,
            to: self.to,
            protocol: self.protocol,
            port: self.port,
            source_port: self.source_port,
        };
        let walked = explain(&topology, &question)?;
        if self.json {
            print_json(&walked)?;
        } else {
            print(&walked)?;
        }
        Ok(u8::from(!walked.is_answered()))
    }
}

/// Prints a walk for people, and its reply's.
///
/// # Errors
///
/// When nobody reads.
pub fn print(walked: &Walked) -> Result<(), Failure> {
    print_one("request", walked)?;
    walked.reply.as_deref().map_or(Ok(()), |reply| print_one("reply", reply))
}

fn print_one(what: &str, walked: &Walked) -> Result<(), Failure> {
    let packet = &walked.packet_in;
    say!("{what}: {} {} > {}", packet.protocol, packet.src, packet.dst);
    for hop in &walked.hops {
        let rule = hop.rule.as_deref().unwrap_or("");
        let line =
            format!("  {:<9}  {:<22}  {:<32}  {rule}", hop.verdict, hop.stage, hop.component);
        say!("{}", line.trim_end());
    }
    match (walked.reason, &walked.detail, &walked.packet_out) {
        (Some(reason), Some(detail), _) => {
            say!("  {}: {reason}: {detail}", walked.verdict);
            if let Some(advice) = &walked.advice {
                say!("  to change that: {advice}");
            }
        }
        (_, _, Some(out)) => say!("  {}: arrives as {} > {}", walked.verdict, out.src, out.dst),
        _ => say!("  {}", walked.verdict),
    }
    Ok(())
}

fn protocol_number(word: &str) -> Result<u8, String> {
    match word {
        "icmp" => Ok(protocol::ICMP),
        "tcp" => Ok(protocol::TCP),
        "udp" => Ok(protocol::UDP),
        number => number.parse().map_err(|_| "tcp, udp, icmp or a number from 0 to 255".to_owned()),
    }
}
