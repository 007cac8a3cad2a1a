"""Real HTTP proxies for tests, each in a directory of its own, on loopback or in a network namespace. Standard library only.

Forward proxies (squid, tinyproxy, mitmproxy, apache) are what a client is told to use; reverse proxies (nginx, haproxy,
varnish, apache) stand before `origin`, "host:port" of an HTTP server. Every function returns a Proxy that listens already.
It has the options that long held requests and streamed bodies need, and differs from a default set-up in nothing else;
`defaults=True` leaves those out, too, as an operator who knows nothing would.

    proxy = proxies.squid(directory, login=proxies.Login("basic", "user", "password"))
    environment = {"http_proxy": proxy.url}
    ...
    proxy.restart()
    proxy.stop()

`prefix` is what the program is started by: ["ip", "netns", "exec", NAME] runs it in that namespace.
"""
import dataclasses
import hashlib
import os
import pwd
import select
import shutil
import signal
import time
import unittest

from nodes import TIMEOUT, Process, free_port

HOLD_SECONDS = 600
LISTEN_STATE = "0A"


@dataclasses.dataclass
class Login:
    """What a proxy asks for: scheme "basic" or "digest"."""
    scheme: str
    user: str
    password: str


def program(name):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        raise unittest.SkipTest(f"{name} is not installed: see scripts/install-deps")
    return path


def listens(pid, port):
    """Whether somebody listens on `port` in the network namespace of process `pid`."""
    wanted = f":{port:04X}"
    for table in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{pid}/net/{table}") as file:
                for line in file:
                    fields = line.split()
                    if len(fields) > 3 and fields[1].endswith(wanted) and fields[3] == LISTEN_STATE:
                        return True
        except OSError:
            pass
    return False


