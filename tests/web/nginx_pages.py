"""slotwire_pass: requests and responses, in any framing, and what the directives change about them."""
import gzip
import os
import random
import socket
import subprocess
import threading
import time
import unittest

from nodes import TIMEOUT
from web import MEGABYTE, Stream, WebTest, answer, each_request


def describe(stream, request):
    """Answers with what arrived."""
    lines = [request.line] + [f"{key}: {value}" for key, value in request.fields]
    answer(stream, body="\n".join(lines) + "\n\n" + request.body.decode("latin-1"))


def target_decides(stream, request):
    """Answers as the target says."""
    what = request.target.split("?")[0].strip("/")
    if what == "chunked":
        stream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in ("one ", "two ", "three"):
            stream.send(f"{len(piece):x}\r\n{piece}\r\n")
        stream.send("0\r\n\r\n")
    elif what == "to-the-end":
        stream.send("HTTP/1.1 200 OK\r\n\r\nuntil the end")
        stream.socket.shutdown(socket.SHUT_WR)
    elif what == "empty":
        answer(stream, "204 No Content".replace("204 No Content", "200 OK"))
    elif what == "none":
        stream.send("HTTP/1.1 204 No Content\r\n\r\n")
    elif what == "not-modified":
        stream.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n")
    elif what == "interim":
        stream.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        answer(stream, body="after them")
    elif what.isdigit():
        answer(stream, f"{what} Status", body=f"page of {what}")
    else:
        answer(stream, fields="X-Kept: yes\r\nX-Hidden: no\r\nSlotwire-Unprocessed: 0\r\nServer: backend\r\n", body="" if request.method == "HEAD" else "page")


