//! Opening, and what goes wrong with it; single packets.

use std::os::unix::fs::MetadataExt;

use super::*;

#[test]
fn reads_what_a_socket_sends_and_answers_it() {
    in_namespace(|| {
        let mut tun = up("eth0", "10.0.0.1/24", &TunOptions::default());
        let mut slot = vec![0; SLOT];
        let socket = UdpSocket::bind("10.0.0.1:4000").unwrap();
        socket.send_to(b"over", "10.0.0.2:53").unwrap();
        let frame = next(&mut tun, &mut slot);
        assert_eq!(frame.start, HEADROOM);
        assert!(frame.offload.needs_csum(), "offloads are on, so the kernel leaves the sum to us");
        let mut packet = frame.packet(&mut slot).unwrap().to_vec();
        complete_checksum(&mut packet, frame.offload).unwrap();
        let sliced = SlicedPacket::from_ip(&packet).unwrap();
        let Some(TransportSlice::Udp(udp)) = sliced.transport else { panic!("{sliced:?}") };
        assert_eq!((udp.payload(), udp.destination_port()), (&b"over"[..], 53));

        let mut answer = Vec::new();
        let builder = PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64).udp(53, 4000);
        builder.write(&mut answer, b"out").unwrap();
        let frame = put(&mut slot, &answer, VirtioNetHdr::PLAIN);
        tun.send(&mut slot, frame).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut buffer = [0; 10];
        assert_eq!(socket.recv(&mut buffer).unwrap(), 3);
        assert_eq!(tun.refused(), 0);
    });
}

#[test]
fn without_gso_the_kernel_finishes_checksums() {
    in_namespace(|| {
        let mut tun = up("eth0", "10.0.0.1/24", &TunOptions { gso: false });
        assert_eq!(tun.takes(), Offloads::default());
        let socket = UdpSocket::bind("10.0.0.1:4000").unwrap();
        socket.send_to(b"over", "10.0.0.2:53").unwrap();
        let mut slot = vec![0; SLOT];
        assert!(!next(&mut tun, &mut slot).offload.needs_csum());
    });
}

#[test]
fn the_kernel_answers_an_echo_on_one_of_the_queues() {
    in_namespace(|| {
        let mut first = up("eth0", "10.0.0.1/24", &TunOptions::default());
        let mut second = first.another_queue().unwrap();
        assert_eq!((second.name(), second.takes()), ("eth0", first.takes()));
        let mut slot = vec![0; SLOT];
        for asked in 0..2_u16 {
            let mut request = Vec::new();
            PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64)
                .icmpv4_echo_request(asked, 1)
                .write(&mut request, b"hello")
                .unwrap();
            let frame = put(&mut slot, &request, VirtioNetHdr::PLAIN);
            let queue = if asked == 0 { &mut first } else { &mut second };
            queue.send(&mut slot, frame).unwrap();
            wait(&[&first, &second]);
            let mut answers = Vec::new();
            for queue in [&mut first, &mut second] {
                while let Some(frame) = queue.receive(&mut slot).unwrap() {
                    answers.push(frame.packet(&mut slot).unwrap().to_vec());
                }
            }
            let [answer] = &answers[..] else { panic!("{answers:?}") };
            let sliced = SlicedPacket::from_ip(answer).unwrap();
            let Some(TransportSlice::Icmpv4(icmp)) = sliced.transport else { panic!("{sliced:?}") };
            let Icmpv4Type::EchoReply(header) = icmp.icmp_type() else { panic!("{icmp:?}") };
            assert_eq!((header.id, icmp.payload()), (asked, &b"hello"[..]));
        }
    });
}

#[test]
fn a_handle_follows_its_device_until_that_ends() {
    in_namespace(|| {
        let tun = Tun::open("eth0", &TunOptions::default()).unwrap();
        let handle = Handle::of(&tun).unwrap();
        let here = || std::fs::metadata("/proc/thread-self/ns/net").unwrap().ino();
        let inode = |place: &Place| rustix::fs::fstat(&place.namespace).unwrap().st_ino;
        let place = handle.place().unwrap();
        assert_eq!((inode(&place), &*place.name), (here(), "eth0"));

        ip("link set eth0 name other");
        let home = here();
        in_namespace(|| {
            assert_ne!(here(), home);
            let place = handle.place().unwrap();
            assert_eq!((inode(&place), &*place.name), (home, "other"));
        });
        assert!(!handle.is_gone());
        ip("link delete other");
        assert!(handle.is_gone());
        assert!(matches!(handle.place(), Err(TunError::Gone)));
    });
}

#[test]
fn a_persistent_device_is_opened_again_with_all_that_it_had() {
    in_namespace(|| {
        let options = TunOptions::default();
        assert!(matches!(Tun::reopen("eth0", &options), Err(TunError::Gone)));
        let tun = up("eth0", "10.0.0.1/24", &options);
        assert!(
            matches!(Tun::reopen("eth0", &options), Err(TunError::Gone)),
            "in use, and not to stay"
        );
        let second = tun.another_queue().unwrap();
        let handle = Handle::of(&tun).unwrap();
        assert!(!handle.is_persistent().unwrap());
        handle.persist(true).unwrap();
        drop((tun, second, handle));

        let tun = Tun::reopen("eth0", &options).unwrap();
        let mut queues = [tun.another_queue().unwrap(), tun];
        let socket = UdpSocket::bind("10.0.0.1:4000").unwrap();
        let mut slot = vec![0; SLOT];
        let deadline = Instant::now() + Duration::from_secs(5);
        let frame = loop {
            // The kernel drops what is sent before it has noticed that somebody reads again (`net/core/link_watch.c`).
            socket.send_to(b"over", "10.0.0.2:53").unwrap();
            wait(&queues.each_ref());
            let mut received = queues.iter_mut().map(|tun| tun.receive(&mut slot).unwrap());
            if let Some(frame) = received.find_map(|frame| frame) {
                break frame;
            }
            assert!(Instant::now() < deadline, "nothing came from the device");
        };
        assert_eq!(frame.len, 32);
        let handle = Handle::of(&queues[0]).unwrap();
        handle.persist(false).unwrap();
        drop((queues, handle));
        assert!(matches!(Tun::reopen("eth0", &options), Err(TunError::Gone)));
    });
}

