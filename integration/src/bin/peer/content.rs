//! Content that no broken path reproduces: pseudo-random bytes, the same each time.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use crate::{Outcome, ready_until_input_ends};

const CHUNK: usize = 1 << 16;

/// Serves `size` bytes to whoever asks, for whatever path.
pub(crate) fn serve(port: u16, size: u64) -> Outcome {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    ready_until_input_ends();
    for stream in listener.incoming() {
        let mut stream = stream?;
        thread::spawn(move || {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            if lines.any(|line| line.is_empty()) {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
                // A client that leaves early is its own affair.
                let _ = stream.write_all(head.as_bytes()).and_then(|()| write(&mut stream, size));
            }
        });
    }
    Ok(())
}

/// Writes `size` bytes to standard output.
pub(crate) fn print(size: u64) -> Outcome {
    Ok(write(&mut std::io::stdout().lock(), size)?)
}

fn write(to: &mut impl Write, size: u64) -> std::io::Result<()> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut left = size;
    let mut chunk = [0; CHUNK];
    while left > 0 {
        for word in chunk.chunks_exact_mut(8) {
            // xorshift64 (Marsaglia 2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let length = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        to.write_all(&chunk[..length])?;
        left -= length as u64;
    }
    Ok(())
}
