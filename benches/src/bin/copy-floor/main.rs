//! The copy floor: how fast can one thread forward between two TUN devices at all?
//!
//! Each packet is read, one IPv4 address in it is rewritten with its checksums, and it is written;
//! nothing is looked up, kept or counted. What hypertun does on top is measured against this.
//! Both links are opened in the network namespace that this program is started in; when it prints
//! `ready`, they can be moved.

use std::error::Error;
use std::io::{self, Write};
use std::net::Ipv4Addr;

use clap::Parser;
use dataplane::io::tun::{Tun, TunOptions};
use dataplane::io::{Frame, Link, SLOT};
use dataplane::wire::checksum::{Delta, Sum};
use dataplane::wire::ipv4::Ipv4;
use dataplane::wire::tcp::Tcp;
use dataplane::wire::udp::{self, Udp};
use dataplane::wire::{protocol, virtio::VirtioNetHdr};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// Forwards between two TUN devices and rewrites one address, nothing else.
#[derive(Debug, Parser)]
struct Arguments {
    /// Name of the link that packets leave from.
    #[arg(long)]
    inside: String,
    /// Name of the link that they leave by.
    #[arg(long)]
    outside: String,
    /// The source address that they have inside.
    #[arg(long)]
    inside_address: Ipv4Addr,
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
    let (a, b) = (arguments.inside_address, arguments.outside_address);
    let outward = Rewrite::new(Side::Source, a, b);
    let inward = Rewrite::new(Side::Destination, b, a);

    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    for link in [&inside, &outside] {
        epoll::add(&epoll, link.descriptor(), EventData::new_u64(0), EventFlags::IN)?;
    }
    let mut events = Vec::with_capacity(2);
    let mut slot = vec![0; SLOT];
    println!("ready");
    io::stdout().flush()?;
    loop {
        if !arguments.spin {
            events.clear();
            match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => (),
                Err(error) => return Err(error.into()),
            }
        }
        // One way until it is dry, then the other.
        forward(&mut inside, &mut outside, outward, &mut slot)?;
        forward(&mut outside, &mut inside, inward, &mut slot)?;
    }
}

/// Carries over all that waits on `from`.
fn forward(from: &mut Tun, to: &mut Tun, rewrite: Rewrite, slot: &mut [u8]) -> io::Result<()> {
    while let Some(frame) = from.receive(slot)? {
        if !rewrite.apply(slot, frame) {
            continue;
        }
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

#[derive(Clone, Copy)]
enum Side {
    Source,
    Destination,
}

/// One address for another, on one side of the packet.
#[derive(Clone, Copy)]
struct Rewrite {
    side: Side,
    old: [u8; 4],
    new: [u8; 4],
    delta: Delta,
}

impl Rewrite {
    fn new(side: Side, old: Ipv4Addr, new: Ipv4Addr) -> Self {
        let (old, new) = (old.octets(), new.octets());
        Self { side, old, new, delta: Delta::between(Sum::of(&old), Sum::of(&new)) }
    }

    /// Rewrites the packet; false where it is not one to forward.
    fn apply(self, slot: &mut [u8], frame: Frame) -> bool {
        let Some(packet) = frame.packet(slot) else { return false };
        let Some(header) = Ipv4::of_mut(packet) else { return false };
        let address = match self.side {
            Side::Source => &mut header.source,
            Side::Destination => &mut header.destination,
        };
        if *address != self.old {
            return false;
        }
        *address = self.new;
        header.checksum = self.delta.apply(header.checksum);
        if header.fragment_offset() == 0 {
            let (protocol, length) = (header.protocol, header.header_length());
            self.apply_to_transport(packet.get_mut(length..), protocol, frame.offload);
        }
        true
    }

    fn apply_to_transport(self, bytes: Option<&mut [u8]>, protocol: u8, offload: VirtioNetHdr) {
        let Some(bytes) = bytes else { return };
        let field = match protocol {
            protocol::TCP => Tcp::of_mut(bytes).map(|header| &mut header.checksum),
            protocol::UDP => Udp::of_mut(bytes).map(|header| &mut header.checksum),
            _ => None,
        };
        let Some(field) = field else { return };
        *field = if offload.needs_csum() {
            self.delta.apply_partial(*field)
        } else if protocol == protocol::TCP {
            self.delta.apply(*field)
        } else {
            udp::apply(self.delta, *field)
        };
    }
}
