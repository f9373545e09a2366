//! Short connections: each sends a line, has it back, and ends.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::{Outcome, ready_until_input_ends};

/// A thread here does little.
const STACK: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(20);

const BACKLOG: i32 = 4096;

/// The server.
pub(crate) fn accept(port: u16) -> Outcome {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    // With the 128 that std asks for, hundreds at a time would meet SYN cookies, and resets.
    rustix::net::listen(&listener, BACKLOG)?;
    ready_until_input_ends();
    for stream in listener.incoming() {
        let stream = stream?;
        thread::Builder::new().stack_size(STACK).spawn(move || answer(stream))?;
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    stream.write_all(line.as_bytes())
}

/// The client: prints how many connections went well, and each error with its count.
pub(crate) fn connect(to: SocketAddrV4, count: u32, parallel: u32) -> Outcome {
    let next = AtomicU32::new(0);
    let results = Mutex::new(BTreeMap::<String, u32>::new());
    thread::scope(|scope| {
        for _ in 0..parallel {
            let work = || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let result =
                        exchange(to, number).map_or_else(|e| e.to_string(), |()| "ok".into());
                    let mut results = results.lock().expect("no thread panics with it");
                    *results.entry(result).or_default() += 1;
                }
            };
            thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, work)
                .expect("the system has threads");
        }
    });
    println!("{}", serde_json::to_string(&results)?);
    Ok(())
}

fn exchange(to: SocketAddrV4, number: u32) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(to), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    writeln!(stream, "connection {number}")?;
    let mut lines = BufReader::new(&stream).lines();
    let answer = lines.next().transpose()?.unwrap_or_default();
    if answer != format!("connection {number}") {
        return Err(io::Error::other("another answer"));
    }
    match lines.next().transpose()? {
        None => Ok(()),
        Some(_) => Err(io::Error::other("more than one line")),
    }
}
