"""What other nodes and strangers can do to a node: control connections, the gate that takes them, and what it may."""
import glob
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import unittest

from nodes import BIN, Node, NodeTest, SLOTWIRED, TIMEOUT, certificates, free_port, run

HELLO = {"type": "hello", "version": 1, "node": "aaa", "incarnation": "1", "udp_port": 9}
# What a peer is told that connects again too soon after a connection that ended early.
TOO_SOON = "; the next is taken in "
EXAMPLES = os.path.join(os.path.dirname(__file__), "..", "..", "examples")


def framed(message):
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return struct.pack(">I", len(data)) + data


class Peer:
    """A control connection spoken by hand, as another node or a stranger."""

    def __init__(self, to, tls=None, source=None):
        self.socket = socket.create_connection(to, TIMEOUT, source_address=(source, 0) if source else None)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket)
        self.left = b""

    def send(self, *messages):
        self.socket.sendall(b"".join(framed(message) for message in messages))

    def receive(self):
        """The next message; None: the connection has ended."""
        while True:
            if len(self.left) >= 4:
                length = struct.unpack(">I", self.left[:4])[0]
                if len(self.left) >= 4 + length:
                    text, self.left = self.left[4:4 + length], self.left[4 + length:]
                    return json.loads(text)
            try:
                data = self.socket.recv(65536)
            except (ConnectionError, ssl.SSLError):
                data = b""
            if not data:
                return None
            self.left += data

    def last(self, kind="error"):
        """Reads to the end; the last message of that type."""
        found = None
        while (message := self.receive()) is not None:
            if message["type"] == kind:
                found = message
        return found

    def until(self, kind):
        while (message := self.receive()) is not None:
            if message["type"] == kind:
                return message
        raise AssertionError(f"the connection ended before '{kind}'")

    def close(self):
        self.socket.close()


