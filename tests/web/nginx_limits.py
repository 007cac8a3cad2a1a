"""slotwire_limits with a zone: all workers of one nginx count together, over reloads and deaths of workers."""
import os
import signal
import threading
import unittest

from nodes import TIMEOUT
from web import WebTest, answer, each_request

SERVER = "server {{ listen %LISTEN% reuseport; server_name shared.test; location / {{ slotwire_pass {}; slotwire_next_upstream off; }} }}"


class SharedLimits(WebTest):
    workers = 2

    def setUp(self):
        super().setUp()
        self.release = threading.Event()
        self.addCleanup(self.release.set)
        self.begun = threading.Semaphore(0)

    def hold(self, stream, request):
        """A request to /held ends when the test says so."""
        if request.target == "/held":
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

    def test_a_zone_that_is_full_is_told_and_does_not_stop_requests(self):
        self.backend(each_request(self.hold))
        nginx = self.limited("requests=4 zone=limits:32k", service="$arg_service")
        for number in range(40):
            self.assertEqual(self.get(nginx, f"/?service=none{number}", host="shared.test")[0], 502)
        nginx.wait_for_log("the zone of slotwire_limits is full")
        self.assertEqual(self.get(nginx, "/?service=web", host="shared.test")[0], 200)

    expected_alerts = r"exited on signal 9|the zone of slotwire_limits is full"


if __name__ == "__main__":
    unittest.main(verbosity=2)
