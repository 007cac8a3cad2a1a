"""Real slotwired processes, linked over loopback, for tests of the programs that use them. Standard library only.

Nothing here sleeps: processes are waited for by what they say (NOTIFY_SOCKET, lines they print) or by their end.
"""
import errno
import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

BIN = os.environ.get("SLOTWIRE_BIN", os.path.join(os.path.dirname(__file__), "..", "..", "build", "bin"))
SLOTWIRE = os.path.join(BIN, "slotwire")
SLOTWIRED = os.path.join(BIN, "slotwired")
# A wait that takes this long (seconds) means that what is waited for never comes.
TIMEOUT = 30 * int(os.environ.get("SLOTWIRE_TEST_SLOWNESS", "1"))


class Process:
    """A program whose output lines can be waited for. Ended by stop() at the latest."""

    def __init__(self, arguments, env=None, **options):
        self.arguments = arguments
        self.lines = []
        self.changed = threading.Condition()
        options.setdefault("stdin", subprocess.DEVNULL)
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        env=dict(os.environ, **(env or {})), text=True, errors="replace", **options)
        self.abandoned = False
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()
            if self.abandoned:
                break
        self.process.stdout.close()
        with self.changed:
            self.lines.append(None)
            self.changed.notify_all()

    def abandon_output(self):
        """Closes the pipe that it writes to, after its next line."""
        self.abandoned = True

    @property
    def pid(self):
        return self.process.pid

    def output(self):
        return "\n".join(line for line in self.lines if line is not None)

    def wait_for(self, pattern, after=0, timeout=TIMEOUT):
        """The first line from number `after` on that has `pattern`; returns (match, number of the line after it)."""
        found = None

        def look():
            nonlocal found
            for number in range(after, len(self.lines)):
                if self.lines[number] is None:
                    raise AssertionError(f"{self.arguments} ended before '{pattern}':\n{self.output()}")
                match = re.search(pattern, self.lines[number])
                if match:
                    found = (match, number + 1)
                    return True
            return False

        with self.changed:
            if not self.changed.wait_for(look, timeout):
                raise AssertionError(f"{self.arguments} did not say '{pattern}' in {timeout} s:\n{self.output()}")
        return found

    def count(self, pattern):
        with self.changed:
            return sum(1 for line in self.lines if line is not None and re.search(pattern, line))

    def wait(self, timeout=TIMEOUT):
        code = self.process.wait(timeout)
        self.reader.join(timeout)
        return code

    def stop(self, how=signal.SIGTERM):
        """Ends it; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.wait()
            raise AssertionError(f"{self.arguments} did not end on signal {how}:\n{self.output()}")


class Node:
    def __init__(self, directory, name, config):
        self.name = name
        self.directory = os.path.join(directory, name)
        os.mkdir(self.directory)
        self.config = os.path.join(directory, name + ".toml")
        self.socket = os.path.join(self.directory, name + ".sock")
        self.prefix = []  # what slotwired is started by, to run it in a namespace
        with open(self.config, "w") as file:
            file.write(f'[node]\nname = "{name}"\nrun_dir = "{self.directory}"\n' + config)
        self.engine = None

    def start(self):
        path = os.path.join(self.directory, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            if os.path.exists(path):
                os.unlink(path)
            notify.bind(path)
            notify.settimeout(TIMEOUT)
            self.engine = Process([*self.prefix, SLOTWIRED, "-c", self.config], env={"NOTIFY_SOCKET": path})
            try:
                while "READY=1" not in notify.recv(4096).decode():
                    pass
            except TimeoutError:
                raise AssertionError(f"node {self.name} did not get ready:\n{self.engine.output()}")
        os.unlink(path)

    def wait_for_link(self):
        self.engine.wait_for(r"link to '.*': control connection up")
        self.engine.wait_for(r"link to '.*': carrier \S+ up")

    def stop(self):
        code = self.engine.stop()
        self.engine = None
        return code

    def kill(self):
        """As a crash does it: the keeper and the processes stay."""
        self.engine.stop(signal.SIGKILL)

    def status(self, *more):
        return json.loads(run(["status", "--json", *more], self).stdout)


def run(arguments, node=None, expect=0, timeout=TIMEOUT, **options):
    """Runs slotwire; its exit status must be `expect` (None: any)."""
    env = dict(os.environ)
    if node is not None:
        env["SLOTWIRE_SOCKET"] = node.socket
    options.setdefault("stdin", subprocess.DEVNULL)
    if "input" in options:
        del options["stdin"]
    options.setdefault("text", True)
    result = subprocess.run([SLOTWIRE, *arguments], env=env, capture_output=True, timeout=timeout, **options)
    if expect is not None and result.returncode != expect:
        raise AssertionError(f"slotwire {' '.join(arguments)}: exit status {result.returncode} instead of {expect}\n"
                             f"{result.stdout}\n{result.stderr}")
    return result


class NodeTest(unittest.TestCase):
    """Two linked nodes, `left` and `right`, for each test; all processes end with it."""
    carrier = "udp"
    # Services that the directory knows, by the node that serves them.
    services = {"right": ["echo", "web", "upper"], "left": ["echo-left"]}
    extra_config = {"left": "", "right": ""}

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="slotwire-test-")
        os.chmod(self.directory, 0o755)
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.processes = []
        self.nodes = []
        pid = os.getpid()
        network = f"127.{1 + pid // 250 % 250}.{1 + pid % 250}"
        self.addresses = {"left": network + ".1", "right": network + ".2"}
        self.left = self.add_node("left", "right")
        self.right = self.add_node("right", "left")
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_for_link()

    def add_node(self, name, peer):
        at, to = self.addresses[name], self.addresses[peer]
        config = f'[listen]\ncontrol = "{at}:7400"\n{self.carrier} = "{at}:7401"\n'
        config += f'[[link]]\npeer = "{peer}"\ncontrol = "{to}:7400"\ncarrier = "{self.carrier}"\n{self.carrier} = "{to}:7401"\n'
        for service in self.services[peer]:
            config += f'[[service]]\nname = "{service}"\nnodes = ["{peer}"]\n'
        config += self.extra_config[name]
        node = Node(self.directory, name, config)
        self.nodes.append(node)
        return node

    def tearDown(self):
        for process in reversed(self.processes):
            process.stop()
        for node in self.nodes:
            if node.engine is None:
                continue
            self.assertEqual(node.engine.stop(), 0, node.engine.output())
            left_over = [name for name in os.listdir(node.directory) if name.endswith(".sock")]
            self.assertEqual(left_over, [], "sockets left behind")

    def start(self, arguments, node=None, **options):
        """Starts a program that ends with the test. A name without a slash is a subcommand of slotwire."""
        env = {"SLOTWIRE_SOCKET": node.socket} if node is not None else {}
        process = Process(arguments if "/" in arguments[0] else [SLOTWIRE, *arguments], env=env, **options)
        self.processes.append(process)
        return process

    def serve(self, arguments, node):
        """`slotwire serve`, ready to answer."""
        process = self.start(["serve", *arguments], node)
        process.wait_for("serving '")
        return process

    def need(self, program):
        path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
        if path is None:
            self.skipTest(f"{program} is not installed: see scripts/install-deps")
        return path


def certificates(directory, names):
    """An authority and a certificate for each name; [tls] tables by name. Needs openssl."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=directory, timeout=TIMEOUT)

    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test authority")
    tables = {}
    for name in names:
        openssl("req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        with open(os.path.join(directory, f"{name}.ext"), "w") as file:
            file.write(f"subjectAltName = DNS:{name}\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", f"{name}.ext", "-out", f"{name}.pem")
        tables[name] = "[tls]\n" + "".join(f'{key} = "{os.path.join(directory, file)}"\n' for key, file in (
            ("certificate", f"{name}.pem"), ("key", f"{name}.key"), ("ca", "ca.pem")))
    return tables


PORTS = itertools.cycle(random.sample(range(10_000, 30_000), 20_000))  # each once, so that two calls never get the same


def free_port(address="127.0.0.1"):
    """A port that is free for TCP and UDP, and stays so: below those that the kernel gives to whoever asks for any
    (net.ipv4.ip_local_port_range), since a connection of another program would take it before it is bound."""
    for port in itertools.islice(PORTS, 1000):
        try:
            with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
                tcp.bind((address, port))
                udp.bind((address, port))
                return port
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, f"no free port at {address} between 10000 and 30000")
