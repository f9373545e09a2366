//! Sends what a test asks for by real sockets, and tells what requests arrive at this namespace.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
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

/// `ETH_P_IP`, as packet(7) wants it: what arrives, not what leaves.
const ARRIVING_IPV4: u32 = 0x0800_u16.to_be() as u32;

/// Serves a test until its input ends.
pub(crate) fn run() -> Outcome {
    let protocol = NonZero::new(ARRIVING_IPV4).map(Protocol::from_raw);
    let tap = socket(AddressFamily::PACKET, SocketType::DGRAM, protocol)?;
    let echo = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, ECHO))?;
    thread::spawn(move || answer(&echo));
    println!("ready");
    for line in std::io::stdin().lines() {
        let said = match serde_json::from_str(&line?)? {
            Request::Send(probes) => serde_json::to_string(&send(&probes)),
            Request::Seen => serde_json::to_string(&arrived(&tap)),
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
fn arrived(tap: &OwnedFd) -> Vec<Arrival> {
    let mut packet = vec![0; 1 << 16];
    let mut arrivals = Vec::new();
    while let Ok((length, _)) = recv(tap, &mut packet[..], RecvFlags::DONTWAIT) {
        arrivals.extend(request(&packet[..length]));
    }
    arrivals
}

/// The request that a packet is, if it is one; not one from this namespace to itself.
fn request(packet: &[u8]) -> Option<Arrival> {
    let address = |at: usize| {
        let octets: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets))
    };
    let (src, dst) = (address(12)?, address(16)?);
    let transport = packet.get(usize::from(packet[0] & 0xf) * 4..)?;
    let port = u16::from_be_bytes([*transport.get(2)?, *transport.get(3)?]);
    let (protocol, port) = match packet.get(9)? {
        // SYN without ACK.
        6 if transport.get(13)? & 0x12 == 0x02 => ("tcp", port),
        17 if port == ECHO => ("udp", port),
        1 if *transport.first()? == 8 => ("icmp", 0),
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
    let to = SocketAddrV4::new(probe.to, probe.port);
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

fn syn(to: SocketAddrV4, source_port: u16) -> Result<Answer, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    set_socket_reuseaddr(&socket, true)?;
    // Ends by a RST: nothing of one probe is left for the next.
    set_socket_linger(&socket, Some(Duration::ZERO))?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, source_port))?;
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

fn datagram(to: SocketAddrV4, source_port: u16) -> std::io::Result<Answer> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, source_port))?;
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

fn echo_request(to: SocketAddrV4, identifier: u16) -> Result<Answer, Errno> {
    let socket = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP))?;
    let mut message = [8, 0, 0, 0, 0, 0, 0, 1];
    let [high, low] = identifier.to_be_bytes();
    (message[4], message[5]) = (high, low);
    let sum = 0x0801_u32 + u32::from(identifier);
    let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).map_err(|_| Errno::INVAL)?;
    message[2..4].copy_from_slice(&(!sum).to_be_bytes());
    let deadline = Instant::now() + PATIENCE;
    sendto(&socket, &message, SendFlags::empty(), &to)?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Answer::Silence);
        }
        set_socket_timeout(&socket, Timeout::Recv, Some(left.max(Duration::from_millis(1))))?;
        let mut packet = [0; 2048];
        let (length, _) = recv(&socket, &mut packet[..], RecvFlags::empty())?;
        // An IPv4 header without options, then the reply: see raw(7).
        if packet[..length].get(20).is_some_and(|kind| *kind == 0) && packet[24..26] == [high, low]
        {
            return Ok(Answer::Answered);
        }
    }
}
