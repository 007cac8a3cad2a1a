"""slotwire_limits with a zone: all workers of one nginx count together, over reloads and deaths of workers."""
import os
import signal
import threading
import time
import unittest

from nodes import TIMEOUT
from web import WebTest, answer, each_request

SERVER = "server {{ listen %LISTEN% reuseport; server_name shared.test; keepalive_requests 100000; location / {{ slotwire_pass {}; slotwire_next_upstream off; }} location = /pid {{ return 200 $pid; }} }}"


class LimitsTest(WebTest):
    workers = 2

    def setUp(self):
        super().setUp()
        self.release = threading.Event()
        self.addCleanup(self.release.set)
        self.begun = threading.Semaphore(0)

    def hold(self, stream, request):
        """A request to /held ends when the test says so."""
        if request.target.split("?")[0] == "/held":
            self.begun.release()
            self.release.wait(TIMEOUT)
        answer(stream, body="done")

    def wait_for_held(self, count):
        for _ in range(count):
            self.assertTrue(self.begun.acquire(timeout=TIMEOUT), "a request did not begin")

    def limited(self, limits, **options):
        return self.nginx("return 404;", http=SERVER.format(options.get("service", "web")), pool=f"slotwire_pool spare={options.get('spare', 2)}; slotwire_limits {limits};",
                          workers=self.workers)

    def ask(self, nginx, target="/held"):
        """A client of its own; the kernel gives it to one of the workers."""
        client = self.client(nginx)
        client.send(f"GET {target} HTTP/1.1\r\nHost: shared.test\r\n\r\n")
        return client

    def statuses(self, nginx, count):
        return [self.get(nginx, "/", host="shared.test")[0] for _ in range(count)]

    def fill(self, nginx, limit, name):
        """Asks until `limit` requests are held, from more clients than there is room for; the others are refused."""
        clients = [self.ask(nginx) for _ in range(limit)]
        self.wait_for_held(limit)
        for _ in range(20):  # on whichever worker they come
            status, fields, _ = self.get(nginx, "/", host="shared.test")
            self.assertEqual((status, fields.get("slotwire-limit")), (503, name))
        return clients

    def fill_service(self, nginx, service, limit):
        for _ in range(limit):
            self.ask(nginx, f"/held?service={service}")
        self.wait_for_held(limit)
        for _ in range(20):
            self.assertEqual(self.get(nginx, f"/?service={service}", host="shared.test")[0], 503)

    expected_alerts = r"exited on signal 9|of slotwire_limits is full|conflicts with the size"


