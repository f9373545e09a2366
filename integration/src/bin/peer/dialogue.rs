//! One connection in slow motion, by TCP or UDP: a test decides when each side sends, and sees what comes.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::Outcome;

/// Waits for it, in both families: see ipv6(7).
pub(crate) fn listen(port: u16) -> Outcome {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?;
    println!("ready");
    talk(listener.accept()?.0)
}

/// Makes it.
pub(crate) fn connect(to: SocketAddr) -> Outcome {
    talk(TcpStream::connect(to)?)
}

fn talk(mut stream: TcpStream) -> Outcome {
    stream.set_nodelay(true)?;
    println!("connected");
    let incoming = BufReader::new(stream.try_clone()?);
    thread::spawn(move || {
        for line in incoming.lines() {
            match line {
                Ok(line) => println!("got {line}"),
                Err(error) => {
                    println!("error {:?}", error.kind());
                    return;
                }
            }
        }
        println!("closed");
    });
    for line in std::io::stdin().lines() {
        if let Err(error) = stream.write_all(format!("{}\n", line?).as_bytes()) {
            println!("cannot send: {:?}", error.kind());
        }
    }
    Ok(())
}

/// The same by datagrams: answers whoever sent the last.
pub(crate) fn await_datagrams(port: u16) -> Outcome {
    talk_by_datagrams(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?, None)
}

/// Sends datagrams from one port.
pub(crate) fn send_datagrams(to: SocketAddrV4) -> Outcome {
    talk_by_datagrams(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?, Some(to.into()))
}

fn talk_by_datagrams(socket: UdpSocket, to: Option<SocketAddr>) -> Outcome {
    println!("ready");
    let incoming = socket.try_clone()?;
    let last = Arc::new(Mutex::new(to));
    let sender = last.clone();
    thread::spawn(move || {
        let mut data = [0; 1500];
        loop {
            match incoming.recv_from(&mut data) {
                Ok((length, from)) => {
                    *sender.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
                    println!("got {}", String::from_utf8_lossy(&data[..length]));
                }
                Err(error) => println!("error {:?}", error.kind()),
            }
        }
    });
    for line in std::io::stdin().lines() {
        let to = *last.lock().unwrap_or_else(PoisonError::into_inner);
        let to = to.ok_or("nobody has sent anything yet")?;
        if let Err(error) = socket.send_to(line?.as_bytes(), to) {
            println!("cannot send: {:?}", error.kind());
        }
    }
    Ok(())
}