class Pages(WebTest):
    def test_a_page_goes_through(self):
        backend = self.backend(each_request(lambda stream, request: answer(stream, fields="Content-Type: text/plain\r\n", body="hello " + request.target)))
        nginx = self.nginx("slotwire_pass web;")
        status, fields, body = self.get(nginx, "/a?b=c")
        self.assertEqual((status, body, fields["content-type"]), (200, b"hello /a?b=c", "text/plain"))
        self.assertEqual(backend.requests[0].line, "GET /a?b=c HTTP/1.1")
        self.assertEqual(backend.requests[0]["Host"], "example.test")

    def test_connections_are_kept_and_used_again(self):
        backend = self.backend(each_request(target_decides))
        nginx = self.nginx("slotwire_pass web;", pool="slotwire_pool spare=1;")
        client = self.client(nginx)
        for target, expected in (("/chunked", b"one two three"), ("/empty", b""), ("/none", b""), ("/not-modified", b""),
                                 ("/interim", b"after them"), ("/404", b"page of 404"), ("/500", b"page of 500")) * 20:
            status, fields, body = client.get(target)
            self.assertEqual(body, expected)
        self.assertLessEqual(backend.connections, 3)

    def test_every_framing_of_a_response(self):
        self.backend(each_request(target_decides))
        for buffering in ("on", "off"):
            nginx = self.nginx(f"slotwire_pass web; slotwire_buffering {buffering};")
            client = self.client(nginx)
            self.assertEqual(client.get("/chunked")[::2], (200, b"one two three"))
            self.assertEqual(client.get("/to-the-end")[::2], (200, b"until the end"))
            self.assertEqual(client.get("/empty")[::2], (200, b""))
            self.assertEqual(client.get("/none")[::2], (204, b""))
            self.assertEqual(client.get("/not-modified")[0], 304)
            self.assertEqual(client.get("/interim")[::2], (200, b"after them"))
            self.assertEqual(client.get("/page", method="HEAD")[0], 200)
            self.assertEqual(client.get("/page")[::2], (200, b"page"))

    def test_a_body_arrives_by_length_and_by_chunks(self):
        backend = self.backend(each_request(lambda stream, request: answer(stream, body=str(len(request.body)))))
        for buffering in ("on", "off"):
            nginx = self.nginx(f"slotwire_pass web; slotwire_request_buffering {buffering}; client_max_body_size 100m;")
            client = self.client(nginx)
            body = os.urandom(3 * MEGABYTE)
            self.assertEqual(client.get("/", method="POST", body=body)[2], b"%d" % len(body))
            self.assertEqual(backend.requests[-1].body, body)
            client.send("POST / HTTP/1.1\r\nHost: example.test\r\nTransfer-Encoding: chunked\r\n\r\n")
            for at in range(0, len(body), 100000):
                piece = body[at:at + 100000]
                client.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            client.send("0\r\n\r\n")
            self.assertEqual(client.read_response()[2], b"%d" % len(body))
            self.assertEqual(backend.requests[-1].body, body)
            self.assertEqual("chunked" in backend.requests[-1]["Transfer-Encoding"], buffering == "off")
            self.assertEqual(client.get("/", method="POST")[2], b"0")

    def test_an_upload_that_is_kept_in_a_file(self):
        backend = self.backend(each_request(lambda stream, request: answer(stream, body=str(len(request.body)))))
        for sendfile in ("on", "off"):
            nginx = self.nginx(f"slotwire_pass web; client_body_buffer_size 16k; client_max_body_size 100m; sendfile {sendfile};")
            body = os.urandom(5 * MEGABYTE + 12345)
            self.assertEqual(self.get(nginx, method="POST", body=body)[2], b"%d" % len(body))
            self.assertEqual(backend.requests[-1].body, body)

    def test_pipelined_requests_are_answered_in_order(self):
        self.backend(each_request(lambda stream, request: answer(stream, body=request.target)))
        nginx = self.nginx("slotwire_pass web;")
        client = self.client(nginx)
        client.send("".join(f"GET /{n} HTTP/1.1\r\nHost: example.test\r\n\r\n" for n in range(50)))
        for n in range(50):
            self.assertEqual(client.read_response()[2], b"/%d" % n)

    def test_many_clients_at_once_have_connections_of_their_own(self):
        together = threading.Barrier(60)

        def wait_for_all(stream, request):
            together.wait(30)
            answer(stream, body=request.target)

        backend = self.backend(each_request(wait_for_all))
        nginx = self.nginx("slotwire_pass web;")
        clients = [self.client(nginx) for _ in range(60)]
        for n, client in enumerate(clients):
            client.send(f"GET /{n} HTTP/1.1\r\nHost: example.test\r\n\r\n")
        for n, client in enumerate(clients):
            self.assertEqual(client.read_response()[2], b"/%d" % n)
        self.assertGreaterEqual(backend.connections, 60)

    def test_requests_wait_when_all_connections_are_in_use(self):
        self.backend(each_request(lambda stream, request: answer(stream, body=request.target)))
        nginx = self.nginx("slotwire_pass web;", pool="slotwire_pool spare=1 max=2;")
        clients = [self.client(nginx) for _ in range(32)]
        for n, client in enumerate(clients):
            client.send(f"GET /{n} HTTP/1.1\r\nHost: example.test\r\n\r\n")
        for n, client in enumerate(clients):
            self.assertEqual(client.read_response()[2], b"/%d" % n)

    def test_more_requests_than_may_wait_are_refused(self):
        release = threading.Event()

        def hold(stream, request):
            release.wait(30)
            answer(stream, body="late")

        self.backend(each_request(hold))
        nginx = self.nginx("slotwire_pass web;", pool="slotwire_pool spare=0 max=1 queue=2;")
        clients = [self.client(nginx) for _ in range(4)]
        for client in clients:
            client.send("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n")
            time.sleep(0.1)  # so that they come in this order
        status, fields, _ = clients[3].read_response()
        self.assertEqual((status, fields["slotwire-limit"]), (503, "waiting"))
        nginx.wait_for_log("to service \"web\" is refused by the limit \"waiting\"")
        release.set()
        for client in clients[:3]:
            self.assertEqual(client.read_response()[2], b"late")


