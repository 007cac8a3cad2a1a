"""The same nginx, the same backend, the same bytes from the client: slotwire_pass answers as proxy_pass does, or refuses more.

Each case is sent twice on a new connection, once to each, and both what the client gets and what the backend got are compared.
What differs is listed in STRICTER and INTERIM, with the reason; a difference that is not listed fails, and so does an entry
without a difference.
"""
import itertools
import re
import socket
import threading
import unittest

from nodes import TIMEOUT, free_port
from web import WebTest

# The requests ask for the end of the connection, so that both answers are read to their ends.
HOST = "Host: example.test\r\n"
CLOSE = "Connection: close\r\n"


def requests():
    """(name, bytes of the client)"""
    def case(name, text, body=b""):
        cases.append((name, text.encode("latin-1") + body))

    cases = []
    # Every method with and without a body, in each framing.
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "MKCOL", "LOCK", "UNLOCK", "COPY", "MOVE", "FOO", "get", "TRACE", "CONNECT"):
        case(f"{method} plain", f"{method} /echo HTTP/1.1\r\n{HOST}{CLOSE}\r\n")
        case(f"{method} length", f"{method} /echo HTTP/1.1\r\n{HOST}{CLOSE}Content-Length: 5\r\n\r\n", b"hello")
        case(f"{method} zero", f"{method} /echo HTTP/1.1\r\n{HOST}{CLOSE}Content-Length: 0\r\n\r\n")
        case(f"{method} chunked", f"{method} /echo HTTP/1.1\r\n{HOST}{CLOSE}Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        case(f"{method} 1.0", f"{method} /echo HTTP/1.0\r\n{HOST}\r\n")
    # Addresses.
    for target in ("/", "/echo?", "/echo?a=b&c", "/echo?a?b", "/a%20b", "/a%2fb", "/a%2Fb/../c", "/a/./b", "//a//b", "/a/../b", "/a/%2e%2e/b", "/..%2f", "/../x", "/%", "/%zz", "/%00",
                   "/%0d%0aX:y", "/a b", "/a\tb", "/a\x01b", "/a\x7fb", "/\xff", "/%ff", "*", "a", "http://example.test/abs", "http://other.test/abs", "http://other.test:81/abs?x",
                   "https://example.test/x", "http:///x", "/x#frag", "/x;p=1", "/" + "y" * 900, "/" + "y" * 9000, "/\\", "/<>", "/\"", "/{}|^`", "/a+b", "/a&b=c", "/~u", "/:x", "/x@y",
                   "/echo?x=%0d%0aY:z", "/echo?" + "q" * 900):
        case(f"target {target[:30]!r}{len(target)}", f"GET {target} HTTP/1.1\r\n{HOST}{CLOSE}\r\n")
    # Request lines.
    for line in ("GET /echo", "GET /echo HTTP/2.0", "GET /echo HTTP/1.2", "GET /echo HTTP/1.", "GET /echo http/1.1", "GET  /echo HTTP/1.1", "GET /echo  HTTP/1.1", "GET /echo HTTP/1.1 ",
                 " GET /echo HTTP/1.1", "GET\t/echo HTTP/1.1", "GET /echo HTTP/1.1x", "GET/echo HTTP/1.1", "G@T /echo HTTP/1.1", "", "GET", "GET /echo HTTP/11", "GET /echo HTTP/0.9",
                 "\x16\x03\x01", "GET /echo HTTP/1.1\rX: y"):
        case(f"line {line!r}", f"{line}\r\n{HOST}{CLOSE}\r\n")
    # Headers that smuggle, inject or break framing.
    fields = {
        "length and chunked": "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "chunked and length": "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "two lengths": "Content-Length: 5\r\nContent-Length: 6\r\n",
        "same lengths": "Content-Length: 5\r\nContent-Length: 5\r\n",
        "length list": "Content-Length: 5, 5\r\n",
        "length plus": "Content-Length: +5\r\n",
        "length minus": "Content-Length: -5\r\n",
        "length hex": "Content-Length: 0x5\r\n",
        "length empty": "Content-Length:\r\n",
        "length text": "Content-Length: five\r\n",
        "length spaces": "Content-Length:    5   \r\n",
        "length tab": "Content-Length:\t5\r\n",
        "length space in name": "Content-Length : 5\r\n",
        "length huge": "Content-Length: 99999999999999999999\r\n",
        "length zeros": "Content-Length: 0005\r\n",
        "length underscore": "Content_Length: 5\r\n",
        "coding gzip": "Transfer-Encoding: gzip\r\n",
        "coding gzip chunked": "Transfer-Encoding: gzip, chunked\r\n",
        "coding chunked gzip": "Transfer-Encoding: chunked, gzip\r\n",
        "coding identity": "Transfer-Encoding: identity\r\n",
        "coding twice": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "coding then identity": "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "coding case": "transfer-encoding: CHUNKED\r\n",
        "coding space": "Transfer-Encoding : chunked\r\n",
        "coding tab": "Transfer-Encoding:\tchunked\r\n",
        "coding quoted": 'Transfer-Encoding: "chunked"\r\n',
        "coding vertical tab": "Transfer-Encoding: \x0bchunked\r\n",
        "coding xchunked": "Transfer-Encoding: xchunked\r\n",
        "coding fold": "Transfer-Encoding:\r\n chunked\r\n",
        "coding bare cr": "X: y\rTransfer-Encoding: chunked\r\n",
        "coding nul": "Transfer-Encoding: chunked\0\r\n",
        "coding empty": "Transfer-Encoding:\r\n",
        "coding comma": "Transfer-Encoding: ,chunked\r\n",
        "fold": "X-Fold: a\r\n b\r\n",
        "fold tab": "X-Fold: a\r\n\tb\r\n",
        "bare lf": "X-A: b\nX-C: d\r\n",
        "bare cr": "X-A: b\rX-C: d\r\n",
        "nul": "X-A: b\0c\r\n",
        "control": "X-A: b\x01c\r\n",
        "delete": "X-A: b\x7fc\r\n",
        "high": "X-A: b\xffc\r\n",
        "no colon": "nonsense\r\n",
        "no name": ": value\r\n",
        "space name": "X A: b\r\n",
        "space first": " X-A: b\r\n",
        "underscore": "X_A: b\r\n",
        "empty value": "X-A:\r\n",
        "long value": "X-A: " + "b" * 3000 + "\r\n",
        "too long value": "X-A: " + "b" * 40000 + "\r\n",
        "many fields": "".join(f"X-{n}: {n}\r\n" for n in range(90)),
        "two hosts": "Host: other.test\r\n",
        "expect": "Expect: 100-continue\r\nContent-Length: 5\r\n",
        "expect other": "Expect: nothing\r\n",
        "connection names": "Connection: X-Gone\r\nX-Gone: yes\r\n",
        "connection length": "Connection: Content-Length\r\nContent-Length: 5\r\n",
        "upgrade": "Upgrade: websocket\r\nConnection: Upgrade\r\n",
        "upgrade h2c": "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        "te trailers": "TE: trailers\r\n",
        "trailer": "Trailer: X-T\r\nTransfer-Encoding: chunked\r\n",
        "keep-alive": "Keep-Alive: timeout=5\r\n",
        "proxy-connection": "Proxy-Connection: keep-alive\r\n",
        "range": "Range: bytes=1-2\r\n",
        "if-none-match": 'If-None-Match: "x"\r\n',
        "cookies": "Cookie: a=b\r\nCookie: c=d\r\n",
        "forwarded": "X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n",
        "authorization": "Authorization: Basic eDp5\r\n",
        "accept-encoding": "Accept-Encoding: gzip\r\n",
    }
    for (name, text), method in itertools.product(fields.items(), ("GET", "POST")):
        case(f"{method} {name}", f"{method} /echo HTTP/1.1\r\n{HOST}{CLOSE}{text}\r\n", b"0\r\n\r\n" if "chunked" in text.lower() else b"hello")
    for host in ("", "Host:\r\n", "Host: a b\r\n", "Host: example.test:80\r\n", "Host: [::1]\r\n", "Host: EXAMPLE.test\r\n", "Host: a/b\r\n", "Host: a\0b\r\n", "Host: example.test.\r\n", "Host: @\r\n"):
        case(f"host {host!r}", f"GET /echo HTTP/1.1\r\n{host}{CLOSE}\r\n")
    # Chunks.
    for name, body in {
        "extension": b"3;x=y\r\nabc\r\n0\r\n\r\n", "extension quoted": b'3;x="y"\r\nabc\r\n0\r\n\r\n', "trailers": b"3\r\nabc\r\n0\r\nX-T: y\r\n\r\n", "upper": b"A\r\n0123456789\r\n0\r\n\r\n",
        "zeros": b"0003\r\nabc\r\n000\r\n\r\n", "negative": b"-3\r\nabc\r\n0\r\n\r\n", "plus": b"+3\r\nabc\r\n0\r\n\r\n", "hex prefix": b"0x3\r\nabc\r\n0\r\n\r\n", "not hex": b"g\r\nabc\r\n0\r\n\r\n",
        "space": b"3 \r\nabc\r\n0\r\n\r\n", "space first": b" 3\r\nabc\r\n0\r\n\r\n", "bare lf": b"3\nabc\n0\n\n", "long data": b"3\r\nabcd\r\n0\r\n\r\n", "short data": b"3\r\nab\r\n0\r\n\r\n",
        "huge": b"ffffffffffffffff\r\nabc\r\n0\r\n\r\n", "empty size": b"\r\nabc\r\n0\r\n\r\n", "no end": b"3\r\nabc\r\n", "cr only": b"3\rabc\r0\r\r", "second request": b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
    }.items():
        case(f"chunks {name}", f"POST /echo HTTP/1.1\r\n{HOST}{CLOSE}Transfer-Encoding: chunked\r\n\r\n", body)
    # Several requests on a connection.
    for first, second in itertools.product(("GET /echo?1 HTTP/1.1\r\n" + HOST + "\r\n", "POST /echo?1 HTTP/1.1\r\n" + HOST + "Content-Length: 3\r\n\r\nabc",
                                            "POST /echo?1 HTTP/1.1\r\n" + HOST + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", "HEAD /echo?1 HTTP/1.1\r\n" + HOST + "\r\n",
                                            "GET /answer/none HTTP/1.1\r\n" + HOST + "\r\n", "GET /answer/chunked HTTP/1.1\r\n" + HOST + "\r\n"),
                                           ("GET /echo?2 HTTP/1.1\r\n" + HOST + CLOSE + "\r\n", "\r\nGET /echo?2 HTTP/1.1\r\n" + HOST + CLOSE + "\r\n", "nonsense\r\n\r\n")):
        case(f"pipeline {first[:18]!r} {second[:6]!r}{len(first)}", first + second)
    for name in ANSWERS:
        for method in ("GET", "HEAD", "POST"):
            length = "Content-Length: 0\r\n" if method == "POST" else ""
            case(f"answer {name} {method}", f"{method} /answer/{name.replace(' ', '-')} HTTP/1.1\r\n{HOST}{CLOSE}{length}\r\n")
    return cases


# What the backend answers to /answer/NAME. It ends the connection then, but after answers that say their length (KEPT).
KEPT = (r"status.*|none|not-modified|.*location|no-reason.*|chunked.*|keep-alive|cookies|same-fields|cache-fields|type|auth|refresh|empty-value|high-bytes|underscore|spaces|accel.*|server"
        r"|large|large-chunked")
ANSWERS = {
    **{f"status {status}": f"HTTP/1.1 {status} Reason\r\nContent-Length: 4\r\nX-A: b\r\n\r\nbody" for status in (200, 201, 202, 203, 205, 206, 226, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404,
                                                                                                       405, 409, 410, 411, 413, 416, 418, 422, 429, 451, 500, 501, 502, 503, 504, 507, 599, 600, 999)},
    "none": "HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n',
    "location": "HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/x\r\nContent-Length: 0\r\n\r\n",
    "own location": "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
    "no reason": "HTTP/1.1 200 \r\nContent-Length: 4\r\n\r\nbody",
    "no reason space": "HTTP/1.1 200\r\nContent-Length: 4\r\n\r\nbody",
    "chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n3\r\nmor\r\n0\r\n\r\n",
    "chunked extension": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;a=b\r\nbody\r\n0\r\nX-T: y\r\n\r\n",
    "chunked upper": "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    "to the end": "HTTP/1.1 200 OK\r\n\r\nbody until the end",
    "1.0": "HTTP/1.0 200 OK\r\n\r\nbody until the end",
    "1.0 length": "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody",
    "close": "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody",
    "keep alive": "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=3\r\nContent-Length: 4\r\n\r\nbody",
    "cookies": "HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nSet-Cookie: c=d\r\nContent-Length: 4\r\n\r\nbody",
    "same fields": "HTTP/1.1 200 OK\r\nX-A: 1\r\nX-A: 2\r\nVary: a\r\nVary: b\r\nContent-Length: 4\r\n\r\nbody",
    "cache fields": 'HTTP/1.1 200 OK\r\nCache-Control: max-age=5, public\r\nExpires: Thu, 01 Jan 1970 00:00:01 GMT\r\nETag: "x"\r\nLast-Modified: Thu, 01 Jan 1970 00:00:01 GMT\r\nContent-Length: 4\r\n\r\nbody',
    "type": "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Encoding: br\r\nContent-Length: 4\r\n\r\nbody",
    "auth": 'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 4\r\n\r\nbody',
    "refresh": "HTTP/1.1 200 OK\r\nRefresh: 5; url=/x\r\nContent-Length: 4\r\n\r\nbody",
    "empty value": "HTTP/1.1 200 OK\r\nX-A:\r\nContent-Length: 4\r\n\r\nbody",
    "high bytes": "HTTP/1.1 200 OK\r\nX-A: \xe4\xff\r\nContent-Length: 4\r\n\r\nbody",
    "underscore": "HTTP/1.1 200 OK\r\nX_A: b\r\nContent-Length: 4\r\n\r\nbody",
    "spaces": "HTTP/1.1 200 OK\r\nX-A:   b  c  \r\nContent-Length: 4\r\n\r\nbody",
    "accel buffering": "HTTP/1.1 200 OK\r\nX-Accel-Buffering: no\r\nContent-Length: 4\r\n\r\nbody",
    "accel rate": "HTTP/1.1 200 OK\r\nX-Accel-Limit-Rate: 1000\r\nContent-Length: 4\r\n\r\nbody",
    "server": "HTTP/1.1 200 OK\r\nServer: own\r\nDate: Thu, 01 Jan 1970 00:00:01 GMT\r\nContent-Length: 4\r\n\r\nbody",
    "large": "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + "x" * 300000,
    "large chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + ("1000\r\n" + "y" * 4096 + "\r\n") * 50 + "0\r\n\r\n",
    "short": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
    "long": "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody and more",
    "after chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "bad chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "cut chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nbody",
    "large head": "HTTP/1.1 200 OK\r\nX-A: " + "b" * 9000 + "\r\nContent-Length: 4\r\n\r\nbody",
    "nothing": "",
    "half a line": "HTTP/1.1 20",
    "half a head": "HTTP/1.1 200 OK\r\nX-A: b\r\n",
    "no http": "hello\r\n\r\n",
    "length and chunked": "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    "two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody!",
    "same lengths": "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nbody",
    "length text": "HTTP/1.1 200 OK\r\nContent-Length: four\r\n\r\nbody",
    "length plus": "HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\nbody",
    "length empty": "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nbody",
    "coding gzip": "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nbody",
    "coding gzip chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    "two codings": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    "fold": "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 4\r\n\r\nbody",
    "bare cr": "HTTP/1.1 200 OK\r\nX-A: b\rc\r\nContent-Length: 4\r\n\r\nbody",
    "bare lf": "HTTP/1.1 200 OK\nX-A: b\nContent-Length: 4\n\nbody",
    "nul": "HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 4\r\n\r\nbody",
    "control": "HTTP/1.1 200 OK\r\nX-A: b\x01c\r\nContent-Length: 4\r\n\r\nbody",
    "no colon": "HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 4\r\n\r\nbody",
    "no name": "HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 4\r\n\r\nbody",
    "space in name": "HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 4\r\n\r\nbody",
    "many fields": "HTTP/1.1 200 OK\r\n" + "X: y\r\n" * 300 + "Content-Length: 4\r\n\r\nbody",
    "0.9": "body without a head",
    "http 2": "HTTP/2.0 200 OK\r\nContent-Length: 4\r\n\r\nbody",
    "continue": "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
    "early hints": "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
    "switching": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nbody",
}

# Cases (regular expressions) in which slotwire_pass answers 502 where proxy_pass lets a response through, and why.
STRICTER = {
    r"answer (no http|0\.9) .*": "proxy_pass takes what has no status line for HTTP/0.9 and sends it to the client as it is",
    r"answer http 2 .*": "a status line of another major version; proxy_pass takes it for HTTP/1.1",
    r"answer length and chunked .*": "two framings; proxy_pass takes the chunks",
    r"answer (two|same) lengths .*": "two Content-Length; proxy_pass takes the last one",
    r"answer length (text|plus|empty) .*": "a Content-Length that is no number; proxy_pass reads to the end of the connection",
    r"answer coding gzip( chunked)? .*": "a coding that nginx cannot decode; proxy_pass sends the coded bytes as the body",
    r"answer two codings .*": "a body that is chunked twice; proxy_pass decodes it once",
    r"answer bare lf .*": "lines that end without CR",
    r"answer control .*": "a control byte in a value; proxy_pass sends it to the client",
    r"answer no colon .*": "a line that is no field; proxy_pass adds the colon",
    r"answer many fields .*": "more than 256 fields",
    r"answer switching .*": "101 that nobody asked for; proxy_pass ends HTTP on the client's connection",
}
# Cases in which proxy_pass sends an interim response to the client as if it were the response, and the response as its body.
INTERIM = r"answer (continue|early hints) .*"


def without_chunks(answer):
    """A chunked response with its body in one piece: how nginx cuts it again depends on how it arrived."""
    head, mark, rest = answer.partition(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" not in head:
        return answer
    body = b""
    while match := re.match(rb"([0-9a-f]+)\r\n", rest):
        size = int(match.group(1), 16)
        body += rest[match.end():match.end() + size]
        rest = rest[match.end() + size + 2:]
        if size == 0:
            return head + mark + body + b"(complete)" + rest
    return head + mark + body + b"(incomplete)"


class Compare(WebTest):
    def echo(self, stream):
        while True:
            request = stream.read_request()
            if request.target.startswith("/answer/"):
                name = request.target.removeprefix("/answer/")
                answer = next(text for key, text in ANSWERS.items() if key.replace(" ", "-") == name)
                if not re.fullmatch(KEPT, name):
                    self.send_and_end(stream, answer)
                    raise EOFError
                stream.send(answer)
                continue
            fields = sorted(f"{key}: {value}" for key, value in request.fields)
            body = "\n".join([request.line, *fields, ""]).encode("latin-1") + request.body
            with stream.backend.lock:
                stream.backend.seen.append(body)
            stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(body), b"" if request.method == "HEAD" else body))

    def send_and_end(self, stream, answer):
        """Ends the connection, and tells ask() when nginx has ended it, too."""
        with self.ending:
            self.open_ends += 1
        try:
            stream.send(answer)
            stream.socket.shutdown(socket.SHUT_WR)
            stream.to_end()
        finally:
            with self.ending:
                self.open_ends -= 1
                self.ending.notify_all()

    def ask(self, address, data):
        """All that comes back, to the end of the connection. Then no connection is left to which the backend's end is under way:
        the next request could cross with it."""
        answer = self.exchange(address, data)
        with self.ending:
            self.assertTrue(self.ending.wait_for(lambda: self.open_ends == 0, TIMEOUT))
        return answer

    def exchange(self, address, data):
        with socket.create_connection(address, timeout=20) as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                answer = b""
                while piece := connection.recv(1 << 20):
                    answer += piece
            except ConnectionError:
                pass
            return without_chunks(re.sub(rb"(?m)^Date: .*\r\n", b"", answer))

    def test_the_same_bytes_come_back(self):
        self.ending = threading.Condition()
        self.open_ends = 0  # connections that the backend ends and nginx has not ended yet
        backend = self.backend(self.echo)
        backend.seen = []
        self.proxied = (self.addresses["left"], free_port(self.addresses["left"]))
        common = "client_max_body_size 10m; ignore_invalid_headers on; client_body_timeout 1s;"
        nginx = self.nginx("slotwire_pass web; slotwire_ignore_client_abort on;", http=f"""{common}
            server {{ listen {self.proxied[0]}:{self.proxied[1]}; server_name example.test; location / {{ proxy_pass http://{backend.address}:{backend.port}; proxy_http_version 1.1;
                      proxy_set_header Connection ""; proxy_set_header Host $slotwire_host; proxy_set_header Slotwire-Timeout ""; proxy_ignore_client_abort on; proxy_redirect off; }} }}""")
        cases = requests()
        differences, unused = [], set(STRICTER)
        for name, data in cases:
            results = []
            for address in (self.proxied, (nginx.address, nginx.port)):
                before = len(backend.seen)
                answer = self.ask(address, data)
                results.append((answer, backend.seen[before:]))
            if results[0] == results[1]:
                continue
            entry = next((pattern for pattern in STRICTER if re.fullmatch(pattern, name)), None)
            line = results[1][0].split(b"\r\n")[0]
            if entry is not None and line == b"HTTP/1.1 502 Bad Gateway":
                unused.discard(entry)
                continue
            if re.fullmatch(INTERIM, name) and line == b"HTTP/1.1 200 OK":
                continue
            differences.append(f"{name}: proxy_pass {results[0][0][:300]!r} {results[0][1]!r:.200}\n   slotwire_pass {results[1][0][:300]!r} {results[1][1]!r:.200}")
        print(f"{len(cases)} cases")
        self.assertEqual(len(differences), 0, "\n".join(differences))
        self.assertEqual(unused, set(), "these do not differ")
        self.assertGreater(len(cases), 400)


if __name__ == "__main__":
    unittest.main(verbosity=2)
