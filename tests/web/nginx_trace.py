"""W3C Trace Context from the client through nginx to the application, and in logs and figures."""
import json
import re
import socket
import unittest

from web import WebTest, answer, each_request
from web_nodes import eventually

VALID = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
LOG = r"log_format trace '$slotwire_trace_id $slotwire_traceparent'; access_log %DIR%/trace.log trace;"


class Trace(WebTest):
    def start_all(self, trace=""):
        self.application = self.backend(each_request(lambda stream, request: answer(stream)))
        self.proxy = self.nginx(f"slotwire_pass web; {trace}", http=LOG)

    def ask(self, *fields):
        """What the application gets, and what nginx logs."""
        self.assertEqual(self.get(self.proxy, fields="".join(field + "\r\n" for field in fields))[0], 200)
        request = self.application.requests[-1]
        count = len(self.application.requests)

        def lines():
            with open(self.proxy.directory + "/trace.log") as file:
                return file.read().splitlines()

        eventually(lambda: len(lines()) == count, "nginx has logged the request")
        return request, lines()[-1]

    def test_fields_pass_unchanged(self):
        self.start_all()
        request, line = self.ask(f"traceparent: {VALID}", "tracestate: a=1,b=2", "TraceState: c=3")
        self.assertEqual([value for key, value in request.fields if key.lower() == "traceparent"], [VALID])
        self.assertEqual([value for key, value in request.fields if key.lower() == "tracestate"], ["a=1,b=2", "c=3"])
        self.assertEqual(line, f"{VALID[3:35]} {VALID}")
        request, line = self.ask()
        self.assertNotIn("traceparent", request)
        self.assertEqual(line, "- -")
        request, line = self.ask("traceparent: nonsense", "tracestate: a=1")
        self.assertEqual((request["traceparent"], request["tracestate"]), ("nonsense", "a=1"))
        self.assertEqual(line, "- -")

    def test_a_request_without_a_trace_begins_one(self):
        self.start_all("slotwire_trace on;")
        seen = set()
        for _ in range(3):
            request, line = self.ask()
            made = request["traceparent"]
            self.assertRegex(made, r"^00-[0-9a-f]{32}-[0-9a-f]{16}-00$")
            self.assertEqual(line, f"{made[3:35]} {made}")
            seen.add(made)
        self.assertEqual(len(seen), 3)
        request, line = self.ask(f"traceparent: {VALID}", "tracestate: a=1")
        self.assertEqual((request["traceparent"], request["tracestate"]), (VALID, "a=1"))
        later = VALID.replace("00-", "cc-", 1) + "-more"
        self.assertEqual(self.ask(f"traceparent: {later}")[0]["traceparent"], later)

    def test_an_invalid_trace_is_replaced_with_its_state(self):
        self.start_all("slotwire_trace on;")
        zero_id, zero_parent = "00-" + "0" * 32 + VALID[35:], VALID[:36] + "0" * 16 + "-01"
        for wrong in ("nonsense", zero_id, zero_parent, VALID.upper(), "ff" + VALID[2:], VALID + "-x", VALID[:-1], VALID + "\r\ntraceparent: " + VALID):
            with self.subTest(wrong):
                request, _ = self.ask(f"traceparent: {wrong}", "tracestate: a=1")
                self.assertRegex(request["traceparent"], r"^00-[0-9a-f]{32}-[0-9a-f]{16}-00$")
                self.assertNotIn("tracestate", request)

    def test_a_field_that_the_location_sets_is_the_one(self):
        self.start_all(f"slotwire_trace on; slotwire_set_header traceparent {VALID};")
        request, _ = self.ask()
        self.assertEqual([value for key, value in request.fields if key.lower() == "traceparent"], [VALID])

    def test_figures_of_nginx_have_the_trace_as_exemplar(self):
        self.start_all("slotwire_trace on;")
        self.ask(f"traceparent: {VALID}")

        def exemplar():
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as tool:
                tool.connect(self.left.socket)
                tool.send(b'{"op": "figures", "id": 1}')
                rows = json.loads(tool.recv(1 << 20))["figures"]
            return any(one.get("exemplar_trace") == VALID[3:35] for row in rows for one in row["figures"])

        eventually(exemplar, "nginx has reported the request with its trace")


if __name__ == "__main__":
    unittest.main()
