"""`slotwire web serve --fastcgi`: a real PHP-FPM behind two linked nodes."""
import hashlib
import os
import re
import signal
import subprocess
import sys
import unittest

from application import pieces
from web_nodes import Load, WebTest, eventually, first_answered, private_memory

SCRIPTS = {
    "index.php": "<?php echo 'index';",
    "params.php": "<?php ksort($_SERVER); foreach ($_SERVER as $k => $v) if (is_string($v)) echo \"$k=$v\\n\";",
    "sum.php": """<?php
        $hash = hash_init('sha256'); $size = 0; $in = fopen('php://input', 'rb');
        while (!feof($in)) { $piece = fread($in, 65536); $size += strlen($piece); hash_update($hash, $piece); }
        echo $size, ' ', hash_final($hash);""",
    "bytes.php": """<?php
        $piece = str_repeat(hash('sha256', 'slotwire', true), 2048); $left = (int)$_GET['n'];
        if (isset($_GET['length'])) header('Content-Length: ' . $left);
        while (ob_get_level()) ob_end_flush();
        while ($left > 0) { $part = substr($piece, 0, $left); echo $part; $left -= strlen($part); }""",
    "status.php": "<?php http_response_code((int)$_GET['s']); if (isset($_GET['to'])) header('Location: ' . $_GET['to']); echo 'x';",
    "wait.php": """<?php
        file_put_contents($_GET['file'], getmypid()); ignore_user_abort(false);
        register_shutdown_function(function () { file_put_contents($_GET['file'], connection_aborted() ? ' left' : ' ended', FILE_APPEND); });
        while (true) { echo str_repeat('x', 4096); flush(); usleep(10000); }""",
    "hold.php": "<?php while (!file_exists($_GET['file'])) usleep(2000); echo 'held';",
    "log.php": "<?php error_log('a word to the log'); file_put_contents('php://stderr', \"another\\n\"); echo 'ok';",
    "fields.php": "<?php header('X-One: 1'); header('Set-Cookie: a=b'); header('Set-Cookie: c=d', false); echo $_COOKIE['k'] ?? '-';",
    "excess.php": "<?php header('Content-Length: ' . (int)$_GET['l']); echo str_repeat('y', (int)$_GET['b']);",
    "health.php": "<?php if (file_exists('ill')) http_response_code(503); echo 'x';",
    "kill.php": "<?php exec('kill -9 ' . getmypid());",
}


def known(size):
    digest = hashlib.sha256()
    for piece in pieces(size):
        digest.update(piece)
    return digest.hexdigest()


class PhpTest(WebTest):
    def make(self, children=2):
        """The scripts and a configuration; the command that starts PHP-FPM."""
        program = self.need("php-fpm8.2")
        self.root = os.path.join(self.directory, "scripts")
        os.makedirs(os.path.join(self.root, "sub"))
        for name, text in SCRIPTS.items():
            with open(os.path.join(self.root, name), "w") as file:
                file.write(text)
        with open(os.path.join(self.root, "sub", "index.php"), "w") as file:
            file.write("<?php echo 'sub';")
        self.socket = os.path.join(self.directory, "php.sock")
        config = os.path.join(self.directory, "fpm.conf")
        with open(config, "w") as file:
            file.write(f"[global]\nerror_log = /dev/stderr\ndaemonize = no\nprocess_control_timeout = 10s\n"
                       f"[www]\nlisten = {self.socket}\npm = static\npm.max_children = {children}\ncatch_workers_output = yes\n"
                       f"ping.path = /ping\n")
        root = ["-R"] if os.geteuid() == 0 else []
        if root:
            with open(config, "a") as file:
                file.write("user = root\n")
        return [program, *root, "-n", "-F", "-y", config, "-d", "post_max_size=2G", "-d", "max_execution_time=0"]

    def start_php(self, children=2, *options):
        self.command = self.make(children)
        self.php = self.start(self.command)
        self.php.wait_for("ready to handle connections")
        self.start_bridge("--at-once", str(children), *options)

    def start_bridge(self, *options):
        self.bridge = self.start(["web", "serve", "web", "--fastcgi", self.socket, "--root", self.root, *options], self.right)
        self.bridge.wait_for("requests for service 'web'")
        self.start_front("-q")


