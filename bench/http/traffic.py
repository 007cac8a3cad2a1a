#!/usr/bin/env python3
"""What goes over the ways that bench_http.py compares: large transfers and round trips over one TCP connection.

    traffic.py HOST    serves both, prints "serving on port N", until SIGTERM

A transfer ends by a trailer with its length instead of by the end of the connection, because not every way passes on the end of
one direction. Its time goes from the first byte until the receiver's word that it has the last one, so that nothing is counted
that still waits in a buffer.
"""
import socket
import struct
import sys
import threading
import time

PIECE = 1 << 18
END = struct.Struct("!16sQ")  # the trailer: a mark, and the bytes before it
MARK = b"that was the end"
ORDER = struct.Struct("!cdQ")  # what is wanted of the server: a letter, seconds, bytes
DONE = struct.Struct("!Q")
SEND, RECEIVE, ECHO = b"s", b"r", b"e"
MORE, LAST = b"m", b"l"
MESSAGE_BYTES = 64
TIMEOUT_S = 60


def read_exactly(connection, count):
    data = bytearray()
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionError("the connection ended in the middle")
        data += piece
    return bytes(data)


def send(connection, seconds, most):
    """Sends for that long, at most so many bytes; returns how many."""
    piece, sent, end = memoryview(bytes(PIECE)), 0, time.monotonic() + seconds
    while sent < most and time.monotonic() < end:
        count = min(PIECE, most - sent)
        connection.sendall(piece[:count])
        sent += count
    connection.sendall(END.pack(MARK, sent))
    return sent


def receive(connection):
    """Until the trailer; returns how many bytes came before it."""
    buffer, tail, count = bytearray(PIECE), b"", 0
    view = memoryview(buffer)
    while True:
        got = connection.recv_into(buffer)
        if got == 0:
            raise ConnectionError("the transfer ended before its trailer")
        count += got
        tail = (tail + bytes(view[max(0, got - END.size):got]))[-END.size:]
        if tail.startswith(MARK):
            said = END.unpack(tail)[1]
            if said != count - END.size:
                raise ConnectionError(f"{count - END.size} bytes came of {said}")
            return said


def connect(host, port):
    connection = socket.create_connection((host, port), timeout=TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def transfer(connection, to_server, seconds, most):
    """Bytes of one transfer, and the seconds that it took."""
    start = time.monotonic()
    connection.sendall(ORDER.pack(RECEIVE if to_server else SEND, seconds, most))
    if to_server:
        count = send(connection, seconds, most)
        if DONE.unpack(read_exactly(connection, DONE.size))[0] != count:
            raise ConnectionError("the server has not what was sent")
    else:
        count = receive(connection)
    return count, time.monotonic() - start


def round_trips(connection, count, seconds):
    """Microseconds of up to `count` echoes, one after the other."""
    connection.sendall(ORDER.pack(ECHO, 0, 0))
    times, end, last = [], time.monotonic() + seconds, False
    while not last:
        last = len(times) + 1 >= count or time.monotonic() > end
        start = time.perf_counter_ns()
        connection.sendall((LAST if last else MORE) * MESSAGE_BYTES)
        read_exactly(connection, MESSAGE_BYTES)
        times.append((time.perf_counter_ns() - start) / 1e3)
    return times


def handle(connection):
    with connection:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                order, seconds, most = ORDER.unpack(read_exactly(connection, ORDER.size))
                if order == RECEIVE:
                    connection.sendall(DONE.pack(receive(connection)))
                elif order == SEND:
                    send(connection, seconds, most)
                else:
                    message = MORE
                    while not message.startswith(LAST):
                        message = read_exactly(connection, MESSAGE_BYTES)
                        connection.sendall(message)
        except OSError:
            pass  # the client has ended it


def main():
    listener = socket.create_server((sys.argv[1], 0), backlog=64)
    print(f"serving on port {listener.getsockname()[1]}", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=handle, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