class Proxy:
    """A program that listens on address:port."""

    def __init__(self, name, arguments, address, port, directory, env=None, prefix=()):
        self.name, self.arguments, self.address, self.port, self.directory = name, arguments, address, port, directory
        self.env, self.prefix = env, list(prefix)
        self.process = None
        self.start()

    @property
    def url(self):
        return f"http://{self.address}:{self.port}"

    def start(self):
        # A session of its own: workers that it leaves behind are ended with it.
        self.process = Process([*self.prefix, *self.arguments], env=self.env, process_group=0)
        end = time.monotonic() + TIMEOUT
        while not listens(self.process.pid, self.port):
            if self.process.process.poll() is not None or time.monotonic() > end:
                output = self.process.output()
                self.kill()
                raise AssertionError(f"{self.name} does not listen on {self.address}:{self.port}:\n{output}\n{self.log()}")
            select.select([], [], [], 0.01)  # nothing tells that a program listens

    def _end(self, how):
        if self.process is None:
            return
        group = self.process.pid
        if self.process.process.poll() is None:
            self.process.process.send_signal(how)
            try:
                self.process.process.wait(10)
            except Exception:
                pass
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process = None

    def stop(self):
        self._end(signal.SIGTERM)

    def kill(self):
        """At once, with all connections, as a crash does it."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._end(signal.SIGKILL)

    def restart(self):
        if self.name == "varnish":
            self.stop()  # killed, it leaves its child and its shared memory to the next one, which then answers nobody now and then
        else:
            self.kill()
        # Names in use by the one that was killed.
        for name in ("pid", "p"):
            path = os.path.join(self.directory, name)
            if os.path.exists(path):
                os.unlink(path)
        self.start()

    def log(self):
        """The end of its error log, for messages."""
        for name in ("error.log", "c", "log"):
            path = os.path.join(self.directory, name)
            if os.path.exists(path):
                with open(path, errors="replace") as file:
                    return file.read()[-4000:]
        return ""


def _directory(parent, name, owner=None):
    directory = os.path.join(parent, name)
    os.makedirs(directory, exist_ok=True)
    os.chmod(directory, 0o755)
    if owner is not None and os.geteuid() == 0:
        user = pwd.getpwnam(owner)
        os.chown(directory, user.pw_uid, user.pw_gid)
    return directory


def _write(directory, name, text):
    path = os.path.join(directory, name)
    with open(path, "w") as file:
        file.write(text)
    return path


# ---- forward ----

def squid(parent, address="127.0.0.1", port=None, login=None, clients="all", first="", more="", name="squid", prefix=(), env=None):
    """`first` stands before the rules of access, and `more` behind them."""
    path = program("squid")
    port = port or free_port(address)
    directory = _directory(parent, name, owner="proxy")
    lines = [f"http_port {address}:{port}", "cache deny all", f"pid_filename {directory}/p", f"access_log stdio:{directory}/a",
             f"cache_log {directory}/c", f"coredump_dir {directory}", "shutdown_lifetime 0 seconds", "workers 1", first]
    if login is not None and login.scheme == "basic":
        digest = hashlib.md5(login.password.encode()).hexdigest()
        users = _write(directory, "users", f"{login.user}:{digest}\n")
        # basic_ncsa_auth takes an MD5 digest of the password as it is.
        lines += [f"auth_param basic program /usr/lib/squid/basic_ncsa_auth {users}"]
    elif login is not None:
        realm = "slotwire-test"
        digest = hashlib.md5(f"{login.user}:{realm}:{login.password}".encode()).hexdigest()
        users = _write(directory, "users", f"{login.user}:{realm}:{digest}\n")
        lines += [f"auth_param digest program /usr/lib/squid/digest_file_auth -c {users}", f"auth_param digest realm {realm}"]
    if login is not None:
        lines += ["acl known proxy_auth REQUIRED", "http_access allow known", "http_access deny all"]
    else:
        lines += ["http_access allow all" if clients == "all" else f"acl c src {clients}\nhttp_access allow c\nhttp_access deny all"]
    config = _write(directory, "squid.conf", "\n".join(lines) + "\n" + more + "\n")
    service = f"sw{os.getpid()}p{port}"
    return Proxy(name, [path, "-n", service, "-N", "-f", config], address, port, directory, env=env, prefix=prefix)


def tinyproxy(parent, address="127.0.0.1", port=None, more="", name="tinyproxy", prefix=()):
    path = program("tinyproxy")
    port = port or free_port(address)
    directory = _directory(parent, name)
    config = _write(directory, "conf", f"Port {port}\nListen {address}\nTimeout {HOLD_SECONDS}\nMaxClients 100\n"
                                       f'LogFile "{directory}/log"\nLogLevel Warning\n{more}\n')
    return Proxy(name, [path, "-d", "-c", config], address, port, directory, prefix=prefix)


def mitmproxy(parent, address="127.0.0.1", port=None, options=(), name="mitmproxy", prefix=()):
    """Its CA is in `directory`/mitmproxy-ca-cert.pem."""
    path = program("mitmdump")
    port = port or free_port(address)
    directory = _directory(parent, name)
    arguments = [path, "-q", "--listen-host", address, "-p", str(port), "--set", f"confdir={directory}", "--set", "stream_large_bodies=1"]
    for option in options:
        arguments += ["--set", option]
    return Proxy(name, arguments, address, port, directory, prefix=prefix)


def apache(parent, address="127.0.0.1", port=None, origin=None, path="/", more="", name="apache", prefix=()):
    """Forward without `origin`, else reverse."""
    executable = program("apache2")
    port = port or free_port(address)
    directory = _directory(parent, name)
    modules = "/usr/lib/apache2/modules"
    loads = "".join(f"LoadModule {module}_module {modules}/mod_{module}.so\n"
                    for module in ("mpm_event", "authz_core", "proxy", "proxy_http", "proxy_connect"))
    if origin is None:
        rules = "ProxyRequests On\n<Proxy *>\nRequire all granted\n</Proxy>\n"
    else:
        rules = f"ProxyPass {path} http://{origin}{path} upgrade=websocket timeout={HOLD_SECONDS}\n"
    config = _write(directory, "apache.conf", f"ServerRoot {directory}\nServerName test\nPidFile {directory}/pid\nErrorLog {directory}/error.log\n"
                    f"{loads}Listen {address}:{port}\nDefaultRuntimeDir {directory}\nUser www-data\nGroup www-data\n{rules}{more}\n")
    return Proxy(name, [executable, "-DFOREGROUND", "-f", config], address, port, directory, prefix=prefix)


# ---- reverse ----

def nginx(parent, origin, address="127.0.0.1", port=None, path="/", defaults=False, more="", name="nginx", prefix=(), tls=None):
    """`tls`: (certificate file, key file). `more` stands in the location."""
    executable = program("nginx")
    port = port or free_port(address)
    directory = _directory(parent, name)
    temporary = "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.geteuid() == 0 else ""
    streaming = "" if defaults else f"""
        proxy_http_version 1.1; proxy_request_buffering off; proxy_buffering off; client_max_body_size 0;
        proxy_read_timeout {HOLD_SECONDS}s; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $c;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"""
    secure = f"ssl_certificate {tls[0]}; ssl_certificate_key {tls[1]}; ssl_protocols TLSv1.3;" if tls else ""
    config = _write(directory, "nginx.conf", f"""daemon off; worker_processes 1; {user} pid {directory}/pid; error_log {directory}/error.log notice;
