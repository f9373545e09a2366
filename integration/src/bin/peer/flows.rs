//! Many flows from one address: UDP datagrams from any number of source ports by one raw socket.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::Duration;

use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};

use crate::Outcome;

/// Sends from `count` ports, slowly enough for the receiver's socket.
pub(crate) fn send(to: SocketAddrV4, first_port: u16, count: u16) -> Outcome {
    let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::UDP))?;
    for n in 0..count {
        let port = first_port.checked_add(n).ok_or("ports end at 65535")?;
        let mut datagram = [0; 12];
        datagram[0..2].copy_from_slice(&port.to_be_bytes());
        datagram[2..4].copy_from_slice(&to.port().to_be_bytes());
        // A length of 12; a checksum of zero is none (RFC 768).
        datagram[5] = 12;
        sendto(&raw, &datagram, SendFlags::empty(), &to)?;
        if n % 100 == 99 {
            sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

/// Receives, and says how many sources there were.
pub(crate) fn count(port: u16) -> Outcome {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
    let sources = Arc::new(Mutex::new(HashSet::new()));
    let counted = sources.clone();
    thread::spawn(move || {
        while let Ok((_, source)) = socket.recv_from(&mut [0; 2048]) {
            counted.lock().expect("no thread panics with it").insert(source);
        }
    });
    println!("ready");
    for line in std::io::stdin().lines() {
        line?;
        println!("{}", sources.lock().expect("no thread panics with it").len());
    }
    Ok(())
}
