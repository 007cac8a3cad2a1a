"""The programs in examples/, as a newcomer runs them: server on one node, client on the other."""
import os
import re
import subprocess
import unittest

from nodes import BIN, NodeTest, TIMEOUT


def example(name):
    return os.path.join(BIN, "example_" + name)


class Examples(NodeTest):
    def client(self, *arguments, **options):
        env = dict(os.environ, SLOTWIRE_SOCKET=self.left.socket)
        return subprocess.run(arguments, env=env, capture_output=True, text=True, timeout=TIMEOUT, **options)

    def test_echo_server_answers_both_clients(self):
        server = self.start([example("echo_server")], self.right)
        server.wait_for("serving 'echo' on node 'right'")
        answer = self.client(example("echo_client"), input="one\ntwo words\n")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertRegex(answer.stdout, re.compile(r"^one \([\d.]+ us\)\ntwo words \([\d.]+ us\)\n$"))
        lines = "".join(f"line {i}\n" for i in range(500))
        answer = self.client(example("many_calls"), input=lines)
        self.assertEqual((answer.returncode, answer.stdout), (0, lines), answer.stderr)
        answer = self.client(example("hello"), "echo", "from C")
        self.assertEqual((answer.returncode, answer.stdout), (0, "from C\n"), answer.stderr)
        self.assertEqual(server.stop(), 0)

    def test_event_loop_answers_and_ends_with_its_input(self):
        read_end, write_end = os.pipe()
        loop = subprocess.Popen([example("event_loop")], stdin=read_end, stdout=subprocess.PIPE, text=True,
                                env=dict(os.environ, SLOTWIRE_SOCKET=self.right.socket))
        self.addCleanup(loop.kill)
        os.close(read_end)
        self.assertEqual(loop.stdout.readline(), "serving 'echo'\n")
        for _ in range(3):
            answer = self.client(example("echo_client"), input="line\n" * 100)
            self.assertEqual(answer.returncode, 0, answer.stderr)
            self.assertEqual(answer.stdout.count("line ("), 100)
        os.close(write_end)
        self.assertEqual(loop.wait(TIMEOUT), 0)
        loop.stdout.close()

    def test_clients_say_what_is_wrong(self):
        answer = self.client(example("hello"), "nobody")
        self.assertEqual(answer.returncode, 1)
        self.assertIn("no such service", answer.stderr)
        self.left.stop()
        answer = self.client(example("echo_client"), input="x\n")
        self.assertEqual(answer.returncode, 1)
        self.assertIn("slotwired cannot be reached", answer.stderr)


if __name__ == "__main__":
    unittest.main()