def client_tls(directory, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(os.path.join(directory, "ca.pem"))
    context.load_cert_chain(os.path.join(directory, f"{name}.pem"), os.path.join(directory, f"{name}.key"))
    return context


def status_of(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def keepers(node):
    found = []
    for comm in glob.glob("/proc/[0-9]*/comm"):
        try:
            with open(comm) as file:
                name = file.read().strip()
            with open(os.path.join(os.path.dirname(comm), "cmdline")) as file:
                command_line = file.read()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name == "slotwire-keeper" and node.directory in command_line:
            found.append(int(comm.split("/")[2]))
    return found


class OneNode(NodeTest):
    """A node whose peer `aaa`, which dials, is the test."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="slotwire-test-")
        os.chmod(self.directory, 0o755)
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.processes, self.nodes, self.peers = [], [], []

    def tearDown(self):
        for peer in self.peers:
            peer.close()
        super().tearDown()

    def node(self, more="", tls=False, limits=""):
        """Started; listens at self.at."""
        self.at = ("127.0.0.1", free_port())
        config = f'[listen]\ncontrol = "127.0.0.1:{self.at[1]}"\nudp = "127.0.0.1:0"\n'
        config += '[[link]]\npeer = "aaa"\nudp = "127.0.0.1:9"\nencryption = "none"\n' + (f"[limits]\n{limits}\n" if limits else "")
        if tls:
            self.tables = certificates(self.directory, ["node", "aaa"])
            config += self.tables["node"]
        node = Node(self.directory, "node", config + more)
        self.nodes.append(node)
        node.start()
        return node

    def peer(self, tls=None, source=None):
        self.peers.append(Peer(self.at, tls, source))
        return self.peers[-1]

    def connected(self, **options):
        """A peer whose hello was taken: once more as long as it comes too soon after one that ended early."""
        while True:
            peer = self.peer(**options)
            peer.send(HELLO, {"type": "sync", "pairs": [], "last": True})
            while (message := peer.receive()) is not None:
                if message["type"] == "sync":
                    return peer
                if message["type"] == "error":
                    self.assertIn(TOO_SOON, message["text"])

    def last_said_to(self, *messages):
        """The text of what a peer that says these gets to hear last, if it did not come too soon."""
        while True:
            peer = self.peer()
            peer.send(*messages)
            text = (peer.last() or {}).get("text", "nothing was said")
            if TOO_SOON not in text:
                return text


class Strangers(OneNode):
    def crowd(self, tls):
        node = self.node(tls=tls, limits='handshake = "60s"')
        for i in range(200):
            self.peer(source=f"127.77.0.{1 + i % 20}")
        # From an address that no [[link]] names, and from one that it does.
        for source in ("127.66.0.1", "127.0.0.1"):
            peer = self.connected(tls=client_tls(self.directory, "aaa") if tls else None, source=source)
            peer.send({"type": "ping"})
            peer.until("pong")
        gate = node.status()["gate"]
        while gate["accepted"] < 202 or gate["proved"] < 2 or gate["channels"] != 1:
            gate = node.status()["gate"]
        self.assertGreater(gate["displaced"] + gate["over_source"], 100, gate)
        self.assertLessEqual(gate["callers"], 64, gate)
        self.assertEqual(gate["channels"], 1, gate)

    def test_that_are_silent_do_not_keep_a_peer_out(self):
        self.crowd(False)

    def test_that_are_silent_do_not_keep_a_peer_out_with_tls(self):
        self.crowd(True)

    def nonsense(self, tls):
        node = self.node(tls=tls)
        context = client_tls(self.directory, "aaa") if tls else None
        cut = b'{"type":"hello","version":1,"incarnation":"1","node":"aaa' + "\u20ac".encode()[:2]
        for text in (cut, cut + b'"}', b"[" * 500_000, b'{"a":' * 200_000, b'"' + b"\\u0000" * 100_000, b"\xff" * 1000):
            peer = self.peer(tls=context)
            peer.send(text)
            self.assertIn("not a hello", (peer.last() or {}).get("text", "nothing was said"))
            # The same from one who is a peer.
            peer = self.connected(tls=context)
            peer.send(text)
            self.assertIn("cannot be understood", (peer.last() or {}).get("text", "nothing was said"))
        peer = self.peer(tls=context)
        peer.socket.sendall(b"\x7f\xff\xff\xff")
        self.assertIn("you sent a message of 2147483647 bytes", (peer.last() or {}).get("text", "nothing was said"))
        self.connected(tls=context)
        self.assertEqual(node.status()["node"], "node")
        self.assertEqual(node.status()["gate"]["starts"], 1)

    def test_and_peers_cost_their_own_connection_with_nonsense(self):
        self.nonsense(False)

    def test_and_peers_cost_their_own_connection_with_nonsense_over_tls(self):
        self.nonsense(True)

    def test_that_speak_tls_to_a_node_without_it_are_told_from_others(self):
        node = self.node()
        certificates(self.directory, ["aaa"])
        with self.assertRaises((ssl.SSLError, OSError)):
            self.peer(tls=client_tls(self.directory, "aaa"))
        node.engine.wait_for("the other node speaks TLS and this one does not")

    def test_that_speak_no_tls_to_a_node_with_it_are_told_from_others(self):
        node = self.node(tls=True)
        self.peer().send(HELLO)
        node.engine.wait_for("this node speaks TLS here: does the other one")


class Rules(OneNode):
    def test_of_the_protocol_are_said_to_who_breaks_them(self):
        node = self.node()
        opened = {"type": "opened", "id": 7, "slot": 1, "to": {}}
        open_ = {"type": "open", "id": 1, "service": "x", "slot": 1, "epoch": 1, "in_order": 6, "out_order": 6,
                 "in_first": 1, "out_first": 2, "from": {}}
        sync = {"type": "sync", "pairs": [], "last": True}
        broken = {
            "a hello of another name": ([HELLO, dict(HELLO, node="other")], "hello twice"),
            "a second hello": ([HELLO, HELLO], "hello twice"),
            "opened without open": ([HELLO, sync, opened], "an answer to an open"),
            "refused without open": ([HELLO, sync, {"type": "refused", "id": 7, "code": "x", "text": "x"}], "an answer to an open"),
            "a key where none is wanted": ([HELLO, {"type": "key_taken", "key": 1}], "an answer to a key"),
            "a sync in place of the hello": ([sync], "not a hello"),
            "a wrong type": ([HELLO, {"type": 7}], "has no 'type'"),
            "a wrong slot": ([HELLO, sync, {"type": "close", "slot": 1e9, "from_slot": 0, "epoch": 1, "reason": "died"}], "'slot'"),
        }
        for what, (messages, answer) in broken.items():
            with self.subTest(what):
                self.assertIn(answer, self.last_said_to(*messages))
        # Two opens of one slot in one epoch: the second is refused, and the connection goes on.
        self.serve(["x", "--exec", "/bin/cat"], node)
        peer = self.connected()
        peer.send(open_, dict(open_, id=2))
        self.assertEqual(peer.until("opened")["id"], 1)
        refused = peer.until("refused")
        self.assertEqual(refused["id"], 2)
        self.assertIn("paired with a slot", refused["text"])
        self.assertEqual(node.status()["gate"]["starts"], 1)

    def test_a_peer_that_sends_without_pause_is_read_slowly_and_others_are_served(self):
        node = self.node(limits="peer_messages = 200")
        peer = self.connected()
        peer.socket.setblocking(False)
        pong = framed({"type": "pong"})
        sent = 0
        # Until its window of TCP is full: nobody reads what is above the rate.
        while sent < 64 << 20:
            try:
                sent += peer.socket.send(pong * 1000)
            except BlockingIOError:
                if node.status()["gate"]["slowed"] > 0:
                    break
        self.assertGreater(node.status()["gate"]["slowed"], 0)
        self.assertLess(sent, 64 << 20)
        # Others have their turn: a process that calls, and a stranger who gets an answer.
        self.serve(["echo", "--exec", "/bin/cat"], node)
        self.assertEqual(run(["call", "echo", "words"], node).stdout.strip(), "words")
        stranger = self.peer()
        stranger.send(dict(HELLO, node="stranger"))
        self.assertIn("no [[link]]", stranger.last()["text"])


class Gate(OneNode):
    def test_is_not_what_maps_slot_memory_and_may_do_little(self):
        node = self.node(tls=True)
        self.connected(tls=client_tls(self.directory, "aaa"))
        gate = node.status()["gate"]["pid"]
        who = {"slotwired": node.engine.pid, "slotwire-gate": gate, "slotwire-keeper": keepers(node)[0]}
        files = {}
        for name, pid in who.items():
            status = status_of(pid)
            files[name] = sorted(os.readlink(fd) for fd in glob.glob(f"/proc/{pid}/fd/*"))
            print(f"{name}: Seccomp {status['Seccomp']}, NoNewPrivs {status['NoNewPrivs']}, Uid {status['Uid']}, "
                  f"CapEff {status['CapEff']}\n  descriptors: {files[name]}")
            self.assertEqual(status["NoNewPrivs"], "1", name)
            if not os.environ.get("SLOTWIRE_TEST_SANITIZED"):
                self.assertEqual(status["Seccomp"], "2", name)
        allowed = subprocess.run([os.path.join(BIN, "slotwire-gate"), "--print-sandbox"], capture_output=True, text=True,
                                 check=True, timeout=TIMEOUT).stdout
        print(allowed)
        calls = re.search("system calls:(.*)", allowed)[1].split()
        for call in ("execve", "execveat", "clone", "clone3", "fork", "vfork", "ptrace", "process_vm_readv", "kill", "setuid",
                     "setresuid", "mount", "bpf", "memfd_create", "unlink", "unlinkat", "rename", "listen", "pidfd_getfd"):
            self.assertNotIn(call, calls)
        self.assertFalse([file for file in files["slotwire-gate"] if "memfd" in file], "the gate has slot memory")
        with open(f"/proc/{gate}/maps") as maps:
            self.assertNotIn("memfd", maps.read())
        if os.geteuid() == 0:
            self.assertNotIn("0", status_of(gate)["Uid"].split())
            self.assertEqual(int(status_of(gate)["CapEff"], 16), 0)
        # The key: read by the gate and nobody else, and not open any more.
        for name in who:
            self.assertFalse([file for file in files[name] if file.endswith("node.key")], name)

    def test_that_dies_comes_back_and_costs_no_data(self):
        node = self.node()
        peer = self.connected()
        gate = node.status()["gate"]["pid"]
        os.kill(gate, signal.SIGKILL)
        self.assertIsNone(peer.last())
        node.engine.wait_for("the gate was ended by signal 9")
        self.connected().send({"type": "ping"})
        after = node.status()["gate"]
        self.assertEqual(after["starts"], 2)
        self.assertNotEqual(after["pid"], gate)

    def test_ends_with_a_slotwired_that_was_killed(self):
        node = self.node()
        gate = node.status()["gate"]["pid"]
        watch = os.pidfd_open(gate)
        self.addCleanup(os.close, watch)
        node.kill()
        self.assertTrue(select_readable(watch), "the gate outlives slotwired")
        node.start()
        self.connected()

    def test_key_that_cannot_be_used_ends_the_start_with_a_reason(self):
        tables = certificates(self.directory, ["node", "aaa"])
        with open(os.path.join(self.directory, "node.key"), "w") as file:
            file.write("no key\n")
        with open(os.path.join(self.directory, "bad.toml"), "w") as file:
            file.write(f'[node]\nname = "bad"\nrun_dir = "{self.directory}/bad"\n' + tables["node"])
        ended = subprocess.run([SLOTWIRED, "-c", os.path.join(self.directory, "bad.toml")], capture_output=True, text=True,
                               timeout=TIMEOUT)
        self.assertEqual(ended.returncode, 1)
        self.assertIn("tls.key", ended.stderr)


def select_readable(fd):
    import select
    return bool(select.select([fd], [], [], TIMEOUT)[0])


class Names(NodeTest):
    def add_node(self, name, peer):
        if not hasattr(self, "ports"):
            self.ports = {n: {k: free_port() for k in ("control", "udp", "tcp")} for n in ("left", "right")}
        at, to = self.ports[name], self.ports[peer]
        config = f'[listen]\ncontrol = "127.0.0.1:{at["control"]}"\n{self.carrier} = "127.0.0.1:{at[self.carrier]}"\n'
        config += f'[[link]]\npeer = "{peer}"\ncontrol = "localhost:{to["control"]}"\ncarrier = "{self.carrier}"\n'
        config += f'{self.carrier} = "localhost:{to[self.carrier]}"\n'
        node = Node(self.directory, name, config)
        self.nodes.append(node)
        return node

    def test_of_hosts_are_looked_up(self):
        self.right.kill()
        self.right.start()
        self.right.wait_for_link()


class NamesOverTcp(Names):
    carrier = "tcp"

    def test_of_hosts_are_looked_up_for_tcp(self):
        self.test_of_hosts_are_looked_up()


class ShippedExamples(OneNode):
    def test_run_as_they_are_though_their_names_lead_nowhere(self):
        certificates(self.directory, ["edge-1", "rack-1"])
        for path in sorted(glob.glob(os.path.join(EXAMPLES, "*.toml"))):
            with open(path) as file:
                text = file.read()
            if "[node]" not in text:
                continue
            with self.subTest(os.path.basename(path)):
                name = re.search('name = "(.*?)"', text)[1]
                at = f"127.78.0.{1 + len(self.nodes)}"
                # Paths and addresses are the machine's; all else is as shipped.
                text = text.replace("0.0.0.0", at).replace("/etc/slotwire", self.directory)
                text = text.replace('"directory.toml"', f'"{os.path.join(os.path.abspath(EXAMPLES), "directory.toml")}"')
                text = re.sub(r'\[node\]\nname = ".*?"\n', "", text)
                node = Node(self.directory, name, text)
                self.nodes.append(node)
                checked = subprocess.run([SLOTWIRED, "--check", "-c", node.config], capture_output=True, text=True,
                                         timeout=TIMEOUT)
                self.assertEqual(checked.returncode, 0, checked.stderr)
                node.start()
                if re.search(r'control = ".*\.example', text) and node.status()["links"][0]["dials"]:
                    node.engine.wait_for("cannot be looked up")
                self.assertEqual(node.status()["node"], name)


class Revoked(NodeTest):
    """Two nodes with TLS and a list of revoked certificates that can be changed."""

    def setUp(self):
        self.certificates = tempfile.mkdtemp(prefix="slotwire-test-")
        self.addCleanup(shutil.rmtree, self.certificates, True)
        self.need("openssl")
        self.tables = certificates(self.certificates, ["left", "right"])
        with open(os.path.join(self.certificates, "ca.cnf"), "w") as file:
            file.write("[ca]\ndefault_ca = a\n[a]\ndatabase = index.txt\ndefault_md = sha256\ndefault_crl_days = 2\n"
                       "certificate = ca.pem\nprivate_key = ca.key\n")
        open(os.path.join(self.certificates, "index.txt"), "w").close()
        self.write_list()
        self.extra_config = {}
        for name, table in self.tables.items():
            table += f'crl = "{self.certificates}/crl.pem"\n'
            self.extra_config[name] = table + '[[link]]\npeer = "none"\ncontrol = "127.0.0.1:9"\ndial = false\n'
        super().setUp()

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self.certificates, timeout=TIMEOUT)

    def write_list(self):
        self.openssl("ca", "-config", "ca.cnf", "-gencrl", "-out", "crl.pem")

    def reload(self, node):
        after = len(node.engine.lines)
        node.engine.process.send_signal(signal.SIGHUP)
        node.engine.wait_for("certificates.* reloaded", after)

    def test_peer_is_out_and_a_reload_costs_no_call(self):
        self.serve(["echo", "--exec", "/bin/cat"], self.right)
        calls, failed, over = [], [], threading.Event()

        def call():
            while not over.is_set():
                text = f"call {len(calls)}"
                answer = run(["call", "echo", text], self.left, expect=None)
                (calls if answer.stdout.strip() == text else failed).append(answer)

        caller = threading.Thread(target=call)
        caller.start()
        try:
            for _ in range(3):
                for node in (self.left, self.right):
                    self.reload(node)
            before = len(calls)
            while len(calls) < before + 3 and not failed:
                caller.join(0.01)
        finally:
            over.set()
            caller.join()
        self.assertEqual(failed, [])
        # A file that cannot be used changes nothing.
        key = os.path.join(self.certificates, "right.key")
        shutil.copy(key, key + ".good")
        with open(key, "w") as file:
            file.write("no key\n")
        after = len(self.right.engine.lines)
        self.right.engine.process.send_signal(signal.SIGHUP)
        self.right.engine.wait_for("not reloaded, the old ones stay", after)
        shutil.move(key + ".good", key)
        self.assertEqual(run(["call", "echo", "still"], self.left).stdout.strip(), "still")
        self.assertEqual(self.right.status()["links"][0]["control_connects"], 1)
        # One that would hold up its reader does not, and changes nothing either.
        crl = os.path.join(self.certificates, "crl.pem")
        os.rename(crl, crl + ".good")
        os.mkfifo(crl)
        after = len(self.right.engine.lines)
        self.right.engine.process.send_signal(signal.SIGHUP)
        self.right.engine.wait_for("not reloaded, the old ones stay: .*no regular file|not reloaded.*no regular file", after)
        self.assertEqual(run(["call", "echo", "still"], self.left).stdout.strip(), "still")
        os.rename(crl + ".good", crl)
        # The peer's certificate is revoked.
        self.openssl("ca", "-config", "ca.cnf", "-revoke", "left.pem")
        self.write_list()
        self.reload(self.right)
        self.right.engine.wait_for("link to 'left' is closed: its certificate does not hold any more")
        run(["call", "echo", "no more"], self.left, expect=None)
        self.assertFalse(self.right.status()["links"][0]["up"])
        self.left.engine.wait_for("it said: your certificate does not hold any more|certificate revoked|TLS")

    def replaced(self, *files):
        """Puts files in the place of others; the way back."""
        for name, by in files:
            shutil.copy(os.path.join(self.certificates, name), os.path.join(self.certificates, name + ".good"))
            shutil.copy(os.path.join(self.certificates, by), os.path.join(self.certificates, name))

        def back():
            for name, _ in files:
                shutil.move(os.path.join(self.certificates, name + ".good"), os.path.join(self.certificates, name))
        return back

    def test_files_with_which_no_peer_could_connect_are_not_reloaded(self):
        self.serve(["echo", "--exec", "/bin/cat"], self.right)
        other = tempfile.mkdtemp(prefix="slotwire-test-", dir=self.certificates)
        certificates(other, ["right"])
        shutil.copy(os.path.join(self.certificates, "crl.pem"), os.path.join(other, "old.pem"))
        self.openssl("ca", "-config", "ca.cnf", "-gencrl", "-crl_lastupdate", "20200101000000Z",
                     "-crl_nextupdate", "20200102000000Z", "-out", os.path.join(other, "old.pem"))
        shutil.copy(os.path.join(self.certificates, "ca.cnf"), other)
        open(os.path.join(other, "index.txt"), "w").close()
        subprocess.run(["openssl", "ca", "-config", "ca.cnf", "-gencrl", "-out", "crl.pem"], check=True, capture_output=True,
                       cwd=other, timeout=TIMEOUT)
        self.assertIn("expires in", self.right.status()["gate"]["certificate"])
        for why, files in (
                ("does not name node 'right'", [("right.pem", "left.pem"), ("right.key", "left.key")]),
                ("belongs to the certificate", [("right.key", "left.key")]),
                ("does not verify against CA", [("ca.pem", os.path.join(other, "ca.pem"))]),
                ("is out of date", [("crl.pem", os.path.join(other, "old.pem"))]),
                ("is not one of the CA", [("crl.pem", os.path.join(other, "crl.pem"))])):
            with self.subTest(why):
                back = self.replaced(*files)
                try:
                    after = len(self.right.engine.lines)
                    self.right.engine.process.send_signal(signal.SIGHUP)
                    self.right.engine.wait_for("certificates not reloaded, the old ones stay: .*" + why, after)
                    checked = subprocess.run([SLOTWIRED, "--check", "-c", self.right.config], capture_output=True, text=True,
                                             timeout=TIMEOUT)
                finally:
                    back()
                self.assertIn(why, self.right.status()["gate"]["certificate_not_reloaded"])
                self.assertIn(why, run(["status"], self.right).stdout)
                self.assertEqual(checked.returncode, 78, checked.stderr)
                self.assertIn(why, checked.stderr)
                self.assertEqual(run(["call", "echo", "still"], self.left).stdout.strip(), "still")
        self.reload(self.right)
        self.assertNotIn("certificate_not_reloaded", self.right.status()["gate"])
        checked = subprocess.run([SLOTWIRED, "--check", "-c", self.right.config], capture_output=True, text=True,
                                 timeout=TIMEOUT)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        self.assertIn("warning: certificate", checked.stderr)


if __name__ == "__main__":
    unittest.main()
