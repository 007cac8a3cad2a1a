"""An HTTP application for tests of the bridge: small, strict about nothing, standard library only.

    application.py HOST:PORT|unix:PATH [--silent-end]

GET  /                 the process number and what the request's head was
GET  /bytes/N          N bytes of a known kind, with their length
GET  /chunks/N         the same in chunks
GET  /stream/N         the same to the end of the stream
PUT  /sum              length and SHA-256 of the body
GET  /status/N         a response with this status
GET  /wait             prints 'waiting', then waits until its client leaves, and prints 'left'
GET  /slow/MS          answers after so many milliseconds
GET  /exit             ends the process
GET  /raw/NAME         a response that is not valid
GET  /socket           a WebSocket upgrade: echoes bytes
"""
import hashlib
import os
import select
import signal
import socket
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler

PIECE = hashlib.sha256(b"slotwire").digest() * 2048  # 64 KiB

RAW = {
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "both": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "large": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70000 + b"\r\nContent-Length: 0\r\n\r\n",
    "no-head": b"nonsense\r\n\r\n",
    "bad-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    "short": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
    "unprocessed": b"HTTP/1.1 503 No\r\nSlotwire-Unprocessed: 1\r\nContent-Length: 0\r\n\r\n",
    "more": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    "early-hints": b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
}


def say(line):
    """In one piece: print() writes a line and its end separately, between which another thread may write."""
    os.write(1, (line + "\n").encode())


def pieces(size):
    while size > 0:
        piece = PIECE[:size]
        yield piece
        size -= len(piece)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            while True:
                size = int(self.rfile.readline(), 16)
                left = size
                while left:
                    piece = self.rfile.read(min(left, 65536))
                    yield piece
                    left -= len(piece)
                self.rfile.readline()
                if size == 0:
                    return
        left = int(self.headers.get("Content-Length", 0))
        while left:
            piece = self.rfile.read(min(left, 65536))
            if not piece:
                raise ConnectionResetError
            yield piece
            left -= len(piece)

    def answer(self, text, status=200, **fields):
        data = text.encode() if isinstance(text, str) else text
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_GET(self):
        kind, _, rest = self.path[1:].partition("?")[0].partition("/")
        getattr(self, "get_" + (kind or "index"), self.not_found)(rest)

    do_HEAD = do_GET
    do_DELETE = do_GET

    def not_found(self, _):
        self.answer("not found", 404)

    def get_index(self, _):
        self.answer(f"{os.getpid()}\n{self.requestline}\n{self.headers}")

    def get_bytes(self, size):
        self.send_response(200)
        self.send_header("Content-Length", size)
        self.end_headers()
        if self.command != "HEAD":
            for piece in pieces(int(size)):
                self.wfile.write(piece)

    def get_chunks(self, size):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces(int(size)):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def get_stream(self, size):
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        for piece in pieces(int(size)):
            self.wfile.write(piece)
        self.close_connection = True

    def get_status(self, status):
        self.send_response(int(status))
        if int(status) not in (204, 304):
            self.send_header("Content-Length", "0")
        self.end_headers()

    def get_wait(self, _):
        say("waiting")
        select.select([self.connection], [], [])
        say("left")
        self.close_connection = True

    def get_slow(self, ms):
        time.sleep(int(ms) / 1000)
        self.answer(f"{os.getpid()}")

    def get_exit(self, _):
        os._exit(3)

    def get_raw(self, name):
        self.wfile.write(RAW[name])
        self.close_connection = name != "more"

    def get_socket(self, _):
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                         b"Sec-WebSocket-Accept: x\r\n\r\n")
        while True:
            data = self.connection.recv(65536)
            if not data:
                break
            self.connection.sendall(data)
        self.close_connection = True

    def do_PUT(self):
        if self.path.startswith("/early"):  # answers without reading
            self.answer("no", 403)
            self.close_connection = True
            return
        if self.path == "/wait":
            say("waiting")
            try:
                for _ in self.body():
                    pass
            except OSError:
                pass
            say("left")
            self.close_connection = True
            return
        size, digest = 0, hashlib.sha256()
        for piece in self.body():
            size += len(piece)
            digest.update(piece)
        self.answer(f"{size} {digest.hexdigest()}")

    do_POST = do_PUT


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 512

    def handle_error(self, *_):
        pass  # a client that left


class UnixServer(Server):
    address_family = socket.AF_UNIX

    def get_request(self):
        connection, _ = super().get_request()
        return connection, ("unix", 0)


class UnixHandler(Handler):
    disable_nagle_algorithm = False


def main():
    address = sys.argv[1]
    if address.startswith("unix:"):
        path = address[5:]
        if os.path.exists(path):
            os.unlink(path)
        server = UnixServer(path, UnixHandler)
    else:
        host, _, port = address.rpartition(":")
        server = Server((host, int(port)), Handler)
    in_turn = threading.Event()

    def stop(*_):
        in_turn.set()

    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("listening", flush=True)
    in_turn.wait()
    os._exit(0)


if __name__ == "__main__":
    main()
