# What answers on the far side of a NAT gateway; `scan COUNT SIZE` sends datagrams that nobody asked for.
import socket, sys, threading

NAT = "198.51.100.10"


def datagrams(port, answers):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    one.bind(("", port))
    while True:
        data, source = one.recvfrom(65536)
        if answers:
            one.sendto(data, source)


def streams(port, stays):
    listener = socket.create_server(("", port), backlog=128)
    kept = []
    while True:
        one, _ = listener.accept()
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.sendall(one.recv(65536))
        if stays:
            kept.append(one)
        else:
            one.close()


serve = [(datagrams, 7, True), (datagrams, 9, False), (datagrams, 10, False), (streams, 5000, False), (streams, 5001, True)]
for serve, port, how in serve:
    threading.Thread(target=serve, args=(port, how), daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    verb, count, size = line.split()
    scan = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for n in range(int(count)):
        scan.sendto(bytes(int(size)), (NAT, 2000 + n))
    print("done", flush=True)
