"""What one user, or one client, can take from the others of a node: each test is named after what it protects."""
import array
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import raw_process
from nodes import TIMEOUT, Node, NodeTest, run

ADA, BOB = 1000, 1001  # users; they need no names
ALLOW = "".join(f'[[allow]]\naction = "{action}"\nservice = "*"\nusers = ["*"]\n' for action in ("serve", "connect"))


@contextlib.contextmanager
def user(uid):
    """What is connected meanwhile is connected by this user, as SO_PEERCRED sees it."""
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


def connected(path, uid=0):
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end.settimeout(TIMEOUT)
    with user(uid):
        end.connect(path)
    return end


def session_of(path, uid, name="process"):
    with user(uid):
        return raw_process.Session(path, name)


def memory_kib(pid, field):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field + ":"))


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Quotas(NodeTest):
    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("only root can be several users")
        self.directory = tempfile.mkdtemp(prefix="slotwire-test-")
        os.chmod(self.directory, 0o755)
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.processes, self.nodes, self.open = [], [], []

    def tearDown(self):
        for end in self.open:
            end.close()
        super().tearDown()

    def node_with(self, config):
        node = Node(self.directory, f"node{len(self.nodes)}", config + ALLOW)
        self.nodes.append(node)
        node.start()
        return node

    def keep(self, end):
        self.open.append(end)
        return end

    def users(self, node):
        return {row["uid"]: row for row in node.status()["users"]}

    def refused(self, answer, *words):
        self.assertNotIn("ok", answer)
        self.assertEqual(answer["error"]["code"], "quota", answer)
        for word in words:
            self.assertIn(word, answer["error"]["text"])

    def fill(self, end, request):
        """Sends a request until the socket takes no more; returns how many there were."""
        end.setblocking(False)
        sent = 0
        try:
            while sent < 5000:
                end.send(json.dumps(dict(request, id=sent + 1)).encode())
                sent += 1
        except BlockingIOError:
            pass
        end.settimeout(TIMEOUT)
        return sent

    # --- row 6 ---

    def test_answers_that_nobody_reads_take_little_memory(self):
        node = self.node_with('[limits]\nhandshake = "2s"\nrequests_per_user = 100000\n')
        before = memory_kib(node.engine.pid, "VmRSS")
        clients = [self.keep(connected(node.socket, ADA)) for _ in range(20)]
        cut_off = 0
        while cut_off == 0:
            for client in clients:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it is cut off already
                    self.fill(client, {"op": "status"})
            cut_off = node.status()["clients"]["cut_off"]
        node.engine.wait_for(r"is cut off: it did not take its answers")
        self.assertLess(memory_kib(node.engine.pid, "VmHWM") - before, 16 << 10)
        self.assertGreater(node.status()["clients"]["cut_off"], 0)

    def test_a_server_that_does_not_read_collects_no_descriptors(self):
        node = self.node_with("[limits]\nslots_per_session = 1500\n[memory]\nring = \"4KiB\"\n")
        server = self.keep(session_of(node.socket, 0, "deaf"))
        server.ask({"op": "serve", "service": "deaf", "backlog": 1000})
        before = open_files(node.engine.pid)
        client = self.keep(session_of(node.socket, 0, "client"))
        opened = 0
        while opened < 1000:
            answer, fds = client.ask({"op": "connect", "service": "deaf", "timeout_ms": 1000})
            for fd in fds:
                os.close(fd)
            if "ok" not in answer:
                break
            opened += 1
        self.assertEqual(answer["error"]["code"], "busy", answer)
        self.assertGreater(opened, 50)
        # A wake-up for each slot, duplicates of the two descriptors that the keeper has, and what a session has: nothing that waits.
        self.assertLessEqual(open_files(node.engine.pid), before + 6 * opened + 32)
        self.assertEqual(node.status()["slots"]["used"], 2 * opened)

    # --- row 7 ---

    def test_one_user_does_not_take_all_sessions_and_says_which_key(self):
        node = self.node_with("[limits]\nsessions = 40\nslots = 64\n")
        sessions = []
        while True:
            end = self.keep(connected(node.socket, ADA))
            end.send(json.dumps({"op": "hello", "version": 2, "name": "greedy", "id": 1}).encode())
            answer = json.loads(end.recv(1 << 16))
            if "ok" not in answer:
                break
            sessions.append(end)
            self.assertLess(len(sessions), 40, "one user took them all")
        self.refused(answer, "limits.user_share", "user 1000 has")
        self.keep(session_of(node.socket, BOB))
        for _ in range(3):
            self.keep(session_of(node.socket, 0))
        self.assertEqual(self.users(node)[ADA]["sessions"], len(sessions))
        self.assertIn("1000", run(["status"], node).stdout)

    def test_one_user_does_not_take_all_slots_and_memory_also_after_a_restart(self):
        node = self.node_with('[limits]\nslots = 64\nmemory_per_user = "2MiB"\n[memory]\nslot_memory = "16MiB"\n')
        self.serve(["echo", "--echo"], node)
        greedy = self.keep(session_of(node.socket, ADA, "greedy"))
        held = 0
        while True:
            answer, fds = greedy.ask({"op": "connect", "service": "echo", "timeout_ms": 1000, "in_bytes": 4096, "out_bytes": 4096})
            for fd in fds:
                os.close(fd)
            if "ok" not in answer:
                break
            held += 2  # who connects pays for both ends
            self.assertLess(held, 64, "one user took them all")
        self.refused(answer, "limits.user_share", "slots")
        self.assertEqual(self.users(node)[ADA]["slots"], held)
        other = self.keep(session_of(node.socket, BOB, "other"))
        answer, fds = other.ask({"op": "connect", "service": "echo", "timeout_ms": 1000, "in_bytes": 4096, "out_bytes": 4096})
        self.assertIn("ok", answer)
        for fd in fds:
            os.close(fd)
        big = self.keep(session_of(node.socket, BOB + 1, "big"))
        answer, _ = big.ask({"op": "connect", "service": "echo", "timeout_ms": 1000, "in_bytes": 2 << 20, "out_bytes": 1 << 20})
        self.refused(answer, "limits.memory_per_user")
        # Sessions that have not come back are counted as they were.
        before = self.users(node)
        node.kill()
        node.start()
        after = self.users(node)
        for uid in (ADA, BOB):
            for what in ("sessions", "slots", "memory"):
                self.assertEqual(after[uid][what], before[uid][what], (uid, what))

    def test_one_user_does_not_take_all_tool_connections(self):
        node = self.node_with('[limits]\ntool_connections = 40\ntool_connections_per_user = 10\nhandshake = "60s"\n')
        for _ in range(10):
            self.keep(connected(node.socket, ADA))
        last = self.keep(connected(node.socket, ADA))
        self.refused(json.loads(last.recv(1 << 16)), "limits.tool_connections_per_user", "user 1000 has 10 of its 10")
        self.assertEqual(last.recv(1 << 16), b"")
        other = self.keep(connected(node.socket, BOB))
        other.send(b'{"op":"status","id":1}')
        self.assertTrue(json.loads(other.recv(1 << 20))["ok"])
        self.assertEqual(self.users(node)[ADA]["tool_connections"], 10)

    def test_silence_is_ended(self):
        node = self.node_with('[limits]\nhandshake = "300ms"\n')
        silent = self.keep(connected(node.socket, ADA))
        self.assertEqual(silent.recv(100), b"")
        node.engine.wait_for(r"is cut off: it said nothing for limits.handshake")

    # --- row 9 ---

    def test_a_flood_of_one_user_waits_and_the_requests_of_others_do_not(self):
        node = self.node_with("[limits]\nrequests_per_user = 16\ntool_connections_per_user = 40\n")
        flood = [self.keep(connected(node.socket, ADA)) for _ in range(30)]
        other = self.keep(connected(node.socket, BOB))
        os.kill(node.engine.pid, signal.SIGSTOP)  # so that all of it is there at once
        sent = sum(self.fill(client, {"op": "status"}) for client in flood)
        self.assertGreater(sent, 1500)
        other.send(b'{"op":"status","id":1}')
        os.kill(node.engine.pid, signal.SIGCONT)
        self.assertTrue(json.loads(other.recv(1 << 20))["ok"])
        answered = 0
        for client in flood:
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    client.recv(1 << 20)
                    answered += 1
        self.assertLess(answered, sent // 4, "the flood was served before the others")
        # What is beyond its limit is served when nobody else asks: none of it is lost, and none waits for tokens.
        for client in flood:
            client.settimeout(TIMEOUT)
        begin = time.monotonic()
        while answered < 400:
            flood[answered % len(flood)].recv(1 << 20)
            answered += 1
        self.assertLess(time.monotonic() - begin, 400 * 8 / 16 / 4, "the flood waits though nobody else asks")
        self.assertGreater(node.status()["clients"]["delayed"], 0)

    # --- row 10 ---

    def test_deaths_of_processes_do_not_fill_the_log(self):
        node = self.node_with("")
        for _ in range(60):
            session_of(node.socket, 0, "mayfly").close()
        while node.status()["sessions"]["used"] != 0:
            pass
        session = session_of(node.socket, 0, "last")
        session.close()
        self.assertLessEqual(node.engine.count("'mayfly' .* died"), 10)
        self.assertGreater(node.engine.count("'mayfly' .* died"), 0)

    # --- row 12 ---

    def test_without_descriptors_a_request_fails_and_the_daemon_goes_on(self):
        prlimit = self.need("prlimit")
        node = self.node_with("")
        self.serve(["echo", "--echo"], node)
        session = self.keep(raw_process.Session(node.socket, "before"))
        slot = session.connect("echo")
        asker = self.keep(raw_process.Session(node.socket, "asker"))
        pid = node.engine.pid

        def files(limit):
            subprocess.run([prlimit, f"--pid={pid}", f"--nofile={limit}:"], check=True, timeout=TIMEOUT)

        def no_more_files():
            taken = {int(number) for number in os.listdir(f"/proc/{pid}/fd")}
            files(next(number for number in range(len(taken) + 1) if number not in taken))

        no_more_files()
        answer, _ = session.ask({"op": "connect", "service": "echo", "timeout_ms": 1000})
        self.assertNotIn("ok", answer)
        self.assertIn(answer["error"]["code"], ("no_memory", "busy"), answer)
        # Its descriptor cannot be taken: said as such.
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        asker.socket.sendmsg([b'{"op":"capture","id":9}'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [ends[0].fileno()]))])
        self.assertEqual(asker.socket.recv(1 << 16), b"")
        node.engine.wait_for(r"'asker'.*or slotwired may open no more files")
        # What the session that ended had is closed in slotwired's own time, so room for one may come back in between; that
        # one is turned away a step later.
        for _ in range(20):
            no_more_files()
            after = len(node.engine.lines)
            late = self.keep(connected(node.socket))
            try:
                late.send(b'{"op":"status","id":1}')
            except BrokenPipeError:
                continue
            said, _ = node.engine.wait_for("cannot be (let in for the time being|watched): Too many open files", after)
            if said[1] != "watched":
                break
        self.assertIn("let in", said[1])
        files(4096)
        self.assertTrue(json.loads(late.recv(1 << 20))["ok"], "it was let in when there was room again")
        self.assertIn("ok", session.ask({"op": "connect", "service": "echo", "timeout_ms": 1000})[0])
        self.assertEqual(node.engine.pid, pid)
        waking = slot.set_mark
        slot.set_mark = lambda at, value: (waking(at, value),
                                           at == raw_process.TAIL and raw_process.signal(slot.more[0]))
        slot.call(b"goes on")
        for end in ends:
            end.close()

    def test_a_listener_of_another_user_is_not_taken_for_slotwired(self):
        path = os.path.join(self.directory, "fake.sock")
        os.chmod(self.directory, 0o777)
        fake = self.keep(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        with user(ADA):
            fake.bind(path)
            fake.listen(8)
        for command in (["status"], ["call", "echo", "x"]):
            said = run([*command, "--socket", path], expect=5).stderr
            self.assertIn("user 1000 listens at", said)
            self.assertIn("SLOTWIRE_ENGINE_UID=1000", said)
        fake.close()  # whoever is let through meets nobody
        os.unlink(path)
        node = self.node_with("")
        os.environ["SLOTWIRE_ENGINE_UID"] = str(ADA)
        try:
            self.assertIn("expects user 1000", run(["status"], node, expect=5).stderr)
        finally:
            del os.environ["SLOTWIRE_ENGINE_UID"]
        run(["status"], node)

    # --- row 15 ---

    def test_serve_does_not_wait_for_a_client_that_does_not_read(self):
        node = self.node_with("")
        server = self.serve(["big", "--exec", "head -c 8000000 /dev/zero", "--max-memory", "32MiB"], node)
        sessions = [self.keep(raw_process.Session(node.socket, f"deaf{i}")) for i in range(6)]
        for session in sessions:
            slot = session.connect("big")
            self.addCleanup(slot.close)
            ask(slot)
        # With each of them the server has an answer that nobody takes; another one is served all the same.
        self.assertEqual(len(run(["call", "big", "now"], node, text=False).stdout), 8000000)
        server.wait_for(r"a client that does not read is given up: .*--max-memory")
        self.assertLess(memory_kib(server.pid, "VmHWM"), 100 << 10)

    def test_serve_keeps_unfinished_requests_within_its_memory(self):
        node = self.node_with("")
        server = self.serve(["echo", "--echo", "--max-memory", "16MiB"], node)
        for i in range(12):
            session = self.keep(raw_process.Session(node.socket, f"endless{i}"))
            slot = session.connect("echo")
            self.addCleanup(slot.close)
            endless(slot, 3 << 20)
        self.assertEqual(run(["call", "echo", "small"], node).stdout, "small")
        server.wait_for("max_unfinished")
        self.assertLess(memory_kib(server.pid, "VmHWM"), 64 << 10)


def ring(slot):
    raw_process.signal(slot.more[0])  # a direct pair: the other process is woken


def ask(slot):
    """A request without a body; its answer is not read."""
    import struct
    slot.own[raw_process.PAGE:raw_process.PAGE + 16] = struct.pack("<IBBHII", 0, raw_process.REQUEST, raw_process.WHOLE, 0, 1, 0)
    slot.tail = 1
    slot.set_mark(raw_process.TAIL, slot.tail)
    ring(slot)


def endless(slot, size):
    """Parts of a request that never ends, until so many bytes were sent or the peer has given up."""
    import select
    import struct
    part, flags, sent = 8192 - 16, 1, 0
    lines = 8192 // raw_process.LINE
    while sent < size:
        end = slot.tail + lines
        for at in range(0, 8192, raw_process.LINE):
            first = raw_process.PAGE + (slot.tail + at // raw_process.LINE) % slot.in_lines * raw_process.LINE
            if at == 0:
                slot.own[first:first + 16] = struct.pack("<IBBHII", part, raw_process.REQUEST, flags, 0, 1, 0)
        flags = 0
        slot.tail = end
        slot.set_mark(raw_process.TAIL, slot.tail)
        ring(slot)
        sent += part
        while (slot.tail - slot.mark(slot.other, raw_process.HEAD)) & 0xffffffff > slot.in_lines - lines:
            slot.waits += raw_process.WAIT_STEP
            slot.set_mark(raw_process.WAIT, slot.waits | 2)
            if (slot.tail - slot.mark(slot.other, raw_process.HEAD)) & 0xffffffff <= slot.in_lines - lines:
                break
            if not select.select([slot.wake], [], [], 3)[0]:
                return  # given up
            os.read(slot.wake, 8)
        slot.set_mark(raw_process.WAIT, 0)


if __name__ == "__main__":
    unittest.main()
