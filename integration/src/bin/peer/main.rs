//! Small purpose-made clients and servers for the tests, each in a namespace of an instance. Those
//! that go on end with their standard input.

mod agent;
mod connections;
mod content;
mod dialogue;
mod flows;

use std::error::Error;
use std::net::{SocketAddr, SocketAddrV4};

use clap::{Parser, Subcommand};

/// The other end of a test's conversations
#[derive(Debug, Parser)]
enum Peer {
    /// Sends probes and tells what arrives, by lines of JSON
    Agent,
    /// Serves SIZE bytes of content over HTTP
    ServeHttp {
        #[arg(long)]
        port: u16,
        #[arg(long)]
        size: u64,
    },
    /// Prints the same content
    Content {
        #[arg(long)]
        size: u64,
    },
    /// Answers each connection's line with the same line
    Accept {
        #[arg(long)]
        port: u16,
    },
    /// Makes COUNT connections that exchange a line, PARALLEL at a time; prints what came of them
    Connect {
        #[arg(long)]
        to: SocketAddrV4,
        #[arg(long)]
        count: u32,
        #[arg(long)]
        parallel: u32,
    },
    /// Sends a datagram from each of COUNT source ports
    Datagrams {
        #[arg(long)]
        to: SocketAddrV4,
        #[arg(long)]
        first_port: u16,
        #[arg(long)]
        count: u16,
    },
    /// Counts from how many sources datagrams have come; prints it for each line of input
    Sink {
        #[arg(long)]
        port: u16,
    },
    /// One connection: lines of input are sent; what arrives, and how it ends, is printed
    Dialogue {
        #[command(subcommand)]
        side: Side,
    },
}

#[derive(Debug, Subcommand)]
enum Side {
    /// Waits for it
    Listen { port: u16 },
    /// Makes it
    To { address: SocketAddr },
    /// The same by datagrams: answers whoever sent the last
    UdpListen { port: u16 },
    /// Sends datagrams from one port
    UdpTo { address: SocketAddrV4 },
}

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    match Peer::parse() {
        Peer::Agent => agent::run(),
        Peer::ServeHttp { port, size } => content::serve(port, size),
        Peer::Content { size } => content::print(size),
        Peer::Accept { port } => connections::accept(port),
        Peer::Connect { to, count, parallel } => connections::connect(to, count, parallel),
        Peer::Datagrams { to, first_port, count } => flows::send(to, first_port, count),
        Peer::Sink { port } => flows::count(port),
        Peer::Dialogue { side: Side::Listen { port } } => dialogue::listen(port),
        Peer::Dialogue { side: Side::To { address } } => dialogue::connect(address),
        Peer::Dialogue { side: Side::UdpListen { port } } => dialogue::await_datagrams(port),
        Peer::Dialogue { side: Side::UdpTo { address } } => dialogue::send_datagrams(address),
    }
}

/// Says `ready`, and ends the process with its standard input.
fn ready_until_input_ends() {
    println!("ready");
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
}