class Scripts(PhpTest):
    def test_the_front_script_answers_what_names_no_script(self):
        self.start_php(2, "--front", "/params.php")
        client = self.client()
        for target, body in (("/", b"index"), ("/sub/", b"sub")):
            self.assertEqual(client.get(target)[2], body, target)
        for target in ("/blog/post", "/blog/post/", "/sub/none/"):
            status, _, body = client.get(target)
            self.assertEqual(status, 200, target)
            got = dict(line.split("=", 1) for line in body.decode().splitlines())
            self.assertEqual((got["SCRIPT_NAME"], got["REQUEST_URI"]), ("/params.php", target))
        self.assertEqual(client.get("/none.php")[0], 404)

    def test_paths_and_parameters(self):
        self.start_php(2, "--remote-address", "X-Real-IP", "--scheme", "X-Forwarded-Proto")
        client = self.client()
        self.assertEqual(client.get("/")[2], b"index")
        self.assertEqual(client.get("/sub/")[2], b"sub")
        self.assertEqual(client.get("/sub/../")[2], b"index")
        for target, status in (("/none.php", 404), ("/none.txt", 404), ("/../x.php", 400), ("/x%00.php", 400)):
            self.assertEqual(client.get(target)[0], status, target)
        status, _, body = client.get("/params.php/more/path?a=b%20c", "X-Real-IP: 192.0.2.7", "X-Forwarded-Proto: https", "X-Two: 1",
                                     "X-Two: 2", "X_Under: x", "Proxy: http://evil/", "Cookie: a=1", "Cookie: b=2",
                                     "Slotwire-Timeout: 9000")
        self.assertEqual(status, 200)
        got = dict(line.split("=", 1) for line in body.decode().splitlines())
        for name, value in {"SCRIPT_FILENAME": self.root + "/params.php", "SCRIPT_NAME": "/params.php", "PATH_INFO": "/more/path",
                            "QUERY_STRING": "a=b%20c", "REQUEST_METHOD": "GET", "REQUEST_URI": "/params.php/more/path?a=b%20c",
                            "DOCUMENT_ROOT": self.root, "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "192.0.2.7", "HTTPS": "on",
                            "SERVER_NAME": "test", "SERVER_PORT": "443", "HTTP_HOST": "test", "HTTP_X_TWO": "1, 2",
                            "HTTP_COOKIE": "a=1; b=2", "REDIRECT_STATUS": "200"}.items():
            self.assertEqual(got.get(name), value, name)
        for name in ("HTTP_X_UNDER", "HTTP_PROXY", "HTTP_SLOTWIRE_TIMEOUT"):
            self.assertNotIn(name, got)

    def test_a_path_behind_a_script_has_no_index(self):
        with_path = os.path.join("sub", "path.php")
        self.start_php()
        with open(os.path.join(self.root, with_path), "w") as file:
            file.write("<?php echo $_SERVER['SCRIPT_NAME'], ' ', $_SERVER['PATH_INFO'];")
        client = self.client()
        for path in ("/foo/", "/", "/blog/post/", "/foo"):
            self.assertEqual(client.get("/sub/path.php" + path)[2].decode(), "/sub/path.php " + path)
        self.assertEqual(client.get("/sub/")[2], b"sub")

    def test_a_file_that_is_no_script_is_never_run(self):
        """Not even by a PHP that runs files of every name, and looks for the script itself when it is given none."""
        self.command = self.make()
        with open(os.path.join(self.directory, "fpm.conf"), "a") as file:
            file.write("security.limit_extensions =\n")
        self.php = self.start([*self.command, "-d", "cgi.fix_pathinfo=1"])
        self.php.wait_for("ready to handle connections")
        self.start_bridge()
        os.mkdir(os.path.join(self.root, "dir.php"))
        for name in ("data.txt", "sub/upload.png", "dir.php/own.php"):
            with open(os.path.join(self.root, name), "w") as file:
                file.write("<?php echo 'run';")
        client = self.client()
        for target in ("/data.txt/x.php", "/sub/upload.png/a/b.php/c", "/data.txt/", "/none.php", "/dir.php"):
            self.assertEqual(client.get(target)[::2], (404, b"Not Found\n"), target)
        self.assertEqual(client.get("/dir.php/own.php/x")[2], b"run")

    def test_a_root_that_php_sees_elsewhere(self):
        """PHP in a chroot: its root is not the bridge's, which looks where it sees the files, or not at all."""
        if os.geteuid() != 0:
            self.skipTest("chroot needs root")
        self.command = self.make()
        with open(os.path.join(self.directory, "fpm.conf"), "a") as file:
            file.write(f"chroot = {self.root}\n")
        self.php = self.start(self.command)
        self.php.wait_for("ready to handle connections")
        with open(os.path.join(self.root, "data.txt"), "w") as file:
            file.write("<?php echo 'run';")
        local, self.root = self.root, "/"
        self.start_bridge("--local-root", local)
        client = self.client()
        self.assertEqual(client.get("/sub/")[2], b"sub")
        self.assertEqual(client.get("/data.txt/x.php")[0], 404)
        client.close()
        self.front_process.stop()
        self.bridge.stop()
        self.start_bridge("--no-local-root")
        client = self.client()
        self.assertEqual(client.get("/sub/")[2], b"sub")
        self.assertEqual(client.get("/none.php")[::2], (404, b"File not found.\n"), "PHP's own answer")

    def test_long_queries_and_fields(self):
        self.start_php(2, "--max-head", "256KiB")
        client = self.client()
        status, _, body = client.get("/params.php?" + 60_000 * "q")
        self.assertEqual(status, 200)
        got = dict(line.split("=", 1) for line in body.decode().splitlines())
        self.assertEqual((len(got["QUERY_STRING"]), len(got["REQUEST_URI"])), (60_000, 60_012))
        self.assertEqual(client.get("/params.php?" + 70_000 * "q")[0], 414)
        self.assertEqual(client.get("/params.php", "X-Long: " + 70_000 * "f")[0], 431)
        self.assertEqual(client.get("/")[2], b"index")

    def test_what_only_the_web_server_knows(self):
        names = {"REMOTE_ADDR": ("--remote-address", "X-Real-IP", "192.0.2.7"), "REMOTE_PORT": ("--remote-port", "X-Real-Port", "4711"),
                 "REMOTE_USER": ("--remote-user", "X-Remote-User", "ann"),
                 "SERVER_ADDR": ("--server-address", "X-Server-Address", "192.0.2.1"),
                 "SERVER_PORT": ("--server-port", "X-Forwarded-Port", "8443")}
        self.start_php(2, *[word for option, field, _ in names.values() for word in (option, field)])
        client = self.client()

        def asked(*fields):
            return dict(line.split("=", 1) for line in client.get("/params.php", *fields)[2].decode().splitlines())

        named = "Connection: Host, " + ", ".join(field for _, field, _ in names.values())
        for more in ((), (named,)):  # which a client may send, and which removes nothing
            got = asked(*[f"{field}: {value}" for _, field, value in names.values()], *more)
            for name, (_, _, value) in names.items():
                self.assertEqual(got.get(name), value, name)
            self.assertEqual(got.get("HTTP_HOST"), "test")
        client.send("GET /params.php HTTP/1.1\r\nHost: shop:8080\r\n\r\n")
        got = dict(line.split("=", 1) for line in client.response()[2].decode().splitlines())
        self.assertEqual((got["REMOTE_ADDR"], got["SERVER_PORT"], got["SERVER_NAME"]), ("127.0.0.1", "8080", "shop"))
        for name in ("REMOTE_PORT", "REMOTE_USER", "SERVER_ADDR"):
            self.assertNotIn(name, got, "what nobody said is not made up")

    def test_statuses_and_fields(self):
        self.start_php()
        client = self.client()
        for status in (200, 404, 500, 204, 304):
            self.assertEqual(client.get(f"/status.php?s={status}")[0], status)
        status, fields, _ = client.get("/status.php?s=302&to=/x")
        self.assertEqual((status, fields["location"]), (302, ["/x"]))
        status, fields, body = client.get("/fields.php", "Cookie: k=v")
        self.assertEqual((fields["x-one"], fields["set-cookie"], body), (["1"], ["a=b", "c=d"], b"v"))
        client.send("HEAD /bytes.php?n=100&length=1 HTTP/1.1\r\nHost: t\r\n\r\n")
        status, fields, _ = client.response("HEAD")
        self.assertEqual(status, 200)
        self.assertEqual(client.get("/")[2], b"index")

    def test_more_than_was_announced_is_discarded_and_holds_nobody_up(self):
        self.start_php(1)
        client = self.client()
        for announced, sent in ((10, 11), (0, 10), (10, 100000), (10, 10)):
            status, _, body = client.get(f"/excess.php?l={announced}&b={sent}")
            self.assertEqual((status, body), (200, b"y" * announced))
            # On the same connection, by the only child.
            self.assertEqual(client.get("/")[2], b"index", (announced, sent))
        self.bridge.wait_for("sends more than its Content-Length says")
        self.assertEqual(self.bridge.count("sends more than its Content-Length says"), 3)

    def test_what_scripts_say_is_noted(self):
        self.start_php()
        self.assertEqual(self.client().get("/log.php")[2], b"ok")
        self.bridge.wait_for("says: PHP message: a word to the log")

    def test_bodies_of_a_gigabyte(self):
        self.need("curl")
        self.start_php(2, "-q")
        size = 1 << 30
        made = f"import sys; sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r}); from application import pieces\n"
        made += f"for piece in pieces({size}): sys.stdout.buffer.write(piece)"
        source = subprocess.Popen([sys.executable, "-c", made], stdout=subprocess.PIPE)
        put = subprocess.run(["curl", "-sS", "-X", "POST", "-T", "-", "-H", "Expect:", "-H", f"Content-Length: {size}", "-H",
                              "Transfer-Encoding:", self.url + "/sum.php"], stdin=source.stdout, capture_output=True, timeout=110)
        source.stdout.close()
        source.wait()
        self.assertEqual(put.stdout.decode(), f"{size} {known(size)}", put.stderr)
        for more in ("", "&length=1"):
            got = subprocess.run(f"curl -sS '{self.url}/bytes.php?n={size}{more}' | sha256sum", shell=True, capture_output=True, timeout=110)
            self.assertEqual(got.stdout.split()[0].decode(), known(size), got.stderr)
        self.assertLess(private_memory(self.bridge.pid), 32 * 1024, "KiB")

    @staticmethod
    def chunked(target, *chunks, end=True):
        head = f"POST {target} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + (b"0\r\n\r\n" if end else b"")

    def test_a_body_of_unknown_length_is_kept_until_its_length_is_known(self):
        self.start_php()
        client = self.client()
        client.send(self.chunked("/sum.php", b"a", b"bc"))
        self.assertEqual(client.response()[::2], (200, b"3 " + hashlib.sha256(b"abc").hexdigest().encode()))
        body = b"".join(pieces(5_000_000))
        client.send(self.chunked("/sum.php", *(body[at:at + 100_001] for at in range(0, len(body), 100_001))))
        self.assertEqual(client.response()[2], f"5000000 {known(5_000_000)}".encode())
        client.send(self.chunked("/sum.php"))
        self.assertEqual(client.response()[2], b"0 " + hashlib.sha256(b"").hexdigest().encode())
        client.send(self.chunked("/params.php", b"abc"))
        got = client.response()[2].decode().splitlines()
        self.assertIn("CONTENT_LENGTH=3", got)
        self.assertFalse([line for line in got if "TRANSFER_ENCODING" in line])
        # A body that is kept holds no child: both are free meanwhile.
        slow = self.client()
        slow.send(self.chunked("/sum.php", b"abc", end=False))
        for _ in range(4):
            self.assertEqual(client.get("/")[2], b"index")
        slow.send("0\r\n\r\n")
        self.assertEqual(slow.response()[0], 200)

    def test_bodies_that_are_kept_have_limits(self):
        spool = os.path.join(self.directory, "spool")
        os.mkdir(spool)
        self.start_php(2, "--spool-dir", spool, "--max-spool", "100KiB", "--max-spool-total", "150KiB")
        client, other = self.client(), self.client()
        client.send(self.chunked("/sum.php", bytes(102_401)))
        self.assertEqual(client.response()[0], 413)
        self.bridge.wait_for("longer than --max-spool: POST /sum.php")
        client = self.client()
        client.send(self.chunked("/sum.php", bytes(102_400), end=False))

        def kept():
            """The sizes of files without a name, which go with whoever has them open; the bridge may close one meanwhile."""
            sizes = []
            for fd in os.listdir(f"/proc/{self.bridge.pid}/fd"):
                path = f"/proc/{self.bridge.pid}/fd/{fd}"
                try:
                    if os.readlink(path).startswith(spool):
                        sizes.append(os.stat(path).st_size)
                except FileNotFoundError:
                    pass
            return sizes

        def size():
            return sum(kept())

        eventually(lambda: size() == 102_400, "the first body is kept")
        self.assertEqual(os.listdir(spool), [])
        other.send(self.chunked("/sum.php", bytes(60_000)))
        status, fields, _ = other.response()
        self.assertEqual((status, fields["slotwire-unprocessed"]), (503, ["1"]))
        self.bridge.wait_for("--max-spool-total")
        client.send("0\r\n\r\n")
        self.assertEqual(client.response()[2].split()[0], b"102400")
        # And what was kept is given back, also when a client leaves half-way.
        client.send(self.chunked("/sum.php", bytes(1000), end=False))
        eventually(lambda: size() == 1000, "another one is kept")
        client.break_off()
        eventually(lambda: not kept(), "nothing is kept")
        other = self.client()
        other.send(self.chunked("/sum.php", bytes(102_400)))
        self.assertEqual(other.response()[0], 200)

    def test_a_length_that_is_known_needs_no_file(self):
        self.start_php()
        client = self.client()
        client.send("POST /sum.php HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc")
        self.assertEqual(client.response()[2], b"3 " + hashlib.sha256(b"abc").hexdigest().encode())


