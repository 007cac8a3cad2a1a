"""slotwire_pass: requests and responses, of any size and in any framing."""
import unittest

from web import WebTest, answer, each_request


class Pages(WebTest):
    def test_a_page_goes_through(self):
        backend = self.backend(each_request(lambda stream, request: answer(stream, fields="Content-Type: text/plain\r\n", body="hello " + request.target)))
        nginx = self.nginx("slotwire_pass web;")
        status, fields, body = self.get(nginx, "/a?b=c")
        self.assertEqual((status, body, fields["content-type"]), (200, b"hello /a?b=c", "text/plain"))
        self.assertEqual(backend.requests[0].line, "GET /a?b=c HTTP/1.1")
        self.assertEqual(backend.requests[0]["Host"], "example.test")


if __name__ == "__main__":
    unittest.main(verbosity=2)