class SharedLimits(LimitsTest):
    def test_requests_of_all_workers_are_counted_together(self):
        self.backend(each_request(self.hold))
        nginx = self.limited("requests=4 zone=limits:64k")
        clients = self.fill(nginx, 4, "requests")
        self.release.set()
        for client in clients:
            self.assertEqual(client.read_response()[0], 200)
        self.assertEqual(self.statuses(nginx, 10), [200] * 10)

    def test_requests_of_one_process_are_counted_together(self):
        self.backend(each_request(self.hold))
        nginx = self.limited("process=3 zone=limits:64k")
        clients = self.fill(nginx, 3, "process")
        self.release.set()
        for client in clients:
            self.assertEqual(client.read_response()[0], 200)
        self.assertEqual(self.statuses(nginx, 10), [200] * 10)

    def test_a_request_that_waits_for_a_first_connection_is_refused_when_the_process_is_full(self):
        """A worker without a connection finds out only when it has one that other workers filled the process."""
        self.backend(each_request(self.hold))
        nginx = self.limited("process=1 zone=limits:64k", spare=0)
        self.fill(nginx, 1, "process")
        self.release.set()

    def test_a_dead_worker_gives_back_what_it_counted(self):
        self.backend(each_request(self.hold))
        nginx = self.limited("requests=4 process=4 zone=limits:64k")
        self.fill(nginx, 4, "requests")
        for pid in nginx.worker_pids():
            os.kill(pid, signal.SIGKILL)
        nginx.wait_for_log(r"start worker process \d+", 2 * self.workers)
        self.release.set()  # those that the backend still has are nobody's
        self.assertEqual(self.statuses(nginx, 8), [200] * 8)
        self.release.clear()
        self.begun = threading.Semaphore(0)
        self.fill(nginx, 4, "requests")
        self.release.set()

    def test_workers_of_before_a_reload_count_too(self):
        self.backend(each_request(self.hold))
        nginx = self.limited("requests=4 zone=limits:64k")
        clients = self.fill(nginx, 4, "requests")
        nginx.signal(signal.SIGHUP)
        nginx.wait_for_log(r"start worker process \d+", 2 * self.workers)
        nginx.wait_for_log("gracefully shutting down", self.workers)
        for _ in range(10):
            self.assertEqual(self.get(nginx, "/", host="shared.test")[0], 503)
        self.release.set()
        for client in clients:
            self.assertEqual(client.read_response()[0], 200)
        self.assertEqual(self.statuses(nginx, 10), [200] * 10)

    def test_without_a_zone_each_worker_counts_by_itself(self):
        self.backend(each_request(self.hold))
        nginx = self.limited("requests=4")
        clients = [self.ask(nginx) for _ in range(40)]
        self.wait_for_held(4 * self.workers)
        self.release.set()
        answered = [client.read_response()[0] for client in clients]
        self.assertEqual(answered.count(200), 4 * self.workers)

    def test_names_that_nobody_serves_take_no_place(self):
        self.backend(each_request(self.hold))
        nginx = self.limited("requests=4 process=4 zone=limits:32k", service="$arg_service")
        clients = [self.client(nginx) for _ in range(8)]
        for number in range(1500):
            client = clients[number % len(clients)]
            self.assertEqual(client.get(f"/?service=none{number}", host="shared.test")[0], 502)
        self.assertNotIn("is full", nginx.log())
        self.assertNotIn("services already", nginx.log())
        self.fill_service(nginx, "web", 4)
        self.release.set()

    def test_a_zone_that_is_full_is_told_once_and_does_not_stop_requests(self):
        self.backend(each_request(self.hold))
        nginx = self.limited("requests=4 zone=limits:32k", service="$arg_service")
        self.left.stop()  # so that requests wait, each with its place
        waiting = [self.ask(nginx, f"/?service=none{number}") for number in range(80)]
        full = 'the zone "limits" of slotwire_limits is full'
        nginx.wait_for_log(full, self.workers)
        self.left.start()
        for client in waiting:
            self.assertEqual(client.read_response()[0], 502)
        self.assertEqual(nginx.log().count(full), self.workers)
        self.assertEqual(self.get(nginx, "/?service=web", host="shared.test")[0], 200)
        self.fill_service(nginx, "web", 4)
        self.release.set()

    def test_another_size_of_the_zone_is_refused_at_a_reload(self):
        """A zone of another size would be new memory, and what workers of before the reload have would be forgotten."""
        self.backend(each_request(self.hold))
        nginx = self.limited("requests=4 zone=limits:64k")
        clients = self.fill(nginx, 4, "requests")
        with open(nginx.config) as file:
            config = file.read()
        with open(nginx.config, "w") as file:
            file.write(config.replace("limits:64k", "limits:128k"))
        nginx.signal(signal.SIGHUP)
        nginx.wait_for_log('the size 131072 of zone "limits" conflicts with the size 65536')
        for _ in range(10):
            self.assertEqual(self.get(nginx, "/", host="shared.test")[0], 503)
        with open(nginx.config, "w") as file:
            file.write(config)
        nginx.signal(signal.SIGHUP)
        nginx.wait_for_log(r"start worker process \d+", 2 * self.workers)
        self.assertEqual(self.get(nginx, "/", host="shared.test")[0], 503)
        self.release.set()
        for client in clients:
            self.assertEqual(client.read_response()[0], 200)


class ManyServices(LimitsTest):
    """More services than the zone has room for: those that nobody uses give way, the least recently used ones first."""
    many = [f"many{number}" for number in range(16)]
    services = {"right": [*WebTest.services["right"], *many], "left": []}

    def serve_all(self):
        backend = self.backend(each_request(self.hold))
        for service in self.many:
            self.tunnel(f"{backend.address}:{backend.port}", service)

    def test_services_that_nobody_uses_give_way(self):
        self.workers = 1
        self.serve_all()
        nginx = self.limited("requests=4 process=4 zone=limits:32k", service="$arg_service")
        for _ in range(3):
            for service in self.many:
                self.assertEqual(self.get(nginx, f"/?service={service}", host="shared.test")[0], 200)
        self.assertNotIn("is full", nginx.log())

    def test_services_that_another_worker_does_not_use_give_way(self):
        self.serve_all()
        nginx = self.limited("requests=4 process=4 zone=limits:32k", service="$arg_service")
        clients = {}  # a kept connection to each worker
        while len(clients) < 2:
            client = self.client(nginx)
            clients[client.get("/pid", host="shared.test")[2]] = client
        one, other = clients.values()
        for service in self.many:
            self.assertEqual(one.get(f"/?service={service}", host="shared.test")[0], 200)
        self.assertNotIn("is full", nginx.log())
        ask = lambda: self.assertEqual(other.get(f"/?service={self.many[0]}", host="shared.test")[0], 200)
        ask()
        nginx.wait_for_log('"limits" of slotwire_limits is full')
        end = time.monotonic() + TIMEOUT
        while "has room again" not in nginx.log():
            self.assertLess(time.monotonic(), end, nginx.log()[-2000:])
            time.sleep(0.05)
            ask()
        self.fill_service(nginx, self.many[0], 4)
        self.release.set()


if __name__ == "__main__":
    unittest.main(verbosity=2)
