//! How does a connection to the host reach a port inside a namespace?
//!
//! A socket stays in the namespace where it was made (network_namespaces(7)): the listener was made on
//! the host, and one thread, which has gone inside, accepts from it and connects there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener as Listener, TcpStream};

use super::emulator::raise_descriptor_limit;
use super::interface;
use super::namespace::{self, Namespace};

/// Why nothing is forwarded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or not the host's.
    #[error("cannot listen on {at}: {source}")]
    Listen {
        /// The address.
        at: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The namespace could not be entered.
    #[error(transparent)]
    Namespace(#[from] namespace::Error),
    /// No thread or descriptor is left.
    #[error("cannot forward: {0}")]
    System(#[from] io::Error),
}

/// Connections that wait to be accepted: hundreds may begin at once, and the 128 that std asks for
/// would meet SYN cookies.
const BACKLOG: i32 = 4096;

/// Bytes of each connection that are on their way in each direction.
const BUFFER: usize = 32 << 10;

/// How long to wait for descriptors that other connections give back.
const SHORTAGE: Duration = Duration::from_millis(10);

/// Listens on the host.
///
/// # Errors
///
/// [`Error::Listen`].
pub fn listen(at: SocketAddr) -> Result<TcpListener, Error> {
    let listen = || {
        let listener = TcpListener::bind(at)?;
        rustix::net::listen(&listener, BACKLOG)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|source| Error::Listen { at, source })
}

/// Forwards what `listener` accepts to `port` in `namespace`, for the rest of the process, on a thread of
/// its own. A connection that is refused inside is closed, and told with the address that it came
/// from.
///
/// # Errors
///
/// When the namespace cannot be entered.
pub fn start(
    listener: TcpListener,
    namespace: Namespace,
    port: u16,
    refused: impl Fn(SocketAddr, io::Error) + Send + Sync + 'static,
) -> Result<(), Error> {
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (tell, entered) = mpsc::channel();
    let inside = move || {
        let joined = namespace.join();
        let goes_on = joined.is_ok();
        // It waits for this.
        let _ = tell.send(joined);
        if goes_on {
            runtime.block_on(serve(listener, port, std::sync::Arc::new(refused)));
        }
    };
    thread::Builder::new().name("forward".to_owned()).spawn(inside)?;
    Ok(entered.recv().map_err(io::Error::other)??)
}

async fn serve(
    listener: TcpListener,
    port: u16,
    refused: std::sync::Arc<impl Fn(SocketAddr, io::Error) + Send + Sync + 'static>,
) {
    let listener =
        Listener::from_std(listener).expect("the runtime polls, and the listener is ready for it");
    loop {
        let Ok((outer, from)) = listener.accept().await else {
            tokio::time::sleep(SHORTAGE).await;
            continue;
        };
        let refused = refused.clone();
        tokio::spawn(async move {
            match connect(port).await {
                Ok(inner) => relay(outer, inner).await,
                Err(error) => {
                    let _ = outer.set_zero_linger();
                    refused(from, error);
                }
            }
        });
    }
}

/// Carries bytes both ways, and the end of each by itself; a reset of one side is one of the other.
async fn relay(mut outer: TcpStream, mut inner: TcpStream) {
    for stream in [&outer, &inner] {
        let _ = stream.set_nodelay(true);
    }
    let carried = copy_bidirectional_with_sizes(&mut outer, &mut inner, BUFFER, BUFFER).await;
    if carried.is_err() {
        for stream in [&outer, &inner] {
            let _ = stream.set_zero_linger();
        }
    }
}

/// Connects to whoever listens on `port` here: on the loopback, as most do, or on an address of the
/// interface alone. The first refusal is told.
async fn connect(port: u16) -> io::Result<TcpStream> {
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let first = match connect_to(loopback[0], port).await {
        Ok(stream) => return Ok(stream),
        Err(error) => error,
    };
    let own = interface::addresses().unwrap_or_default();
    for address in loopback.into_iter().chain(own).skip(1) {
        if let Ok(stream) = connect_to(address, port).await {
            return Ok(stream);
        }
    }
    Err(first)
}

async fn connect_to(address: IpAddr, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((address, port)).await?;
    // Where nobody listens on a port that the kernel gives to clients, one may meet itself
    // (RFC 9293 s. 3.5, simultaneous open).
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}
