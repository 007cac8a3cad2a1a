"""Sends datagrams to four ports of an address and compares what comes back: ask_echo.py ADDRESS FIRST_PORT COUNT.

Some stay under way at a time; one that does not come back is sent again, as UDP's users do. Exit status 1: one came back wrong, or
never.
"""
import random
import select
import socket
import sys
import time

PORTS, WINDOW, AGAIN_S, PATIENCE_S = 4, 8, 2.0, 90

address, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(7)
sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(PORTS)]
for number, sock in enumerate(sockets):
    sock.connect((address, first + number))
waiting = [dict() for _ in sockets]  # by port: number -> (bytes, when it is sent again)
begin, sent, back, again, twice = time.monotonic(), 0, 0, 0, 0
while back < count:
    now = time.monotonic()
    if now - begin > PATIENCE_S:
        sys.exit(f"{back} of {count} came back")
    while sent < count and sum(map(len, waiting)) < WINDOW:
        data = sent.to_bytes(4, "big") + chance.randbytes(chance.randrange(1400))
        waiting[sent % PORTS][sent] = (data, now + AGAIN_S)
        sockets[sent % PORTS].send(data)
        sent += 1
    for sock, open_ones in zip(sockets, waiting):
        for number, (data, when) in list(open_ones.items()):
            if when < now:
                sock.send(data)
                open_ones[number] = (data, now + AGAIN_S)
                again += 1
    for sock in select.select(sockets, [], [], AGAIN_S)[0]:
        data = sock.recv(2048)
        open_ones, number = waiting[sockets.index(sock)], int.from_bytes(data[:4], "big")
        if number not in open_ones:
            twice += 1
        elif open_ones[number][0] != data:
            sys.exit(f"datagram {number} came back wrong")
        else:
            del open_ones[number]
            back += 1
print(f"{back} came back, {again} sent again, {twice} came twice", flush=True)
