//! The copy floor: how fast can one thread forward between two TUN devices at all?
//!
//! Each packet is read, one IPv4 address in it is rewritten with its checksums, and it is written;
//! nothing is looked up, kept or counted. With `--nat64` each gets a header of the other family instead.
//! What hypertun does on top is measured against this.
//! Both links are opened in the network namespace that this program is started in; when it prints
//! `ready`, they can be moved.

mod nat44;
mod nat64;

use std::error::Error;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};

use clap::Parser;
use dataplane::io::tun::{Tun, TunOptions};
use dataplane::io::{Frame, Link, SLOT};
use nat44::Rewrite;
use nat64::Translation;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// Forwards between two TUN devices and rewrites one address, or translates between families, nothing else.
#[derive(Debug, Parser)]
struct Arguments {
    /// Name of the link that packets leave from.
    #[arg(long)]
    inside: String,
    /// Name of the link that they leave by.
    #[arg(long)]
    outside: String,
    /// The source address that they have inside: of IPv6, and each packet is translated whole, to IPv4 hosts
    /// that are known inside as 64:ff9b::/96.
    #[arg(long)]
    inside_address: IpAddr,
    /// The source address that they get outside.
    #[arg(long)]
    outside_address: Ipv4Addr,
    /// Exchange only whole packets with finished checksums with the kernel.
    #[arg(long)]
    no_gso: bool,
    /// Never sleep: look for packets again and again.
    #[arg(long)]
    spin: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let options = TunOptions { gso: !arguments.no_gso };
    let mut inside = Tun::open(&arguments.inside, &options)?;
    let mut outside = Tun::open(&arguments.outside, &options)?;
    let (spin, b) = (arguments.spin, arguments.outside_address);
    match arguments.inside_address {
        IpAddr::V4(a) => {
            let [outward, inward] = Rewrite::both_ways(a, b);
            run(
                (&mut inside, &mut outside),
                |slot, frame| outward.apply(slot, frame),
                |slot, frame| inward.apply(slot, frame),
                spin,
            )
        }
        IpAddr::V6(a) => {
            let translation = Translation::new(a, b);
            run(
                (&mut inside, &mut outside),
                |slot, frame| translation.outward(slot, frame),
                |slot, frame| translation.inward(slot, frame),
                spin,
            )
        }
    }
}

/// Forwards until a device is gone.
fn run(
    (inside, outside): (&mut Tun, &mut Tun),
    outward: impl Fn(&mut [u8], Frame) -> Option<Frame>,
    inward: impl Fn(&mut [u8], Frame) -> Option<Frame>,
    spin: bool,
) -> Result<(), Box<dyn Error>> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    for link in [&*inside, &*outside] {
        epoll::add(&epoll, link.descriptor(), EventData::new_u64(0), EventFlags::IN)?;
    }
    let mut events = Vec::with_capacity(2);
    let mut slot = vec![0; SLOT];
    println!("ready");
    io::stdout().flush()?;
    loop {
        if !spin {
            events.clear();
            match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => (),
                Err(error) => return Err(error.into()),
            }
        }
        // One way until it is dry, then the other.
        forward(inside, outside, &outward, &mut slot)?;
        forward(outside, inside, &inward, &mut slot)?;
    }
}

/// Carries over all that waits on `from`.
fn forward(
    from: &mut Tun,
    to: &mut Tun,
    rewrite: impl Fn(&mut [u8], Frame) -> Option<Frame>,
    slot: &mut [u8],
) -> io::Result<()> {
    while let Some(frame) = from.receive(slot)? {
        let Some(frame) = rewrite(slot, frame) else { continue };
        match to.send(slot, frame).map_err(|error| (error.kind(), error)) {
            Ok(()) => (),
            Err((
                io::ErrorKind::WouldBlock
                | io::ErrorKind::NetworkDown
                | io::ErrorKind::InvalidInput,
                _,
            )) => (),
            Err((_, gone)) => return Err(gone),
        }
    }
    Ok(())
}
