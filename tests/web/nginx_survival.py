"""What slotwire_pass survives under load: reload, a worker's death, a binary upgrade, slotwired's death, a server's end."""
import os
import re
import signal
import subprocess
import threading
import time
import unittest

from web import MEGABYTE, WebTest, answer, each_request


class Load:
    """Clients that ask one request after the other, GET and POST in turn, and note what was no answer."""

    def __init__(self, nginx, clients=8, target="/", kept=True):
        self.nginx, self.target, self.kept = nginx, target, kept
        self.failures = []
        self.count = 0
        self.lock = threading.Lock()
        self.stopping = False
        self.threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self, number):
        client = None
        turn = 0
        while not self.stopping:
            turn += 1
            body = f"{number} {turn}".encode()
            fresh = client is None
            try:
                client = client or self.nginx.connect()
                if turn % 2:
                    status, fields, got = client.get(f"{self.target}?{number}.{turn}")
                    expected = f"{self.target}?{number}.{turn}".encode()
                else:
                    status, fields, got = client.get(self.target, method="POST", body=body)
                    expected = body
                if (status, got) != (200, expected):
                    self.failures.append((status, got[:200]))
                with self.lock:
                    self.count += 1
                if fields.get("connection") == "close" or not self.kept:
                    client.close()
                    client = None
            except (EOFError, OSError) as error:
                # A worker that ends closes idle connections of clients; a client then asks again on a new one.
                if client is not None:
                    client.close()
                client = None
                if fresh:
                    self.failures.append(repr(error))

    def more(self, count):
        """Waits until so many more requests were answered."""
        end = time.monotonic() + 60
        wanted = self.count + count
        while self.count < wanted:
            if time.monotonic() > end:
                raise AssertionError(f"only {self.count} of {wanted} requests were answered: {self.failures[:5]}")
            time.sleep(0.005)

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join(60)
        return self.failures


def mirror(stream, request):
    answer(stream, body=request.body if request.method == "POST" else request.target)