class Directives(WebTest):
    def test_headers_of_the_request(self):
        self.backend(each_request(describe))
        nginx = self.nginx("""slotwire_pass web; slotwire_set_header X-Own "$request_method on $host"; slotwire_set_header X-Empty "";
                              slotwire_set_header X-Gone ""; slotwire_set_header Host other.test; slotwire_deadline 7s;""",
                           server="""location /plain { slotwire_pass web; }
                                     location /none { slotwire_pass web; slotwire_pass_request_headers off; slotwire_pass_request_body off;
                                                      slotwire_set_header Content-Length ""; }
                                     location /body { slotwire_pass web; slotwire_set_body "<$request_method>"; slotwire_method PUT; }""")
        client = self.client(nginx)
        own = "X-Gone: 1\r\nX-Stays: 2\r\nConnection: keep-alive, x-hop\r\nKeep-Alive: 5\r\nTE: gzip\r\nSlotwire-Timeout: 999999\r\nUpgrade: x\r\n"
        text = client.get("/", fields=own)[2].decode()
        self.assertIn("\nX-Own: GET on example.test\n", text)
        self.assertIn("\nHost: other.test\n", text)
        self.assertIn("\nX-Stays: 2\n", text)
        self.assertRegex(text, r"\nSlotwire-Timeout: (6\d\d\d|7000)\n")
        for gone in ("X-Empty", "X-Gone", "Connection", "Keep-Alive", "TE:", "999999", "Upgrade"):
            self.assertNotIn(gone, text)
        plain = client.get("/plain", fields=own, host="example.test:8080")[2].decode()
        self.assertIn("\nHost: example.test:8080\n", plain)
        self.assertNotIn("Slotwire-Timeout", plain)
        self.assertEqual(client.get("/none", method="POST", body=b"lost", fields="X-Own: 1\r\n")[2].decode(),
                         "POST /none HTTP/1.1\nHost: example.test\n\n")
        self.assertEqual(client.get("/body", method="POST", body=b"lost")[2].decode().split("\n")[0], "PUT /body HTTP/1.1")
        self.assertIn("\nContent-Length: 6\n\n<POST>", client.get("/body", method="POST", body=b"lost")[2].decode())

    def test_addresses(self):
        backend = self.backend(each_request(describe))
        nginx = self.nginx("slotwire_pass web;", server="""location /from { rewrite ^/from/(.*)$ /to/$1 break; slotwire_pass web; }
                                                          location /named { try_files /nothing @app; } location @app { slotwire_pass web; }""")
        client = self.client(nginx)
        for target, expected in (("/a%20b/../c", "/a%20b/../c"), ("/from/x%20y?q=1", "/to/x%20y?q=1"), ("/named?x", "/named?x"), ("//a//b", "//a//b")):
            client.get(target)
            self.assertEqual(backend.requests[-1].target, expected)

    def test_headers_of_the_response(self):
        self.backend(each_request(target_decides))
        nginx = self.nginx("slotwire_pass web; slotwire_hide_header X-Hidden; slotwire_pass_header Server;", server="location /plain { slotwire_pass web; }")
        client = self.client(nginx)
        fields = client.get("/")[1]
        self.assertEqual((fields["x-kept"], fields["server"]), ("yes", "backend"))
        self.assertNotIn("x-hidden", fields)
        self.assertNotIn("slotwire-unprocessed", fields)
        self.assertRegex(client.get("/plain")[1]["server"], "nginx")

    def test_x_accel_headers(self):
        def redirect(stream, request):
            if request.target == "/redirect":
                answer(stream, fields="X-Accel-Redirect: /inside\r\n", body="not this")
            else:
                answer(stream, body=request.target)

        self.backend(each_request(redirect))
        nginx = self.nginx("slotwire_pass web;", server="""location /inside { internal; slotwire_pass web; slotwire_set_header X "$slotwire_node"; }
                                                          location /ignored { rewrite ^ /redirect break; slotwire_pass web; slotwire_ignore_headers X-Accel-Redirect; }""")
        client = self.client(nginx)
        self.assertEqual(client.get("/redirect")[2], b"/inside")
        self.assertEqual(client.get("/ignored")[2], b"not this")

    def test_errors_are_intercepted_when_asked(self):
        self.backend(each_request(target_decides))
        nginx = self.nginx("slotwire_pass web; slotwire_intercept_errors on; error_page 404 /own; error_page 500 =200 /500-page;",
                           server='location = /own { return 200 "own page"; } location = /500-page { return 200 sorry; } location /plain/ { rewrite ^/plain(.*) $1 break; slotwire_pass web; }')
        client = self.client(nginx)
        self.assertEqual(client.get("/404")[::2], (404, b"own page"))
        self.assertEqual(self.get(nginx, "/500")[::2], (200, b"sorry"))
        self.assertEqual(client.get("/403")[::2], (403, b"page of 403"))
        self.assertEqual(client.get("/plain/404")[::2], (404, b"page of 404"))

    def test_variables_and_the_access_log(self):
        backend = self.backend(each_request(target_decides))
        nginx = self.nginx("slotwire_pass $service; set $service web; access_log %DIR%/own.log own;",
                           http="""log_format own "$upstream_addr|$upstream_status|$slotwire_node|$slotwire_service|$slotwire_slot|$upstream_response_time|$upstream_connect_time|$upstream_bytes_received|$upstream_bytes_sent|$upstream_http_x_kept";""",
                           server='location /bad { set $service "no such"; slotwire_pass $service; } location /log { return 200; }')
        client = self.client(nginx)
        self.assertEqual(client.get("/")[2], b"page")
        self.assertEqual(self.get(nginx, "/bad")[0], 500)
        client.get("/log")
        with open(os.path.join(nginx.directory, "own.log")) as file:
            line = file.read().splitlines()[0]
        self.assertRegex(line, rf"^right/web/{backend.tunnel.pid}\|200\|right\|web\|\d+\|0\.\d+\|0\.\d+\|1\d\d\|\d+\|yes$")

    def test_ssi_subrequests(self):
        self.backend(each_request(lambda stream, request: answer(stream, fields="Content-Type: text/html\r\n", body={
            "/": '<<!--# include virtual="/a" -->|<!--# include virtual="/b" -->>', "/a": "first", "/b": "second"}[request.target])))
        nginx = self.nginx("slotwire_pass web; ssi on;")
        self.assertEqual(self.get(nginx, "/")[2], b"<first|second>")

    def test_gzip_and_ranges(self):
        self.backend(each_request(lambda stream, request: answer(stream, fields="Content-Type: text/html\r\nAccept-Ranges: bytes\r\n", body="0123456789" * 100)))
        nginx = self.nginx("slotwire_pass web; gzip on; gzip_proxied any; slotwire_force_ranges on;")
        client = self.client(nginx)
        status, fields, body = client.get("/", fields="Accept-Encoding: gzip\r\n")
        self.assertEqual((fields["content-encoding"], gzip.decompress(body)), ("gzip", b"0123456789" * 100))
        status, fields, body = client.get("/", fields="Range: bytes=5-9\r\n")
        self.assertEqual((status, body), (206, b"56789"))

    def test_limit_except_and_if(self):
        self.backend(each_request(lambda stream, request: answer(stream, body="web")))
        self.backend(each_request(lambda stream, request: answer(stream, body="other")), "other")
        nginx = self.nginx("slotwire_pass web; if ($arg_other) { slotwire_pass other; } limit_except GET { slotwire_pass other; }")
        client = self.client(nginx)
        self.assertEqual(client.get("/")[2], b"web")
        self.assertEqual(client.get("/?other=1")[2], b"other")
        self.assertEqual(client.get("/", method="DELETE")[2], b"other")

    def test_store(self):
        self.backend(each_request(lambda stream, request: answer(stream, body="stored " + request.target)))
        nginx = self.nginx("slotwire_pass web; slotwire_store %DIR%/store$uri; slotwire_store_access user:rw;", server="location /next { return 200; }")
        client = self.client(nginx)
        self.assertEqual(client.get("/kept")[2], b"stored /kept")
        client.get("/next")  # answered when nginx is through with the request before it: the file has its name since
        with open(os.path.join(nginx.directory, "store", "kept")) as file:
            self.assertEqual(file.read(), "stored /kept")

    def test_limit_rate(self):
        self.backend(each_request(lambda stream, request: answer(stream, body="x" * 60000)))
        nginx = self.nginx("slotwire_pass web; slotwire_limit_rate 20000; slotwire_buffers 4 4k;")
        before = time.monotonic()
        self.assertEqual(len(self.get(nginx)[2]), 60000)
        self.assertGreater(time.monotonic() - before, 1.5)

    def test_a_large_answer_is_kept_in_a_file_or_not(self):
        body = os.urandom(4 * MEGABYTE)
        self.backend(each_request(lambda stream, request: answer(stream, body=body)))
        nginx = self.nginx("slotwire_pass web;", server="location /no-file { slotwire_pass web; slotwire_max_temp_file_size 0; }")
        for target in ("/file", "/no-file"):
            client = self.client(nginx)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            client.send(f"GET {target} HTTP/1.1\r\nHost: example.test\r\n\r\n")
            if target == "/file":
                nginx.wait_for_log("an upstream response is buffered to a temporary file")
            self.assertEqual(client.read_response()[2], body)
        self.assertNotRegex(nginx.log(), "buffered to a temporary file.*GET /no-file")