events {{ worker_connections 4096; }}
http {{ access_log off; {temporary}
  map $http_upgrade $c {{ default upgrade; '' ''; }}
  upstream origin {{ server {origin}; keepalive 32; }}
  server {{ listen {address}:{port}{' ssl' if tls else ''}; {secure}
    location / {{ return 404 "the site\\n"; }}
    location {path} {{ proxy_pass http://origin; {streaming} {more} }} }} }}
""")
    return Proxy(name, [executable, "-p", directory, "-e", f"{directory}/error.log", "-c", config], address, port, directory, prefix=prefix)


def haproxy(parent, origin, address="127.0.0.1", port=None, path="/", defaults=False, more="", name="haproxy", prefix=()):
    executable = program("haproxy")
    port = port or free_port(address)
    directory = _directory(parent, name)
    waits = "timeout connect 5s\n timeout client 50s\n timeout server 50s" if defaults else (
        f"option http-no-delay\n option abortonclose\n timeout connect {HOLD_SECONDS}s\n timeout client {HOLD_SECONDS}s\n"
        f" timeout server {HOLD_SECONDS}s\n timeout tunnel 1h")
    config = _write(directory, "haproxy.cfg", f"""defaults
 mode http
 {waits}
frontend site
 bind {address}:{port}
 option forwardfor
 use_backend slotwire if {{ path_beg {path} }}
backend slotwire
 {more}
 server origin {origin}
""")
    return Proxy(name, [executable, "-f", config], address, port, directory, prefix=prefix)


def varnish(parent, origin, address="127.0.0.1", port=None, defaults=False, name="varnish", prefix=()):
    executable = program("varnishd")
    port = port or free_port(address)
    directory = _directory(parent, name)
    host, _, origin_port = origin.rpartition(":")
    wait = "" if defaults else f" .first_byte_timeout = {HOLD_SECONDS}s;"
    config = _write(directory, "varnish.vcl", f"""vcl 4.1;
backend origin {{ .host = "{host}"; .port = "{origin_port}";{wait} }}
sub vcl_recv {{
  if (req.http.upgrade ~ "(?i)websocket") {{ return (pipe); }}
  return (pass);
}}
sub vcl_pipe {{
  if (req.http.upgrade) {{ set bereq.http.upgrade = req.http.upgrade; set bereq.http.connection = req.http.connection; }}
}}
""")
    work = os.path.join(directory, "work")
    return Proxy(name, [executable, "-F", "-n", work, "-a", f"{address}:{port}", "-f", config, "-s", "malloc,16m", "-T", "none"],
                 address, port, directory, prefix=prefix)
