//! Super-packets: between two kernels, and cut by us as the kernel would have cut them.

use std::net::SocketAddr;

use super::*;
use crate::io::coalesce::coalesce;

/// The kernel routes a super-packet to a device without offloads and so cuts it itself.
#[test]
fn cuts_as_the_kernel_cuts() {
    in_namespace(|| {
        let mut tun = up("eth0", "10.0.0.1/24", &TunOptions::default());
        let plain = tun_tap::Iface::without_packet_info("plain", tun_tap::Mode::Tun).unwrap();
        plain.set_non_blocking().unwrap();
        ip("address add 10.0.1.1/24 dev plain");
        ip("link set plain up");
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();

        let tcp = tcp_super_packet();
        let udp = udp_super_packet();
        for (packet, offload) in [tcp, udp] {
            let mut slot = vec![0; SLOT];
            let frame = put(&mut slot, &packet, offload);
            tun.send(&mut slot, frame).unwrap();
            let kernels = all_of(&plain);

            // The kernel's hop, then our cut.
            let frame = put(&mut slot, &packet, offload);
            let mut ours = Vec::new();
            slot[HEADROOM + 8] -= 1;
            cut(&mut slot, frame, &mut |slot, segment| {
                let packet = segment.packet(slot).unwrap();
                complete_checksum(packet, segment.offload)?;
                ours.push(packet.to_vec());
                Ok(())
            })
            .unwrap();
            assert!(ours.len() > 3);
            assert_eq!(ours, kernels);
        }
    });
}

#[test]
fn a_stream_passes_between_links_with_and_without_offloads() {
    for options in [(true, true), (true, false), (false, false)] {
        let ends = (TunOptions { gso: options.0 }, TunOptions { gso: options.1 });
        let counts = between_two_kernels(ends, |near, far| {
            let listener = far.run(|| TcpListener::bind("10.0.0.2:80").unwrap());
            // Several flows, so that each queue has some.
            thread::scope(|scope| {
                for _ in 0..4 {
                    let client = near.run(|| TcpStream::connect("10.0.0.2:80").unwrap());
                    let (server, _) = listener.accept().unwrap();
                    scope.spawn(move || echo_both_ways(&client, &server));
                }
            });
        });
        assert_eq!(counts.super_packets > 0, options.0, "{counts:?}");
        if options.0 {
            assert_eq!(counts.sent > counts.received, !options.1, "{counts:?}");
        }
    }
}

#[test]
fn datagrams_of_a_super_packet_arrive_one_by_one() {
    for gso in [true, false] {
        let ends = (TunOptions { gso: true }, TunOptions { gso });
        let counts = between_two_kernels(ends, |near, far| {
            let receiver = far.run(|| UdpSocket::bind("10.0.0.2:53").unwrap());
            let sender = near.run(|| UdpSocket::bind("10.0.0.1:4000").unwrap());
            segment_datagrams(&sender, 1000);
            let payload: Vec<u8> = (0..20_500).map(pattern).collect();
            sender.send_to(&payload, "10.0.0.2:53").unwrap();
            receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut buffer = [0; 2000];
            for expected in payload.chunks(1000) {
                let length = receiver.recv(&mut buffer).unwrap();
                assert!(buffer[..length] == *expected);
            }
        });
        assert!(counts.super_packets > 0, "{counts:?}");
    }
}

#[test]
fn datagrams_that_are_put_together_arrive_one_by_one() {
    for (one, other) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
        let address = |text: &str, port| SocketAddr::new(text.parse().unwrap(), port);
        let ends = (address(one, 4000), address(other, 53));
        let counts =
            between_two_kernels((TunOptions::default(), TunOptions::default()), |near, far| {
                let receiver = far.run(move || UdpSocket::bind(ends.1).unwrap());
                let sender = near.run(move || UdpSocket::bind(ends.0).unwrap());
                sender.connect(ends.1).unwrap();
                receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let mut buffer = [0; 2000];
                for round in 0..200 {
                    // Alike, then a shorter one, a longer one, and an empty one.
                    let lengths = [300, 300, 300, 300, 200, 300, 300, 1400, 1400, 0, 300, 1];
                    let datagrams =
                        lengths.map(|len| (round..round + len).map(pattern).collect::<Vec<_>>());
                    for datagram in &datagrams {
                        assert_eq!(sender.send(datagram).unwrap(), datagram.len());
                    }
                    for datagram in &datagrams {
                        let length = receiver.recv(&mut buffer);
                        let length =
                            length.unwrap_or_else(|error| panic!("round {round}: {error}"));
                        assert!(buffer[..length] == **datagram, "round {round}: {length}");
                    }
                }
            });
        assert!(counts.joined > 0, "{one}: {counts:?}");
    }
}

