"""Bodies of 1 GiB: generated at one end, checked at the other, on no disk."""
import concurrent.futures
import hashlib
import os
import random
import socket
import threading
import time
import unittest

from web import MEGABYTE, WebTest, answer, each_request

SIZE = 1 << 30
# Of the session's processes; a body that was kept would show.
MOST_MEMORY = 256 * MEGABYTE


class Pattern:
    """Bytes that differ at every place, without keeping them: megabytes of one random block, each with its number."""

    def __init__(self):
        self.block = os.urandom(MEGABYTE - 8)

    def pieces(self, size):
        for number in range(size // MEGABYTE):
            yield number.to_bytes(8, "big") + self.block

    def digest(self, size):
        digest = hashlib.blake2b()
        for piece in self.pieces(size):
            digest.update(piece)
        return digest.hexdigest()


def digest_of(stream, size):
    digest = hashlib.blake2b()
    left = size
    while left:
        piece = stream.buffered[:left] or stream.socket.recv(min(MEGABYTE, left))
        if not piece:
            raise EOFError
        stream.buffered = stream.buffered[len(piece):] if stream.buffered else b""
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest()


class Large(WebTest):
    def setUp(self):
        super().setUp()
        self.pattern = Pattern()

    def check_memory(self, nginx):
        for pid in nginx.worker_pids():
            with open(f"/proc/{pid}/smaps_rollup") as file:
                private = sum(int(line.split()[1]) for line in file if line.startswith(("Private_Dirty", "Private_Clean")))
            self.assertLess(private * 1024, MOST_MEMORY)

    def download(self, location):
        def send(stream, request):
            stream.send(f"HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n")
            for piece in self.pattern.pieces(SIZE):
                stream.send(piece)

        self.backend(each_request(send))
        nginx = self.nginx(location)
        client = self.client(nginx)
        client.send("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n")
        line, fields = client.head()
        self.assertEqual(dict(fields)["Content-Length"], str(SIZE))
        self.assertEqual(digest_of(client, SIZE), self.pattern.digest(SIZE))
        self.check_memory(nginx)

    def test_download_unbuffered(self):
        self.download("slotwire_pass web; slotwire_buffering off;")

    def test_download_buffered_without_a_file(self):
        self.download("slotwire_pass web; slotwire_max_temp_file_size 0; slotwire_buffers 16 32k;")

    def test_download_to_a_client_that_stops_now_and_then(self):
        """What nginx holds of the ring is sent although the server cannot send more before, and little is held."""
        size = 256 * MEGABYTE

        def send(stream, request):
            stream.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")
            for piece in self.pattern.pieces(size):
                stream.send(piece)

        self.backend(each_request(send))
        nginx = self.nginx("slotwire_pass web; slotwire_max_temp_file_size 0; slotwire_buffers 16 32k; slotwire_busy_buffers_size 256k;")
        client = self.client(nginx)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        client.send("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n")
        client.head()
        self.assertEqual(digest_of(client, size), self.pattern.digest(size))

    def test_buffers_of_every_size_and_clients_of_every_pace(self):
        """nginx counts what is busy in whole buffers and relies on it, whatever lies in the ring instead of them."""
        seed = random.Random(7)
        size, clients = 400_000, 6
        block = seed.randbytes(size)
        buffers = [(2, 4096), (8, 4096), (2, 65536), (4, 16384), (2, MEGABYTE)]
        places = [(number, each, busy, temp) for number, each in buffers for busy in sorted({each, each * (number - 1)}) for temp in ("0", "2m")]

        def send(stream, request):
            stream.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")
            at = 0
            while at < size:  # pieces as they come from an application
                end = min(size, at + seed.randint(1, 60_000))
                stream.send(block[at:end])
                at = end

        def read(nginx, place, pace):
            client = nginx.connect()
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, pace.choice((65536, 262144)))
            client.send(f"GET /{place}/ HTTP/1.1\r\nHost: paces.test\r\nConnection: close\r\n\r\n")
            client.head()
            body = bytearray(client.buffered)
            while piece := client.socket.recv(pace.choice((4096, 16384, 65536))):
                body += piece
                if pace.random() < 0.1:
                    time.sleep(pace.uniform(0, 0.02))  # a client that is away for a moment
            client.close()
            return bytes(body) == block

        self.backend(each_request(send))
        locations = "".join(
            f"location /{at}/ {{ slotwire_buffer_size 4k; slotwire_buffers {number} {each}; slotwire_busy_buffers_size {busy}; "
            f"slotwire_max_temp_file_size {temp}; slotwire_temp_file_write_size {busy}; slotwire_pass web; }} "
            for at, (number, each, busy, temp) in enumerate(places))
        nginx = self.nginx("return 404;", http=f"server {{ listen %LISTEN% sndbuf=16k; server_name paces.test; {locations} }}")
        for at, place in enumerate(places):
            with concurrent.futures.ThreadPoolExecutor(clients) as pool:
                results = [pool.submit(read, nginx, at, random.Random(at * clients + number)) for number in range(clients)]
                self.assertEqual([one.result() for one in results], [True] * clients, place)
        self.assertNotIn("exited on signal", nginx.log())

    def test_upload(self):
        def receive(stream):
            request = stream.read_request(body=False)
            answer(stream, body=digest_of(stream, int(request["Content-Length"])))

        self.backend(receive)
        nginx = self.nginx("slotwire_pass web; slotwire_request_buffering off; client_max_body_size 2g;")
        client = self.client(nginx)
        client.send(f"POST / HTTP/1.1\r\nHost: example.test\r\nContent-Length: {SIZE}\r\n\r\n")
        for piece in self.pattern.pieces(SIZE):
            client.send(piece)
        self.assertEqual(client.read_response()[2].decode(), self.pattern.digest(SIZE))
        self.check_memory(nginx)

    def test_both_ways_in_chunks(self):
        size = 128 * MEGABYTE

        def echo(stream):
            stream.read_request(body=False)
            stream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                length = int(stream.until(b"\r\n"), 16)
                piece = stream.exactly(length)
                stream.until(b"\r\n")
                stream.send(b"%x\r\n%s\r\n" % (length, piece))
                if not length:
                    return

        self.backend(echo)
        nginx = self.nginx("slotwire_pass web; slotwire_request_buffering off; slotwire_buffering off; client_max_body_size 2g;")
        client = self.client(nginx)
        client.send("POST / HTTP/1.1\r\nHost: example.test\r\nTransfer-Encoding: chunked\r\n\r\n")

        def send():
            for piece in self.pattern.pieces(size):
                client.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            client.send("0\r\n\r\n")

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        client.head()
        digest = hashlib.blake2b()
        while True:
            length = int(client.until(b"\r\n"), 16)
            digest.update(client.exactly(length))
            client.until(b"\r\n")
            if not length:
                break
        sender.join(30)
        self.assertEqual(digest.hexdigest(), self.pattern.digest(size))


if __name__ == "__main__":
    unittest.main(verbosity=2)
