"""Four web servers and four executing servers: how many connections there are between the hosts."""
import os
import shutil
import subprocess
import tempfile
import threading
import unittest

from nodes import Node
from web import MODULE, Nginx, WebTest, answer, each_request
from web_nodes import eventually

WEBS, SERVERS, AT_ONCE = 4, 4, 32


class Mesh(WebTest):
    def setUp(self):
        if not shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"):
            self.skipTest("nginx is not installed: see scripts/install-deps")
        if not os.path.exists(MODULE):
            self.skipTest("the nginx module is not built: see scripts/install-deps")
        if not shutil.which("ss"):
            self.skipTest("ss is not installed: see scripts/install-deps")
        self.directory = tempfile.mkdtemp(prefix="slotwire-test-")
        os.chmod(self.directory, 0o755)
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.processes, self.nodes, self.nginxes, self.clients = [], [], [], []
        pid = os.getpid()
        network = f"127.{1 + pid // 250 % 250}.{1 + pid % 250}"
        webs, servers = [f"web{i}" for i in range(WEBS)], [f"app{i}" for i in range(SERVERS)]
        self.addresses = {name: f"{network}.{i + 1}" for i, name in enumerate(webs + servers)}
        for name in webs + servers:
            at = self.addresses[name]
            config = f'[listen]\ncontrol = "{at}:7400"\nudp = "{at}:7401"\n'
            for peer in servers if name in webs else webs:
                to = self.addresses[peer]
                config += f'[[link]]\npeer = "{peer}"\ncontrol = "{to}:7400"\nudp = "{to}:7401"\n'
            if name in webs:
                config += f'[[service]]\nname = "web"\nspread = true\nnodes = {servers}\n'.replace("'", '"')
            self.nodes.append(Node(self.directory, name, config))
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            for peer in servers if node.name in webs else webs:
                node.engine.wait_for(f"link to '{peer}': control connection up")
                node.engine.wait_for(f"link to '{peer}': carrier udp up")
        self.webs, self.servers = self.nodes[:WEBS], self.nodes[WEBS:]

    def established(self, filter_):
        """Both ends are on this machine: one of them is counted, by the port that it listens on."""
        shown = subprocess.run(["ss", "-Htn", "state", "established", filter_], capture_output=True, text=True, check=True).stdout
        return [line.split() for line in shown.splitlines()]

    def control_connections(self):
        ours = set(self.addresses.values())
        return sum(line[2].rpartition(":")[0] in ours for line in self.established("( sport = :7400 )"))

    def connections_to(self, backends):
        """Of web servers; what has another address is a tunnel's of the backend's own host."""
        webs = {self.addresses[node.name] for node in self.webs}
        return sum(line[2] == f"{backend.address}:{backend.port}" and line[3].rpartition(":")[0] in webs
                   for backend in backends for line in self.established(f"( sport = :{backend.port} )"))

    def test_links_are_as_many_as_pairs_of_hosts_and_connections_as_many_as_requests(self):
        release = threading.Event()
        self.addCleanup(release.set)

        def hold(stream, request):
            release.wait(60)
            answer(stream)

        backends = [self.backend(each_request(hold), node=node) for node in self.servers]
        proxied = "".join(f"server {backend.address}:{backend.port};" for backend in backends)
        for node in self.webs:
            directory = os.path.join(self.directory, f"nginx-{node.name}")
            os.mkdir(directory)
            # So that connections to a backend come from the web server's own address, as from another host.
            http = f"""slotwire_socket {node.socket}; slotwire_temp_path %DIR%/temp/slotwire; slotwire_pool max=128;
                upstream proxied {{ {proxied} keepalive 64; }} proxy_bind {self.addresses[node.name]};
                server {{ listen %LISTEN%; location /slots {{ slotwire_pass web; }}
                          location /proxy {{ proxy_pass http://proxied; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}"""
            nginx = Nginx(directory, self.addresses[node.name], http, f"load_module {os.path.abspath(MODULE)};")
            nginx.start()
            self.nginxes.append(nginx)

        def ask(path):
            before = sum(len(backend.requests) for backend in backends)
            for nginx in self.nginxes:
                for _ in range(AT_ONCE):
                    client = self.client(nginx)
                    client.send(f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n")
            eventually(lambda: sum(len(backend.requests) for backend in backends) == before + WEBS * AT_ONCE,
                       f"all requests of {path} are under way", timeout=60)

        self.assertEqual(self.control_connections(), WEBS * SERVERS)
        ask("/slots")
        self.assertEqual(self.control_connections(), WEBS * SERVERS)
        self.assertEqual(self.connections_to(backends), 0)
        ask("/proxy")
        self.assertEqual(self.connections_to(backends), WEBS * AT_ONCE)
        self.assertEqual(self.control_connections(), WEBS * SERVERS)
        release.set()
        for client in self.clients:
            self.assertEqual(client.read_response()[0], 200)


if __name__ == "__main__":
    unittest.main()
