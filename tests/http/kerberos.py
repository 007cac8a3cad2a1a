"""A Kerberos realm for tests, with a real KDC (krb5kdc) on a port of loopback. Everything is in one directory. Standard library only.

    realm = Realm(directory)
    realm.add_user("someone", "secret")
    keytab = realm.add_service("HTTP/localhost")
    environment = realm.log_in("someone", "secret")
    ...
    realm.stop()
"""
import os
import select
import shutil
import subprocess
import time

from nodes import TIMEOUT, Process, free_port
from proxies import listens, program

NAME = "SLOTWIRE.TEST"


class Realm:
    def __init__(self, parent, address="127.0.0.1"):
        self.kdc = program("krb5kdc")
        self.kadmin, self.kdb5_util, self.kinit = program("kadmin.local"), program("kdb5_util"), program("kinit")
        self.directory = os.path.join(parent, "kerberos")
        os.makedirs(self.directory)
        os.chmod(self.directory, 0o755)
        self.port = free_port(address)
        self.config = self.write("krb5.conf", f"""[libdefaults]
default_realm = {NAME}
dns_lookup_realm = false
dns_lookup_kdc = false
dns_canonicalize_hostname = false
rdns = false
[realms]
{NAME} = {{
  kdc = {address}:{self.port}
}}
[domain_realm]
localhost = {NAME}
""")
        profile = self.write("kdc.conf", f"""[kdcdefaults]
kdc_listen = {address}:{self.port}
kdc_tcp_listen = {address}:{self.port}
[realms]
{NAME} = {{
  database_name = {self.directory}/principal
  key_stash_file = {self.directory}/stash
  acl_file = {self.directory}/acl
}}
""")
        self.environment = {"KRB5_CONFIG": self.config, "KRB5_KDC_PROFILE": profile, "KRB5RCACHENAME": "none:"}
        self.run([self.kdb5_util, "create", "-s", "-r", NAME, "-P", "master"])
        self.process = Process([self.kdc, "-n", "-r", NAME], env=self.environment)
        end = time.monotonic() + TIMEOUT
        while not listens(self.process.pid, self.port):
            if self.process.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"the KDC does not listen on {self.port}:\n{self.process.output()}")
            select.select([], [], [], 0.01)  # nothing tells that a program listens

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def run(self, command, given="", more=None):
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=TIMEOUT,
                              env=dict(os.environ, **self.environment, **(more or {})))
        if done.returncode != 0:
            raise AssertionError(f"{command}: {done.stdout}{done.stderr}")

    def add_user(self, user, password):
        self.run([self.kadmin, "-r", NAME, "-q", f"addprinc -pw {password} {user}"])

    def add_service(self, principal, owner=None):
        """The file with its key, which `owner` may read."""
        keytab = os.path.join(self.directory, principal.replace("/", "-") + ".keytab")
        self.run([self.kadmin, "-r", NAME, "-q", f"addprinc -randkey {principal}"])
        self.run([self.kadmin, "-r", NAME, "-q", f"ktadd -k {keytab} {principal}"])
        if owner is not None and os.geteuid() == 0:
            shutil.chown(keytab, owner)
        return keytab

    def log_in(self, user, password):
        """The environment in which programs have the ticket of `user`."""
        ticket = {"KRB5CCNAME": f"FILE:{self.directory}/ticket-{user}"}
        self.run([self.kinit, user], given=password + "\n", more=ticket)
        return {"KRB5_CONFIG": self.config, **ticket}

    def stop(self):
        self.process.stop()