class LargeResponses(WebTest):
    """What nginx sends from where it lies in the ring: a connection carries nothing else until that was sent."""

    @staticmethod
    def body_of(target):
        """/SIZE/SEED: so many bytes, other ones for each seed."""
        size, seed = (int(part) for part in target.strip("/").split("/"))
        return random.Random(seed).randbytes(size)

    def large_backend(self):
        return self.backend(each_request(lambda stream, request: answer(stream, fields="Content-Type: text/html\r\n", body=self.body_of(request.target))))

    def test_of_every_size_in_every_ring(self):
        self.large_backend()
        sizes = [1, 4000, 8192, 16384, 28000, 32768, 65000, 65536, 100000, 131072, 300000, 3 * MEGABYTE]
        for ring in ("8k", "32k", "64k", "128k", "1m"):
            nginx = self.nginx("slotwire_pass web;", pool=f"slotwire_ring response={ring}; slotwire_pool spare=1;")
            client = self.client(nginx)
            for seed, size in enumerate(sizes * 2):
                self.assertTrue(client.get(f"/{size}/{seed}")[2] == self.body_of(f"/{size}/{seed}"), f"{size} bytes, ring {ring}")

    def test_for_many_clients_at_once(self):
        self.large_backend()
        nginx = self.nginx("slotwire_pass web;", pool="slotwire_pool spare=1 max=16;", workers=2)
        wrong = []

        def ask(number):
            client = nginx.connect()
            for turn in range(15):
                target = f"/{random.Random(number * 100 + turn).randrange(20000, 140000)}/{number * 100 + turn}"
                if client.get(target)[2] != self.body_of(target):
                    wrong.append(target)
            client.close()

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_clients_that_do_not_read_keep_a_quarter_of_the_connections(self):
        backend = self.large_backend()
        nginx = self.nginx("return 404;", pool="slotwire_pool spare=1 max=4;",
                           http="server { listen %LISTEN% sndbuf=4k; server_name slow.test; location / { slotwire_pass web; } }")
        slow = []
        for number in range(8):
            client = Stream(socket.socket())
            self.clients.append(client)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.socket.settimeout(TIMEOUT)
            client.socket.connect((nginx.address, nginx.port))
            client.send(f"GET /60000/{number} HTTP/1.1\r\nHost: slow.test\r\n\r\n")
            slow.append(client)
        fast = self.client(nginx)
        for number in range(100, 140):
            self.assertTrue(fast.get(f"/30000/{number}", host="slow.test")[2] == self.body_of(f"/30000/{number}"))
        self.assertLessEqual(backend.connections, 4)
        for number, client in enumerate(slow):
            self.assertTrue(client.read_response()[2] == self.body_of(f"/60000/{number}"), f"the response to client {number}")
        for number in range(200, 240):
            self.assertTrue(fast.get(f"/60000/{number}", host="slow.test")[2] == self.body_of(f"/60000/{number}"))
        self.assertLessEqual(backend.connections, 4)

    def test_a_client_that_leaves_in_the_middle(self):
        backend = self.large_backend()
        nginx = self.nginx("return 404;", pool="slotwire_pool spare=1 max=4;",
                           http="server { listen %LISTEN% sndbuf=4k; server_name slow.test; location / { slotwire_pass web; } }")
        for number in range(40):
            client = nginx.connect()
            client.send(f"GET /60000/{number} HTTP/1.1\r\nHost: slow.test\r\n\r\n")
            client.head()
            client.close()
        self.assertTrue(self.get(nginx, "/60000/7", host="slow.test")[2] == self.body_of("/60000/7"))

    def test_for_http2_clients(self):
        curl = self.need("curl")
        self.large_backend()
        nginx = self.nginx("return 404;", http="server { listen %LISTEN% http2; server_name two.test; location / { slotwire_pass web; } }")
        processes = []
        for number in range(16):  # curl 7.88 cannot make a second request on such a connection
            target = f"/{(30000, 60000, 65536, 130000)[number % 4]}/{number}"
            command = [curl, "-sS", "--http2-prior-knowledge", "-H", "Host: two.test", f"http://{nginx.address}:{nginx.port}{target}"]
            processes.append((target, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)))
        for target, process in processes:
            got, errors = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0, errors)
            self.assertTrue(got == self.body_of(target), target)

    def test_through_filters(self):
        text = ("0123456789" * 5000).encode()
        self.backend(each_request(lambda stream, request: answer(stream, fields="Content-Type: text/html\r\nAccept-Ranges: bytes\r\n", body={
            "/": b'<<!--# include virtual="/a" -->|<!--# include virtual="/b" -->>' + text, "/a": text, "/b": text[::-1], "/c": text}[request.target])))
        nginx = self.nginx("slotwire_pass web; ssi on;", server="location /c { slotwire_pass web; gzip on; gzip_proxied any; slotwire_force_ranges on; }")
        client = self.client(nginx)
        for _ in range(5):
            self.assertTrue(client.get("/")[2] == b"<" + text + b"|" + text[::-1] + b">" + text)
            self.assertTrue(gzip.decompress(client.get("/c", fields="Accept-Encoding: gzip\r\n")[2]) == text)
            self.assertTrue(client.get("/c", fields="Range: bytes=5-40004\r\n")[2] == text[5:40005])
            self.assertIn(text[30000:40000], client.get("/c", fields="Range: bytes=5-14,30000-39999\r\n")[2])


