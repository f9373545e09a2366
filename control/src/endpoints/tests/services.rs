//! Whole conversations with each service.

use smoltcp::socket::tcp::State;
use smoltcp::time::{Duration, Instant};

use super::client::{CLIENT, Client, HOST, Net};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: checkip.amazonaws.com\r\n\r\n";

/// Whether the other side has closed and no more can be read.
fn ended(client: &mut Client, socket: smoltcp::iface::SocketHandle) -> bool {
    matches!(client.state(socket), State::CloseWait | State::Closed)
        && !client.socket(socket).can_recv()
}

#[test]
fn checkip_answers_and_closes_without_a_trace() {
    let mut net = Net::new();
    let sockets = net.host.sockets();
    let socket = net.client.connect(HOST, 80);
    net.settle();
    net.client.send(socket, GET);
    net.settle();
    let response = net.client.read(socket);
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.ends_with(&format!("\r\n\r\n{CLIENT}\n")), "{response}");
    assert_eq!(net.client.state(socket), State::CloseWait);

    net.client.socket(socket).close();
    net.settle();
    assert_eq!(net.client.state(socket), State::Closed);
    assert_eq!(net.host.connections(), 0, "no TIME-WAIT is kept");
    assert_eq!(net.host.sockets(), sockets);
}

#[test]
fn checkip_takes_a_request_in_pieces_and_after_a_half_close() {
    let mut net = Net::new();
    let socket = net.client.connect(HOST, 80);
    net.settle();
    for byte in GET.chunks(1) {
        assert_eq!(net.client.read(socket), "");
        net.client.send(socket, byte);
        net.settle();
    }
    assert!(net.client.read(socket).contains(" 200 "));

    let socket = net.client.connect(HOST, 80);
    net.settle();
    net.client.send(socket, GET);
    net.client.socket(socket).close();
    net.settle();
    assert!(net.client.read(socket).contains(" 200 "));
}

#[test]
fn checkip_refuses_what_is_no_request() {
    let mut net = Net::new();
    let half = net.client.connect(HOST, 80);
    net.settle();
    net.client.send(half, b"GET / HTTP/1.1\r\nHost");
    net.client.socket(half).close();
    net.settle();
    assert!(net.client.read(half).contains(" 400 "));

    let long = net.client.connect(HOST, 80);
    net.settle();
    let mut left = 100_000;
    net.until(|client| {
        let sent = client.socket(long).send_slice(&vec![b'x'; left]).unwrap_or(0);
        left -= sent;
        left == 0
    });
    net.settle();
    assert!(net.client.read(long).contains(" 400 "), "also to one that sends on");
}

#[test]
fn checkip_ends_a_silent_client_after_30_seconds() {
    let mut net = Net::new();
    let socket = net.client.connect(HOST, 80);
    net.settle();
    net.client.send(socket, b"GET");
    net.settle();
    assert_eq!(net.host.turn(net.now), Some(Instant::from_secs(30)), "it asks to be woken");
    net.pass(Duration::from_millis(29_900));
    assert_eq!(net.client.state(socket), State::Established);
    net.pass(Duration::from_millis(200));
    assert_eq!(net.client.state(socket), State::CloseWait);

    // The client does not close either.
    net.pass(Duration::from_secs(31));
    assert_eq!(net.client.state(socket), State::Closed);
    assert_eq!(net.host.connections(), 0);
}

#[test]
fn two_hundred_clients_at_once() {
    let mut net = Net::new();
    let sockets: Vec<_> = (0..200).map(|_| net.client.connect(HOST, 80)).collect();
    net.settle();
    for &socket in &sockets {
        net.client.send(socket, GET);
    }
    net.settle();
    for &socket in &sockets {
        assert!(net.client.read(socket).ends_with(&format!("\r\n\r\n{CLIENT}\n")));
    }
}