class Health(PhpTest):
    ASK = ("--health-interval", "50ms", "--health-fall", "2")

    def test_the_bridge_asks_for_the_ping_of_php_fpm(self):
        self.start_php(3, "--health", "/ping", *self.ASK)
        self.assertEqual(self.client().get("/")[2], b"index")
        self.php.stop(signal.SIGQUIT)
        self.bridge.wait_for("fails its health check: ")
        self.right.engine.wait_for("is failing: it says that it is not ready")
        self.php = self.start(self.command)
        self.bridge.wait_for("is well again")
        self.right.engine.wait_for("is well: it answers")
        self.assertEqual(self.client().get("/")[2], b"index")

    def test_a_script_can_say_it_too(self):
        self.start_php(2, "--health", "/health.php?deep=1", *self.ASK)
        ill = os.path.join(self.root, "ill")
        open(ill, "w").close()
        self.bridge.wait_for("fails its health check: status 503 instead of 200")
        self.assertEqual(self.client().get("/")[2], b"index", "nobody else serves it")
        os.remove(ill)
        self.bridge.wait_for("is well again")

    def test_an_application_that_hangs_does_not_answer_in_time(self):
        self.start_php(1, "--health", "/ping", "--health-timeout", "50ms", *self.ASK)
        child = int(subprocess.run(["pgrep", "-P", str(self.php.pid)], capture_output=True, check=True).stdout.split()[0])
        os.kill(child, signal.SIGSTOP)
        try:
            self.bridge.wait_for("fails its health check: no answer in time")
        finally:
            os.kill(child, signal.SIGCONT)
        self.bridge.wait_for("is well again")