#[test]
fn tells_apart_why_a_device_cannot_be_opened() {
    let open = |name: &str| Tun::open(name, &TunOptions::default());
    in_namespace(move || {
        for name in ["", "sixteen-letters-", "a/b", "a b", "tun%d", ".."] {
            assert!(matches!(open(name), Err(TunError::NameInvalid(_))), "{name}");
        }
        let tun = open("eth0").unwrap();
        assert!(matches!(open("eth0"), Err(TunError::NameTaken(name)) if name == "eth0"));
        assert!(matches!(open("lo"), Err(TunError::NameTaken(_))));

        unshare(UnshareFlags::NEWNET);
        assert!(matches!(tun.another_queue(), Err(TunError::Moved(name)) if name == "eth0"));
    });
    in_namespace(move || {
        let none = CapabilitySet::empty();
        let sets =
            rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
        rustix::thread::set_capabilities(None, sets).unwrap();
        assert!(matches!(open("eth0"), Err(TunError::NotAdmin(_))));
    });
    in_namespace(move || {
        use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
        unshare(UnshareFlags::NEWNS | UnshareFlags::FS);
        let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
        mount_change("/", private).unwrap();
        mount("none", "/dev/net", "tmpfs", MountFlags::empty(), None).unwrap();
        assert!(matches!(open("eth0"), Err(TunError::Missing)));
        std::fs::write("/dev/net/tun", "").unwrap();
        std::os::unix::fs::chown("/dev/net/tun", Some(1), Some(1)).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions("/dev/net/tun", mode).unwrap();
        rustix::thread::set_thread_res_uid(
            rustix::fs::Uid::from_raw(65534),
            rustix::fs::Uid::from_raw(65534),
            rustix::fs::Uid::from_raw(65534),
        )
        .unwrap();
        assert!(matches!(open("eth0"), Err(TunError::Denied)));
    });
}

#[test]
fn a_device_that_is_down_remains_and_one_that_is_gone_does_not() {
    in_namespace(|| {
        let mut tun = up("eth0", "10.0.0.1/24", &TunOptions::default());
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64).udp(53, 4000);
        builder.write(&mut packet, b"x").unwrap();
        let mut slot = vec![0; SLOT];
        let frame = put(&mut slot, &packet, VirtioNetHdr::PLAIN);
        ip("link set eth0 down");
        let error = tun.send(&mut slot, frame).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NetworkDown);
        assert!(tun.receive(&mut slot).unwrap().is_none());

        ip("link set eth0 up");
        tun.send(&mut slot, frame).unwrap();
        ip("link delete eth0");
        assert_eq!(tun.receive(&mut slot).unwrap_err().raw_os_error(), Some(libc::EBADFD));
        assert_eq!(tun.send(&mut slot, frame).unwrap_err().raw_os_error(), Some(libc::EBADFD));
    });
}

#[test]
fn a_device_works_on_after_it_has_moved() {
    in_namespace(|| {
        let mut tun = Tun::open("eth0", &TunOptions::default()).unwrap();
        thread::scope(|scope| {
            let (here, there) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
            scope.spawn(move || {
                unshare(UnshareFlags::NEWNET);
                here.0.send(rustix::thread::gettid().as_raw_nonzero()).unwrap();
                there.1.recv().unwrap();
                ip("address add 10.0.0.1/24 dev eth0");
                ip("link set eth0 up");
                let socket = UdpSocket::bind("10.0.0.1:4000").unwrap();
                socket.send_to(b"over", "10.0.0.2:53").unwrap();
                there.1.recv().unwrap();
            });
            ip(&format!("link set eth0 netns {}", here.1.recv().unwrap()));
            there.0.send(()).unwrap();
            let mut slot = vec![0; SLOT];
            loop {
                let frame = next(&mut tun, &mut slot);
                if frame.packet(&mut slot).unwrap().ends_with(b"over") {
                    break;
                }
            }
            there.0.send(()).unwrap();
        });
    });
}

#[test]
fn a_kind_of_super_packet_that_is_always_refused_is_given_up() {
    in_namespace(|| {
        let mut tun = up("eth0", "10.0.0.1/24", &TunOptions::default());
        let all = tun.takes();
        assert!(all.checksum && all.tcp && all.udp, "this kernel does not offer TSO and USO");
        let mut slot = vec![0; SLOT];
        // Segments of no bytes: what this kernel refuses as a broken one refuses all.
        let offload = VirtioNetHdr { gso_type: gso::TCPV4, ..VirtioNetHdr::PLAIN };
        let frame = put(&mut slot, &[0x45; 40], offload);
        for _ in 0..PATIENCE {
            assert_eq!(tun.takes(), all);
            let error = tun.send(&mut slot, frame).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        assert_eq!(tun.takes(), Offloads { tcp: false, ..all });
    });
}
