//! Against the real kernel: each test in a network namespace of its own, which dies with its
//! thread and its descriptors.
#![expect(unsafe_code, reason = "unshare and UDP_SEGMENT have no safe call")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use etherparse::{Icmpv4Type, PacketBuilder, SlicedPacket, TransportSlice};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::thread::{CapabilitySet, UnshareFlags};

use super::*;
use crate::io::SLOT;
use crate::io::segment::{complete_checksum, cut};
use crate::io::transmit::transmit;
use crate::wire::virtio::NEEDS_CSUM;

mod opening;
mod streams;

/// Runs `body` in a thread with a network namespace of its own.
fn in_namespace<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(UnshareFlags::NEWNET);
            body()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn unshare(flags: UnshareFlags) {
    // JUSTIFICATION: the tests need namespaces, and must not touch those of the process.
    // SAFETY: the descriptor table stays shared: `UnshareFlags::FILES` is not among the flags.
    unsafe { rustix::thread::unshare_unsafe(flags) }
        .expect("these tests need root: unshare failed");
}

/// Runs iproute2's `ip` in the thread's namespace.
fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .expect("these tests need the program `ip`: apt-get install iproute2");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {complaint}");
}

/// A device that is up, has an address, and sends no IPv6 of its own.
fn up(name: &str, address: &str, options: &TunOptions) -> Tun {
    let deadline = Instant::now() + Duration::from_secs(5);
    let tun = loop {
        match Tun::open(name, options) {
            // What was closed lives on in the copies of a process that another test is just forking, until that
            // executes its program.
            Err(TunError::NameTaken(_)) if Instant::now() < deadline => std::thread::yield_now(),
            opened => break opened.unwrap(),
        }
    };
    std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1").unwrap();
    ip(&format!("address add {address} dev {name}"));
    ip(&format!("link set {name} up"));
    tun
}

/// The next packet, waited for.
fn next(tun: &mut Tun, slot: &mut [u8]) -> Frame {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        if let Some(frame) = tun.receive(slot).unwrap() {
            return frame;
        }
        assert!(Instant::now() < deadline, "nothing came from {}", tun.name());
        wait(&[&*tun]);
    }
}

/// Waits until a packet is there, or a tenth of a second.
fn wait(queues: &[&Tun]) {
    let mut polled: Vec<_> = queues
        .iter()
        .map(|tun| PollFd::from_borrowed_fd(tun.descriptor(), PollFlags::IN))
        .collect();
    let tenth = rustix::time::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    poll(&mut polled, Some(&tenth)).unwrap();
}

fn put(slot: &mut [u8], packet: &[u8], offload: VirtioNetHdr) -> Frame {
    slot[HEADROOM..HEADROOM + packet.len()].copy_from_slice(packet);
    Frame { start: HEADROOM, len: packet.len(), offload }
}
