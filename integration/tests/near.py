# What a client does on the near side of a NAT gateway, told by lines: VERB COUNT SIZE.
import socket, sys, time

FAR = "203.0.113.90"
held = []
datagrams, echoes = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]


def connect(port):
    one = socket.socket()
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one.connect((FAR, port))
    return one


for line in sys.stdin:
    verb, count, size = line.split()
    count, size = int(count), int(size)
    for n in range(count):
        if verb == "send":  # datagrams that nobody answers
            datagrams.sendto(bytes(size), (FAR, 9))
        elif verb == "echo":  # datagrams that are sent back
            echoes.sendto(bytes(size), (FAR, 7))
            assert len(echoes.recv(65536)) == size
        elif verb == "talk":  # connections that carry bytes both ways, and are closed from the far side
            one = connect(5000)
            one.sendall(bytes(size))
            got = 0
            while more := one.recv(65536):
                got += len(more)
            assert got == size, (got, size)
            one.close()
            time.sleep(0.02)
        elif verb == "hold":  # connections that stay
            one = connect(5001)
            one.sendall(bytes(size))
            assert len(one.recv(65536)) == size
            held.append(one)
        elif verb == "reset":  # the held ones end with a reset
            one = held.pop()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            one.close()
        elif verb == "late":  # the held ones go on after too long a silence
            one = held.pop()
            one.sendall(bytes(size))
            try:
                one.recv(1)
                raise AssertionError("no reset")
            except ConnectionResetError:
                one.close()
        elif verb == "refused":  # connections that nobody takes
            try:
                connect(81)
                raise AssertionError("taken")
            except ConnectionRefusedError:
                pass
        else:
            raise AssertionError(verb)
    print("done", flush=True)