#[test]
fn echo_returns_a_mebibyte_and_the_half_close() {
    let mut net = Net::new();
    let socket = net.client.connect(HOST, 7);
    let sent: Vec<u8> =
        (0..1_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut received = Vec::new();
    let mut at = 0;
    net.until(|client| {
        let socket = client.socket(socket);
        if at < sent.len() {
            at += socket.send_slice(&sent[at..]).unwrap_or(0);
            if at == sent.len() {
                socket.close();
            }
        }
        let _ = socket.recv(|bytes| {
            received.extend_from_slice(bytes);
            (bytes.len(), ())
        });
        received.len() >= sent.len()
    });
    assert!(received == sent, "the echo is what was sent");
    net.settle();
    assert!(matches!(net.client.state(socket), State::TimeWait | State::Closed));
    assert_eq!(net.host.connections(), 0);
}

#[test]
fn echo_closes_the_window_to_a_client_that_does_not_read() {
    let mut net = Net::new();
    let socket = net.client.connect(HOST, 7);
    net.settle();
    let mut total = 0;
    for _ in 0..200 {
        total += net.client.socket(socket).send_slice(&[1; 4096]).unwrap();
        net.pass(Duration::from_millis(10));
    }
    assert!(total < 100_000, "{total} bytes were taken");

    // It reads again: nothing was lost.
    let mut received = 0;
    net.until(|client| {
        received += client.socket(socket).recv(|bytes| (bytes.len(), bytes.len())).unwrap_or(0);
        received == total
    });
}

#[test]
fn discard_reads_everything_and_says_nothing() {
    let mut net = Net::new();
    let socket = net.client.connect(HOST, 9);
    net.settle();
    let mut left = 1 << 20;
    net.until(|client| {
        left -= client.socket(socket).send_slice(&vec![0; left]).unwrap_or(0);
        left == 0
    });
    net.settle();
    assert_eq!(net.client.socket(socket).send_queue(), 0);
    assert_eq!(net.client.read(socket), "");
    net.client.socket(socket).close();
    net.until(|client| !matches!(client.state(socket), State::FinWait1 | State::FinWait2));
    net.settle();
    assert!(ended(&mut net.client, socket) || net.client.state(socket) == State::TimeWait);
    assert_eq!(net.host.connections(), 0);
}

#[test]
fn every_service_is_served_on_each_address_of_ipv6_beside_ipv4() {
    let v6 = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().into();
    let hosts = [HOST, v6("2001:db8:90::90"), v6("2001:db8:90::91")];
    let client = v6("2600:1f18:1234:5601::10");
    let mut net = Net::between(&hosts, client);
    for host in &hosts[1..] {
        let checkip = net.client.connect(*host, 80);
        let echo = net.client.connect(*host, 7);
        let discard = net.client.connect(*host, 9);
        net.settle();
        for (socket, text) in [(checkip, GET), (echo, b"hello".as_slice()), (discard, b"hello")] {
            net.client.send(socket, text);
        }
        net.settle();
        let response = net.client.read(checkip);
        assert!(response.ends_with(&format!("\r\n\r\n{client}\n")), "{response}");
        assert_eq!(net.client.read(echo), "hello");
        assert_eq!(
            (net.client.read(discard), net.client.socket(discard).send_queue()),
            (String::new(), 0)
        );
    }
    let mut net = Net::between(&hosts, CLIENT);
    let socket = net.client.connect(HOST, 80);
    net.settle();
    net.client.send(socket, GET);
    net.settle();
    assert!(net.client.read(socket).ends_with(&format!("\r\n\r\n{CLIENT}\n")));
}

#[test]
fn an_idle_connection_stays_and_costs_no_turn() {
    let mut net = Net::new();
    let socket = net.client.connect(HOST, 7);
    net.settle();
    net.client.send(socket, b"hello");
    // The client's ACK waits for 10 ms.
    net.pass(Duration::from_millis(20));
    assert_eq!(net.host.turn(net.now), None, "no timer runs");
    net.pass(Duration::from_secs(1000));
    assert_eq!(net.client.read(socket), "hello");
    net.client.send(socket, b"again");
    net.settle();
    assert_eq!(net.client.read(socket), "again");
}
