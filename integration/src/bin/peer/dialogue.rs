//! One TCP connection in slow motion: a test decides when each side sends, and sees what comes.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::thread;

use crate::Outcome;

/// Waits for it.
pub(crate) fn listen(port: u16) -> Outcome {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    println!("ready");
    talk(listener.accept()?.0)
}

/// Makes it.
pub(crate) fn connect(to: SocketAddrV4) -> Outcome {
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