class Ends(PhpTest):
    def test_a_client_that_leaves_ends_the_script(self):
        self.start_php()
        client = self.client()
        path = os.path.join(self.directory, "wait")
        client.send(f"GET /wait.php?file={path} HTTP/1.1\r\nHost: t\r\n\r\n")
        self.assertEqual(client.head()[0], 200)
        client.break_off()

        def left():
            with open(path) as file:
                return file.read().endswith(" left")
        eventually(left, "the end of the script")
        self.assertEqual(self.client().get("/")[2], b"index")

    def test_the_deadline_ends_a_request(self):
        self.start_php()
        path = os.path.join(self.directory, "go")
        client = self.client()
        self.assertEqual(client.get(f"/hold.php?file={path}", "Slotwire-Timeout: 100")[0], 504)
        with open(path, "w"):
            pass
        self.assertEqual(client.get("/")[2], b"index")

    def test_children_that_are_all_busy_make_requests_wait_and_then_be_refused(self):
        self.start_php(2, "--max-queue", "2")
        path = os.path.join(self.directory, "go")
        clients = [self.client() for _ in range(5)]
        for client in clients:
            client.send(f"GET /hold.php?file={path} HTTP/1.1\r\nHost: t\r\n\r\n")
        # Two are with PHP and two wait; whichever comes last is refused.
        refused = first_answered(clients)
        status, fields, _ = refused.response()
        self.assertEqual((status, fields["slotwire-unprocessed"]), (503, ["1"]))
        with open(path, "w"):
            pass
        for client in clients:
            if client is not refused:
                self.assertEqual(client.response()[2], b"held")

    def test_a_script_that_is_removed_while_its_request_waits_is_not_sent(self):
        self.start_php(1, "--max-queue", "1")
        gone, started = os.path.join(self.root, "gone.php"), os.path.join(self.directory, "started")
        with open(gone, "w") as file:
            file.write("<?php echo 'there';")
        busy, one, other = self.client(), self.client(), self.client()
        busy.send(f"GET /wait.php?file={started} HTTP/1.1\r\nHost: t\r\n\r\n")
        eventually(lambda: os.path.exists(started), "the only child is busy")
        for client in (one, other):
            client.send("GET /gone.php HTTP/1.1\r\nHost: t\r\n\r\n")
        refused = first_answered([one, other])
        self.assertEqual(refused.response()[0], 503, "so the other one waits")
        os.remove(gone)
        busy.break_off()
        waited = other if refused is one else one
        self.assertEqual(waited.response()[::2], (404, b"Not Found\n"))
        self.bridge.wait_for("the script is not there any more")

    def test_a_child_that_dies_fails_its_request_alone(self):
        self.start_php()
        client = self.client()
        self.assertEqual(client.get("/kill.php")[0], 502)
        self.assertEqual(client.get("/")[2], b"index")

    def test_php_is_started_restarted_under_load_and_ended(self):
        command = " ".join(self.make(2))
        self.start_bridge("--at-once", "2", "-q", "--start", command)
        self.bridge.wait_for("process 0 accepts")
        load = Load(self, 4, "/index.php")
        load.answered(50)
        self.bridge.process.send_signal(signal.SIGHUP)
        self.bridge.wait_for("all processes were started anew")
        load.answered(load.count() + 50)
        load.end()
        self.assertEqual(load.failures, [])
        pid = int(re.findall(r"process 0 \(pid (\d+)\) started", self.bridge.output())[-1])
        self.assertEqual(self.bridge.stop(), 0)
        self.assertFalse(os.path.exists(f"/proc/{pid}"))


if __name__ == "__main__":
    unittest.main()