/// A thread with a network namespace, where sockets are made; they work from any thread.
struct Kernel(std::sync::mpsc::Sender<Box<dyn FnOnce() + Send>>);

impl Kernel {
    fn new() -> Self {
        let (sender, receiver) = std::sync::mpsc::channel::<Box<dyn FnOnce() + Send>>();
        thread::spawn(move || {
            unshare(UnshareFlags::NEWNET);
            for job in receiver {
                job();
            }
        });
        Self(sender)
    }

    fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = std::sync::mpsc::channel();
        let job = move || sender.send(job()).unwrap();
        self.0.send(Box::new(job)).unwrap();
        receiver.recv().expect("the job panicked")
    }

    /// Segments that this kernel's TCP found broken.
    fn checksum_errors(&self) -> u64 {
        self.run(|| {
            let snmp = std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
            let column = |protocol: &str, name: &str| -> u64 {
                let mut lines = snmp.lines().filter(|line| line.starts_with(protocol));
                let at = lines.next().unwrap().split(' ').position(|word| word == name).unwrap();
                lines.next().unwrap().split(' ').nth(at).unwrap().parse().unwrap()
            };
            column("Tcp:", "InCsumErrors") + column("Udp:", "InCsumErrors")
        })
    }
}

#[derive(Debug, Default)]
struct Counts {
    received: usize,
    super_packets: usize,
    /// Packets that went on with the one before them.
    joined: usize,
    sent: usize,
}

/// Two namespaces, each on a TUN with two queues, with packets carried from queue to queue while
/// `body` runs.
fn between_two_kernels(
    ends: (TunOptions, TunOptions),
    body: impl FnOnce(&Kernel, &Kernel) + Send,
) -> Counts {
    let (near, far) = (Kernel::new(), Kernel::new());
    let mut ones = near.run(move || queues(["10.0.0.1/24", "fd00::1/64"], ends.0));
    let mut others = far.run(move || queues(["10.0.0.2/24", "fd00::2/64"], ends.1));
    let done = AtomicBool::new(false);
    let counts = thread::scope(|scope| {
        let carrier = scope.spawn(|| {
            let mut slots = vec![0; BATCH * SLOT];
            let mut counts = Counts::default();
            while !done.load(Relaxed) {
                wait(&ones.iter().chain(&others).collect::<Vec<_>>());
                for (one, other) in ones.iter_mut().zip(&mut others) {
                    carry(one, other, &mut slots, &mut counts);
                    carry(other, one, &mut slots, &mut counts);
                }
            }
            counts
        });
        let body = std::panic::AssertUnwindSafe(|| body(&near, &far));
        let outcome = std::panic::catch_unwind(body);
        done.store(true, Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        carrier.join().unwrap()
    });
    assert_eq!((near.checksum_errors(), far.checksum_errors()), (0, 0));
    assert!(ones.iter().chain(&others).all(|queue| queue.refused() == 0));
    counts
}

fn queues(addresses: [&str; 2], options: TunOptions) -> [Tun; 2] {
    let first = up("eth0", addresses[0], &options);
    std::fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "0").unwrap();
    ip(&format!("address add {} dev eth0 nodad", addresses[1]));
    let second = first.another_queue().unwrap();
    [first, second]
}

/// Packets that are carried together.
const BATCH: usize = 32;

