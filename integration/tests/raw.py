"""Sends each line of input to an address by an IP protocol, and says what comes by that protocol."""
import socket, sys, threading
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, int(sys.argv[1]))
def hear():
    while True:
        print("got", raw.recv(2000)[20:].decode(), flush=True)
threading.Thread(target=hear, daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    raw.sendto(line.strip().encode(), (sys.argv[2], 0))
