"""A mix of NAT64 traffic. `mix.py serve` answers; `mix.py ask SECONDS SEED` asks by every protocol, checks
each answer, and says how many of each kind there were."""
import collections, errno, random, select, socket, struct, sys, threading, time

HERE, THERE = "203.0.113.90", "64:ff9b::203.0.113.90"
STREAM, ECHO, UNSUMMED, CLOSED = 7000, 7001, 7002, 7003
SO_NO_CHECK, UDP_SEGMENT, IPV6_RECVERR, IPV6_UNICAST_HOPS = 11, 103, 25, 16


def serve():
    def echo(port, unsummed):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        one.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, unsummed)
        # Neither DF nor what was learnt of the path: answers may be cut on the way.
        one.setsockopt(socket.IPPROTO_IP, 10, 0)
        one.bind((HERE, port))
        while True:
            data, source = one.recvfrom(65535)
            one.sendto(data, source)

    def stream(connection):
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    threading.Thread(target=echo, args=(ECHO, 0), daemon=True).start()
    threading.Thread(target=echo, args=(UNSUMMED, 1), daemon=True).start()
    listener = socket.create_server((HERE, STREAM), backlog=128)
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=stream, args=(connection,), daemon=True).start()


def asks():
    one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    one.settimeout(2)
    return one


def tcp(rng):
    data = rng.randbytes(rng.choice([1, 100, 1440, 5_000, 65_000, 300_000]) + rng.randrange(8))
    with socket.create_connection((THERE, STREAM), 5) as one:
        sender = threading.Thread(target=one.sendall, args=(data,))
        sender.start()
        got = b""
        while len(got) < len(data):
            more = one.recv(65536)
            assert more, "closed too early"
            got += more
        sender.join()
    assert got == data


def udp(rng, port=ECHO, longest=1400):
    data = rng.randbytes(rng.randrange(longest))
    with asks() as one:
        one.connect((THERE, port))
        one.send(data)
        assert one.recv(65535) == data


def fragments(rng):
    data = rng.randbytes(rng.randrange(2000, 8000))
    with asks() as one:
        one.connect((THERE, ECHO))
        one.send(data)
        try:
            answer = one.recv(65535)
        except OSError as error:
            # It was told a lesser MTU, and cuts to that from now on (RFC 8201).
            if error.errno != errno.EMSGSIZE:
                raise
            one.send(data)
            answer = one.recv(65535)
        assert answer == data


def segments(rng):
    size, count = rng.randrange(100, 1200), rng.randrange(2, 20)
    data = rng.randbytes(size * count - rng.randrange(size))
    with asks() as one:
        one.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
        one.connect((THERE, ECHO))
        one.send(data)
        # In whatever order they come.
        sent = [data[at:at + size] for at in range(0, len(data), size)]
        assert sorted(one.recv(65535) for _ in sent) == sorted(sent)


def ping(rng):
    data = struct.pack("!BBHHH", 128, 0, 0, rng.randrange(65536), rng.randrange(65536)) + rng.randbytes(rng.randrange(1400))
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as one:
        one.sendto(data, (THERE, 0))
        until = time.monotonic() + 2
        while select.select([one], [], [], max(0, until - time.monotonic()))[0]:
            answer = one.recv(65535)
            if answer[0] == 129 and answer[4:] == data[4:]:
                return
    raise TimeoutError


def refused(rng):
    with asks() as one:
        one.connect((THERE, CLOSED))
        one.send(rng.randbytes(rng.randrange(1400)))
        try:
            one.recv(100)
            raise AssertionError("somebody is there")
        except ConnectionRefusedError:
            pass


def expired(rng):
    with asks() as one:
        one.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        # One for the router in front, one for the gateway.
        one.setsockopt(socket.IPPROTO_IPV6, IPV6_UNICAST_HOPS, 2)
        one.connect((THERE, ECHO))
        one.send(rng.randbytes(rng.randrange(1400)))
        try:
            one.recv(100)
            raise AssertionError("it came through")
        except OSError as error:
            assert error.errno == errno.EHOSTUNREACH, error


def ask(seconds, seed):
    rng, counts = random.Random(seed), collections.Counter()
    kinds = [tcp, udp, lambda rng: udp(rng, UNSUMMED), fragments, segments, ping, refused, expired]
    names = ["tcp", "udp", "unsummed", "fragments", "segments", "ping", "refused", "expired"]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        kind = rng.randrange(len(kinds))
        try:
            kinds[kind](rng)
            counts[names[kind]] += 1
        except TimeoutError:
            counts["lost"] += 1
        time.sleep(0.002)
    print(" ".join(f"{name}={counts[name]}" for name in [*names, "lost"]))


if sys.argv[1] == "serve":
    serve()
else:
    ask(float(sys.argv[2]), int(sys.argv[3]))