class UnderLoad(WebTest):
    expected_alerts = r"exited on signal 9"

    def loaded(self, location="slotwire_pass web;", workers=2, **options):
        self.backend(each_request(mirror))
        nginx = self.nginx(location, workers=workers, **options)
        load = Load(nginx)
        load.more(200)
        return nginx, load

    def test_reload(self):
        nginx, load = self.loaded()
        for turn in range(3):
            before = set(nginx.worker_pids())
            nginx.signal(signal.SIGHUP)
            nginx.wait_for_log(r"gracefully shutting down", (turn + 1) * 2)
            load.more(300)
            nginx.wait_for_log(r"worker process \d+ exited with code 0", (turn + 1) * 2)
            self.assertFalse(before & set(nginx.worker_pids()))
        self.assertEqual(load.stop(), [])

    def test_a_worker_is_killed(self):
        nginx, load = self.loaded()
        for turn in range(3):
            os.kill(nginx.worker_pids()[0], signal.SIGKILL)
            nginx.wait_for_log("exited on signal 9", turn + 1)
            load.more(300)
        failures = load.stop()
        # Requests of the worker that was killed are lost with their clients' connections; nobody gets a wrong answer.
        self.assertEqual([failure for failure in failures if not isinstance(failure, str)], [])
        sessions = [process for process in self.left.status()["sessions"]] if "sessions" in self.left.status() else []
        self.assertLessEqual(len(sessions), 4)

    def test_slotwired_is_killed_and_started_again(self):
        nginx, load = self.loaded()
        for node in (self.left, self.right):
            node.kill()
            load_count = load.count
            node.start()
            load.more(300)
        self.assertEqual(load.stop(), [])

    def test_slotwired_is_killed_while_the_pool_grows(self):
        """Connections that are being opened when slotwired dies are opened again."""
        self.backend(each_request(lambda stream, request: (time.sleep(0.02), mirror(stream, request))))
        nginx = self.nginx("slotwire_pass web;", pool="slotwire_pool spare=2;", workers=2)
        load = Load(nginx, clients=2)
        load.more(10)
        self.left.kill()
        more = Load(nginx, clients=24)
        self.left.start()
        more.more(200)
        self.assertEqual(load.stop() + more.stop(), [])

    def test_large_bodies_while_slotwired_is_killed(self):
        body = os.urandom(24 * MEGABYTE)
        self.backend(each_request(lambda stream, request: answer(stream, body=request.body)))
        nginx = self.nginx("slotwire_pass web; client_max_body_size 100m; slotwire_request_buffering off; slotwire_buffering off;")
        client = self.client(nginx)
        result = []
        thread = threading.Thread(target=lambda: result.append(client.get("/", method="POST", body=body)))
        thread.start()
        time.sleep(0.1)
        for node in (self.left, self.right):
            node.kill()
            node.start()
        thread.join(60)
        self.assertEqual(result[0][0], 200)
        self.assertTrue(result[0][2] == body)

    def test_a_server_process_ends_and_another_one_goes_on(self):
        """kill -9 of one of two executing processes: only its own unfinished POSTs fail, with 502."""
        self.backend(each_request(mirror))
        second = self.backend(each_request(mirror))
        nginx = self.nginx("slotwire_pass web;", pool="slotwire_pool spare=8;", workers=2)
        load = Load(nginx)
        load.more(300)
        second.tunnel.stop(signal.SIGKILL)
        load.more(500)
        failures = load.stop()
        self.assertLessEqual(len(failures), 8, failures)
        self.assertEqual({status for status, _ in failures} - {502}, set(), failures)

    def test_binary_upgrade(self):
        nginx, load = self.loaded()
        # USR2 is ignored under `daemon off`: this nginx runs as a daemon of its own.
        load.stop()
        directory = os.path.join(self.directory, "daemon")
        os.mkdir(directory)
        from web import MODULE, Nginx
        daemon = Nginx(directory, self.addresses["left"], self.http("slotwire_pass web;"), f"load_module {os.path.abspath(MODULE)};", workers=2)
        with open(daemon.config) as file:
            config = file.read()
        with open(daemon.config, "w") as file:
            file.write(config.replace("daemon off;", ""))
        subprocess.run(["/usr/sbin/nginx", "-e", daemon.error_log, "-c", daemon.config], check=True, timeout=30)
        pid_file = os.path.join(directory, "pid")

        def master(path):
            end = time.monotonic() + 30
            while True:
                try:
                    with open(path) as file:
                        return int(file.read())
                except (FileNotFoundError, ValueError):
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.01)

        pids = {master(pid_file)}
        try:
            load = Load(daemon)
            load.more(200)
            os.kill(master(pid_file), signal.SIGUSR2)
            old = master(pid_file + ".oldbin")
            new = master(pid_file)
            pids |= {old, new}
            self.assertNotEqual(old, new)
            load.more(100)
            os.kill(old, signal.SIGQUIT)
            while os.path.exists(f"/proc/{old}"):
                time.sleep(0.01)
            load.more(300)
            self.assertEqual(load.stop(), [])
        finally:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGQUIT)
                except ProcessLookupError:
                    pass
            for pid in pids:
                while os.path.exists(f"/proc/{pid}"):
                    time.sleep(0.01)
        self.assertEqual([line for line in daemon.log().splitlines() if re.search(r"\[(alert|emerg|crit)\]|open socket", line)], [])

    def test_reload_while_requests_wait_for_a_connection(self):
        release, began = threading.Event(), threading.Event()
        self.addCleanup(release.set)

        def hold(stream, request):
            began.set()
            release.wait(30)
            mirror(stream, request)

        self.backend(each_request(hold))
        nginx = self.nginx("slotwire_pass web;", pool="slotwire_pool spare=0 max=1;")
        clients = [self.client(nginx) for _ in range(3)]
        for number, client in enumerate(clients):
            client.send(f"GET /{number} HTTP/1.1\r\nHost: example.test\r\n\r\n")
        self.assertTrue(began.wait(30))
        nginx.signal(signal.SIGHUP)
        nginx.wait_for_log("gracefully shutting down")
        release.set()
        for number, client in enumerate(clients):
            self.assertEqual(client.read_response()[2], b"/%d" % number)
        nginx.wait_for_log(r"worker process \d+ exited with code 0")

    def test_shutdown_with_requests_under_way(self):
        """A reload while requests wait: they are answered, by the old worker; worker_shutdown_timeout ends those that are not."""
        release = threading.Event()
        self.addCleanup(release.set)

        def wait(stream, request):
            if request.target == "/wait":
                release.wait(30)
            elif request.target == "/never":
                stream.is_at_end()
                raise EOFError
            mirror(stream, request)

        self.backend(each_request(wait))
        nginx = self.nginx("slotwire_pass web;", top="", workers=1)
        with open(nginx.config) as file:
            config = file.read()
        with open(nginx.config, "w") as file:
            file.write(config.replace("worker_shutdown_timeout 30s", "worker_shutdown_timeout 2s"))
        nginx.signal(signal.SIGHUP)
        nginx.wait_for_log(r"worker process \d+ exited with code 0")
        waiting, never = self.client(nginx), self.client(nginx)
        waiting.send("GET /wait HTTP/1.1\r\nHost: example.test\r\n\r\n")
        never.send("GET /never HTTP/1.1\r\nHost: example.test\r\n\r\n")
        self.assertEqual(self.get(nginx, "/x")[2], b"/x")
        nginx.signal(signal.SIGHUP)
        nginx.wait_for_log("gracefully shutting down", 2)
        release.set()
        self.assertEqual(waiting.read_response()[2], b"/wait")
        nginx.wait_for_log(r"worker process \d+ exited with code 0", 2)
        self.assertTrue(never.is_at_end())


if __name__ == "__main__":
    unittest.main(verbosity=2)