class Cache(WebTest):
    def test_what_is_cached_is_not_asked_again(self):
        def cacheable(stream, request):
            if request["If-None-Match"] == '"tag"':
                stream.send('HTTP/1.1 304 Not Modified\r\nETag: "tag"\r\nX-Accel-Expires: @1\r\n\r\n')
            elif request.target.startswith("/fail"):
                answer(stream, "500 Wrong", body="wrong") if len(self.seen.requests) > 1 else answer(stream, fields="X-Accel-Expires: @1\r\n", body="right")
            else:
                fields = 'ETag: "tag"\r\nX-Accel-Expires: @1\r\n' if request.target.startswith("/stale") else "Cache-Control: max-age=100\r\n"
                answer(stream, fields=fields, body="" if request.method == "HEAD" else f"{request.target} {len(self.seen.requests)}")

        self.seen = self.backend(each_request(cacheable))
        nginx = self.nginx("""slotwire_pass web; slotwire_cache kept; slotwire_cache_bypass $arg_bypass; slotwire_no_cache $arg_no; slotwire_cache_revalidate on;
                              slotwire_cache_methods POST; slotwire_cache_lock on; slotwire_cache_valid 404 1m; add_header X-Cache $upstream_cache_status always;
                              slotwire_cache_use_stale http_500;""",
                           http="slotwire_cache_path %DIR%/cache keys_zone=kept:1m levels=1;")
        client = self.client(nginx)

        def ask(target, **options):
            status, fields, body = client.get(target, **options)
            return fields["x-cache"], body

        self.assertEqual(ask("/fail"), ("MISS", b"right"))
        self.assertEqual(ask("/fail"), ("STALE", b"right"))
        first = ask("/a")
        self.assertEqual(first[0], "MISS")
        self.assertEqual(ask("/a"), ("HIT", first[1]))
        self.assertEqual(client.get("/a", method="HEAD")[1]["x-cache"], "HIT")
        self.assertEqual(ask("/a?bypass=1")[0], "BYPASS")
        self.assertEqual(ask("/b?no=1")[0], "MISS")
        self.assertEqual(ask("/b?no=1")[0], "MISS")
        stale = ask("/stale")
        self.assertEqual(stale[0], "MISS")
        self.assertEqual(ask("/stale"), ("REVALIDATED", stale[1]))


class Http2(WebTest):
    def test_an_http2_client(self):
        curl = self.need("curl")
        self.backend(each_request(lambda stream, request: answer(stream, body=request.body or b"page")))
        nginx = self.nginx("return 404;", http="""server { listen %LISTEN% http2; server_name two.test; client_max_body_size 100m; slotwire_request_buffering off;
                                                  location / { slotwire_pass web; } }""")
        command = [curl, "-sS", "--http2-prior-knowledge", "-H", "Host: two.test", f"http://{nginx.address}:{nginx.port}/"]
        got = subprocess.run(command, capture_output=True, timeout=60)
        self.assertEqual((got.returncode, got.stdout), (0, b"page"), got.stderr)
        body = os.urandom(2 * MEGABYTE)
        got = subprocess.run([*command, "--data-binary", "@-"], input=body, capture_output=True, timeout=60)
        self.assertTrue(got.stdout == body, got.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
