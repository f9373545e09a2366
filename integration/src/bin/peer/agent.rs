//! Sends what a test asks for by real sockets, and tells what requests arrive at this namespace.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use integration::agent::{Answer, Arrival, Probe, Request};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{
    self, Timeout, set_socket_linger, set_socket_reuseaddr, set_socket_timeout,
};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, ipproto,
    recv, sendto, socket, socket_with,
};

use crate::Outcome;

/// Shorter than the second after which the kernel repeats a SYN (RFC 6298 s. 2), so that one probe
/// is one packet.
const PATIENCE: Duration = Duration::from_millis(800);

/// Where datagrams are answered.
const ECHO: u16 = 7;

/// `ETH_P_IP` and `ETH_P_IPV6`, as packet(7) wants them: what arrives, not what leaves.
const ARRIVING: [u32; 2] = [0x0800_u16.to_be() as u32, 0x86dd_u16.to_be() as u32];

/// Serves a test until its input ends.
pub(crate) fn run() -> Outcome {
    let tap = |family: u32| {
        let protocol = NonZero::new(family).map(Protocol::from_raw);
        socket(AddressFamily::PACKET, SocketType::DGRAM, protocol)
    };
    let taps = [tap(ARRIVING[0])?, tap(ARRIVING[1])?];
    // One for both families: see ipv6(7).
    let echo = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, ECHO))?;
    thread::spawn(move || answer(&echo));
    println!("ready");
    for line in std::io::stdin().lines() {
        let said = match serde_json::from_str(&line?)? {
            Request::Send(probes) => serde_json::to_string(&send(&probes)),
            Request::Seen => serde_json::to_string(&arrived(&taps)),
        };
        println!("{}", said?);
    }
    Ok(())
}

fn answer(echo: &UdpSocket) {
    let mut datagram = [0; 2048];
    loop {
        // Errors are of datagrams sent before.
        if let Ok((length, from)) = echo.recv_from(&mut datagram) {
            let _ = echo.send_to(&datagram[..length], from);
        }
    }
}

/// The requests among what the kernel has kept since the last time.
fn arrived(taps: &[OwnedFd]) -> Vec<Arrival> {
    let mut packet = vec![0; 1 << 16];
    let mut arrivals = Vec::new();
    for tap in taps {
        while let Ok((length, _)) = recv(tap, &mut packet[..], RecvFlags::DONTWAIT) {
            arrivals.extend(request(&packet[..length]));
        }
    }
    arrivals
}

/// The request that a packet is, if it is one; not one from this namespace to itself.
fn request(packet: &[u8]) -> Option<Arrival> {
    let v4 = |at: usize| Some(IpAddr::from(*packet.get(at..)?.first_chunk::<4>()?));
    let v6 = |at: usize| Some(IpAddr::from(*packet.get(at..)?.first_chunk::<16>()?));
    let (protocol, src, dst, header) = match packet.first()? >> 4 {
        4 => (packet.get(9)?, v4(12)?, v4(16)?, usize::from(packet[0] & 0xf) * 4),
        // No probe bears extension headers.
        _ => (packet.get(6)?, v6(8)?, v6(24)?, 40),
    };
    let transport = packet.get(header..)?;
    let port = u16::from_be_bytes([*transport.get(2)?, *transport.get(3)?]);
    let (protocol, port) = match protocol {
        // SYN without ACK.
        6 if transport.get(13)? & 0x12 == 0x02 => ("tcp", port),
        17 if port == ECHO => ("udp", port),
        1 if *transport.first()? == 8 => ("icmp", 0),
        58 if *transport.first()? == 128 => ("icmp", 0),
        _ => return None,
    };
    (src != dst).then(|| Arrival { protocol: protocol.to_owned(), src, dst, port })
}

fn send(probes: &[Probe]) -> Vec<Answer> {
    thread::scope(|scope| {
        let sent: Vec<_> = probes.iter().map(|probe| scope.spawn(|| send_one(probe))).collect();
        sent.into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Answer::Error("panic".to_owned())))
            .collect()
    })
}

fn send_one(probe: &Probe) -> Answer {
    let to = SocketAddr::new(probe.to, probe.port);
    match probe.protocol.as_str() {
        "tcp" => syn(to, probe.source_port).unwrap_or_else(of_error),
        "udp" => datagram(to, probe.source_port).unwrap_or_else(|error| match error.kind() {
            ErrorKind::WouldBlock => Answer::Silence,
            ErrorKind::ConnectionRefused => Answer::Answered,
            _ => Answer::Error(error.to_string()),
        }),
        _ => echo_request(to, probe.source_port).unwrap_or_else(of_error),
    }
}

fn of_error(error: Errno) -> Answer {
    match error {
        Errno::CONNREFUSED => Answer::Answered,
        Errno::AGAIN => Answer::Silence,
        other => Answer::Error(other.to_string()),
    }
}

/// A port on any address of the family that `to` is of.
fn any(to: SocketAddr, port: u16) -> SocketAddr {
    match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, port).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, port).into(),
    }
}

fn family(to: SocketAddr) -> AddressFamily {
    if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

fn syn(to: SocketAddr, source_port: u16) -> Result<Answer, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family(to), SocketType::STREAM, flags, None)?;
    set_socket_reuseaddr(&socket, true)?;
    // Ends by a RST: nothing of one probe is left for the next.
    set_socket_linger(&socket, Some(Duration::ZERO))?;
    bind(&socket, &any(to, source_port))?;
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error),
    }
    let patience = Timespec::try_from(PATIENCE).map_err(|_| Errno::INVAL)?;
    if poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&patience))? == 0 {
        return Ok(Answer::Silence);
    }
    sockopt::socket_error(&socket)?.map(|()| Answer::Answered)
}

fn datagram(to: SocketAddr, source_port: u16) -> std::io::Result<Answer> {
    let socket = UdpSocket::bind(any(to, source_port))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(to)?;
    socket.send(b"probe")?;
    let mut answer = [0; 16];
    let length = socket.recv(&mut answer)?;
    Ok(match &answer[..length] {
        b"probe" => Answer::Answered,
        other => Answer::Error(format!("an answer of {other:?}")),
    })
}

fn echo_request(to: SocketAddr, identifier: u16) -> Result<Answer, Errno> {
    let [high, low] = identifier.to_be_bytes();
    let mut message = [0, 0, 0, 0, high, low, 0, 1];
    // What comes begins with an IPv4 header without options, or with no header: see raw(7), ipv6(7).
    let (protocol, reply, header) = if to.is_ipv4() {
        message[0] = 8;
        let sum = 0x0801_u32 + u32::from(identifier);
        let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).map_err(|_| Errno::INVAL)?;
        message[2..4].copy_from_slice(&(!sum).to_be_bytes());
        (ipproto::ICMP, 0, 20)
    } else {
        // The kernel sums it.
        message[0] = 128;
        (ipproto::ICMPV6, 129, 0)
    };
    let socket = socket(family(to), SocketType::RAW, Some(protocol))?;
    let deadline = Instant::now() + PATIENCE;
    sendto(&socket, &message, SendFlags::empty(), &SocketAddr::new(to.ip(), 0))?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Answer::Silence);
        }
        set_socket_timeout(&socket, Timeout::Recv, Some(left.max(Duration::from_millis(1))))?;
        let mut packet = [0; 2048];
        let (length, _) = recv(&socket, &mut packet[..], RecvFlags::empty())?;
        let found = packet[..length].get(header..).unwrap_or_default();
        if found.first() == Some(&reply) && found.get(4..6) == Some(&[high, low]) {
            return Ok(Answer::Answered);
        }
    }
}