fn carry(from: &mut Tun, to: &mut Tun, slots: &mut [u8], counts: &mut Counts) {
    loop {
        let mut frames = Vec::new();
        for start in (0..BATCH).map(|index| index * SLOT) {
            let Some(frame) = from.receive(&mut slots[start..start + SLOT]).unwrap() else { break };
            frames.push(Frame { start: start + frame.start, ..frame });
        }
        counts.received += frames.len();
        let of_many = |frame: &&Frame| frame.offload.segmented().is_some();
        counts.super_packets += frames.iter().filter(of_many).count();
        let mut frames = &frames[..];
        if frames.is_empty() {
            return;
        }
        while let [first, behind @ ..] = frames {
            let behind_it = if to.takes().udp { behind } else { &[] };
            let (whole, joined) = coalesce(slots, *first, behind_it.iter().copied());
            counts.joined += joined;
            counts.sent += transmit(to, slots, whole, None).unwrap().packets;
            frames = &behind[joined..];
        }
    }
}

const LENGTH: usize = 2 << 20;

fn echo_both_ways(client: &TcpStream, server: &TcpStream) {
    let sent: Vec<u8> = (0..LENGTH).map(pattern).collect();
    for stream in [client, server] {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    }
    for (mut from, mut to) in [(client, server), (server, client)] {
        thread::scope(|scope| {
            scope.spawn(|| from.write_all(&sent).unwrap());
            let mut received = vec![0; LENGTH];
            to.read_exact(&mut received).unwrap();
            assert!(received == sent);
        });
    }
}

/// A byte that differs from those a segment or a word further on.
fn pattern(at: usize) -> u8 {
    (at.wrapping_mul(0x9e37_79b1) >> 13).to_le_bytes()[0]
}

fn segment_datagrams(socket: &UdpSocket, size: c_int) {
    // JUSTIFICATION: neither std nor rustix offers UDP_SEGMENT.
    // SAFETY: the option is one `int`, and its length is stated.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            std::ptr::from_ref(&size).cast(),
            4,
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

fn tcp_super_packet() -> (Vec<u8>, VirtioNetHdr) {
    let payload: Vec<u8> = (0..5003).map(pattern).collect();
    let mut header = etherparse::TcpHeader::new(443, 40_000, 0xffff_f000, 500);
    (header.ack, header.psh, header.fin, header.cwr) = (true, true, true, true);
    header.set_options_raw(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]).unwrap();
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 1, 2], 64).tcp_header(header);
    builder.write(&mut packet, &payload).unwrap();
    as_sent(packet, gso::TCPV4 | gso::ECN, 16, 6)
}

fn udp_super_packet() -> (Vec<u8>, VirtioNetHdr) {
    let payload: Vec<u8> = (0..5003).map(pattern).collect();
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 1, 2], 64).udp(4000, 53);
    builder.write(&mut packet, &payload).unwrap();
    as_sent(packet, gso::UDP_L4, 6, 17)
}

/// Leaves the transport checksum of `packet` partial, and its header to be cut at 1000 bytes.
fn as_sent(
    mut packet: Vec<u8>,
    gso_type: u8,
    csum_offset: u16,
    protocol: u16,
) -> (Vec<u8>, VirtioNetHdr) {
    packet[4..6].copy_from_slice(&0xfffe_u16.to_be_bytes());
    let length = u16::try_from(packet.len() - 20).unwrap();
    let pseudo = crate::wire::checksum::Sum::of(&packet[12..20]).word(protocol).word(length).fold();
    let place = 20 + usize::from(csum_offset);
    packet[place..place + 2].copy_from_slice(&pseudo.to_be_bytes());
    packet[10..12].fill(0);
    let checksum = crate::wire::checksum::Sum::of(&packet[..20]).checksum();
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    let offload = VirtioNetHdr {
        flags: NEEDS_CSUM,
        gso_type,
        hdr_len: 20,
        gso_size: 1000,
        csum_start: 20,
        csum_offset,
    };
    (packet, offload)
}

fn all_of(device: &tun_tap::Iface) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut buffer = [0; 2000];
    let mut deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        match device.recv(&mut buffer) {
            // Not a neighbour's or router's packet of IPv6.
            Ok(length) if buffer[0] >> 4 == 4 => {
                packets.push(buffer[..length].to_vec());
                deadline = Instant::now() + Duration::from_millis(200);
            }
            Ok(_) => (),
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
    packets
}
