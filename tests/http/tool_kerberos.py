"""slotwire stream through a Squid that wants Negotiate, with a real KDC: everything on loopback, in a directory of the test."""
import os
import unittest

import proxies
from kerberos import NAME, Realm
from tool_stream import StreamTest, echo

USER, PASSWORD = "someone", "a-secret"


class Negotiate(StreamTest):
    def setUp(self):
        super().setUp()
        self.realm = Realm(self.directory)
        self.addCleanup(self.realm.stop)
        self.realm.add_user(USER, PASSWORD)
        keytab = self.realm.add_service("HTTP/localhost", owner="proxy")
        helper = f"/usr/lib/squid/negotiate_kerberos_auth -k {keytab} -s HTTP/localhost@{NAME} -t none"
        first = "\n".join([f"auth_param negotiate program {helper}", "auth_param negotiate children 2 startup=1 idle=1",
                           "acl ticket proxy_auth REQUIRED", "http_access deny !ticket"])
        self.squid = self.proxy(proxies.squid, first=first, env={"KRB5_CONFIG": self.realm.config, "KRB5RCACHENAME": "none:"})
        # The name stands in the ticket.
        self.url = f"http://localhost:{self.squid.port}"
        self.origin = f"http://{self.serve(self.target(echo))}/s"

    def users(self):
        """Who has passed, by Squid's log."""
        with open(os.path.join(self.squid.directory, "a")) as file:
            return {fields[7] for fields in (line.split() for line in file) if len(fields) > 7}

    def test_requests_pass_with_a_ticket(self):
        port = self.listen(self.origin, "--proxy", self.url, "--proxy-negotiate", "--no-websocket", env=self.realm.log_in(USER, PASSWORD))
        self.transfer(port, 5)
        self.client.wait_for("Negotiate authentication at the proxy")
        self.assertIn(f"{USER}@{NAME}", self.users())

    def test_a_websocket_passes_with_a_ticket(self):
        port = self.listen(self.origin, "--proxy", self.url, "--proxy-negotiate", env=self.realm.log_in(USER, PASSWORD))
        self.client.wait_for("the session goes over a WebSocket")
        self.transfer(port, 5)
        self.assertIn(f"{USER}@{NAME}", self.users())

    def test_without_a_ticket_the_login_is_refused_and_that_is_told(self):
        environment = {"KRB5_CONFIG": self.realm.config, "KRB5CCNAME": f"FILE:{self.directory}/no-ticket"}
        result = self.run_once(self.origin, "--proxy", self.url, "--proxy-negotiate", env=environment, expect=5)
        self.assertIn(b"wants a login (status 407)", result.stderr)
        result = self.run_once(self.origin, "--proxy", self.url, env=environment, expect=5)
        self.assertIn(b"give a user and a password for the proxy", result.stderr)
        self.assertNotIn(f"{USER}@{NAME}", self.users())

    def test_a_session_outlives_a_restart_of_the_proxy(self):
        port = self.listen(self.origin, "--proxy", self.url, "--proxy-negotiate", "--no-websocket", env=self.realm.log_in(USER, PASSWORD))
        self.transfer(port, 1)
        self.squid.restart()
        self.transfer(port, 1)
        self.assertEqual(self.server.count(": opened$"), 1)

    def test_a_dead_kdc_is_no_trouble_for_whoever_has_a_ticket_of_the_service(self):
        environment = self.realm.log_in(USER, PASSWORD)
        self.run_once(self.origin, "--proxy", self.url, "--proxy-negotiate", given=b"one", env=environment)
        self.realm.stop()
        self.assertEqual(self.run_once(self.origin, "--proxy", self.url, "--proxy-negotiate", given=b"two", env=environment).stdout, b"two")


if __name__ == "__main__":
    unittest.main()
