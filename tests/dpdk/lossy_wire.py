"""Carries Ethernet frames between two interfaces and loses some of those of the carrier (IPv4, UDP port 7401), from a fixed seed.

    lossy_wire.py INTERFACE INTERFACE THOUSANDTHS     until SIGTERM; prints "ready", and at the end what it lost
"""
import random
import select
import signal
import socket
import sys

PORT = (7401).to_bytes(2, "big")
ETH_P_ALL = 3
PACKET_OUTGOING = 4
SOL_PACKET, PACKET_VNET_HDR = 263, 15
# What the kernel says of a frame before it: that its checksum is still to be made, above all. It is handed on with it.
VNET_HEADER = 10


def main():
    names, loss = sys.argv[1:3], int(sys.argv[3])
    chance = random.Random(7)
    ends = []
    for name in names:
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        end.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        end.bind((name, 0))
        ends.append(end)
    carried = lost = 0

    def stop(*_):
        print(f"carried {carried}, lost {lost}", flush=True)
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    print("ready", flush=True)
    while True:
        for end in select.select(ends, [], [])[0]:
            whole, address = end.recvfrom(VNET_HEADER + 65536)
            frame = whole[VNET_HEADER:]
            if address[2] == PACKET_OUTGOING:
                continue
            if frame[12:14] == b"\x08\x00" and frame[23] == 17 and frame[36:38] == PORT and chance.randrange(1000) < loss:
                lost += 1
                continue
            try:
                ends[1 - ends.index(end)].send(whole)
                carried += 1
            except OSError:
                lost += 1  # the other end is full or down


if __name__ == "__main__":
    main()
