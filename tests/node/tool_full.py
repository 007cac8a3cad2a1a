"""Output that cannot be written: every subcommand of slotwire says so, and fails."""
import os
import re
import subprocess
import unittest

from nodes import SLOTWIRE, TIMEOUT, NodeTest, run


class Full(NodeTest):
    def into_full(self, *arguments, node=None):
        """What it says on standard error when its standard output is a disk that is full."""
        env = dict(os.environ, SLOTWIRE_SOCKET=(node or self.left).socket)
        with open("/dev/full", "wb", buffering=0) as full:
            result = subprocess.run([SLOTWIRE, *arguments], env=env, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True,
                                    timeout=TIMEOUT)
        self.assertEqual(result.returncode, 1, (arguments, result.stderr))
        self.assertRegex(result.stderr, "No space left on device", arguments)
        self.assertEqual(len(re.findall("No space left", result.stderr)), 1, result.stderr)
        return result.stderr

    def test_every_other_program_does_too(self):
        directory = os.path.dirname(SLOTWIRE)
        slotwired = [["--help"], ["--version"], ["--print-config-reference"], ["--check", "-c", self.left.config]]
        hosts = [["--help"], ["--version"]]
        for program, asked in (("slotwired", slotwired), ("slotwire-page", hosts), ("slotwire-opennic-host", hosts)):
            for arguments in asked:
                with self.subTest(program=program, arguments=arguments), open("/dev/full", "wb", buffering=0) as full:
                    result = subprocess.run([os.path.join(directory, program), *arguments], stdin=subprocess.DEVNULL, stdout=full,
                                            stderr=subprocess.PIPE, text=True, timeout=TIMEOUT)
                    self.assertEqual(result.returncode, 1, result.stderr)
                    self.assertEqual(result.stderr, f"{program}: the output cannot be written: No space left on device\n")
            result = subprocess.run([os.path.join(directory, program), "--colour"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.PIPE, text=True, timeout=TIMEOUT)
            self.assertEqual(result.returncode, 2, result.stderr)

    def test_wrong_usage_names_the_word_that_was_meant(self):
        for arguments, said in ((["statsu"], "'statsu' is not known; did you mean 'status'?"), (["zzzzzzzz"], "'zzzzzzzz' is not known"),
                                (["web", "srve"], "'srve' is not known; did you mean 'serve'?"),
                                (["bench", "echo", "--sise=3"], "'--sise' is not known; did you mean '--size'?"),
                                (["--socket", "/x", "status"], "'--socket' is an option of 'status' and stands behind it: slotwire status --socket ..."),
                                (["--socket=/x", "--json", "top"], "'--socket' is an option of 'top' and stands behind it: slotwire top --socket ..."),
                                (["drain", "abc"], "PID: Value abc not in range 1 to 4194304")):
            with self.subTest(arguments=arguments):
                result = subprocess.run([SLOTWIRE, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        text=True, timeout=TIMEOUT)
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertIn(said, result.stderr.splitlines())
        for program, word, meant in (("slotwired", "--chekc", "--check"), ("slotwire-opennic-host", "--ofset", "--offset")):
            with self.subTest(program=program):
                result = subprocess.run([os.path.join(os.path.dirname(SLOTWIRE), program), word], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT)
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertIn(f"'{word}' is not known; did you mean '{meant}'?", result.stderr.splitlines())

    def serving_into_full(self, *arguments):
        env = {"SLOTWIRE_SOCKET": self.left.socket}
        with open("/dev/full", "wb", buffering=0) as full:
            process = subprocess.Popen([SLOTWIRE, *arguments], env=dict(os.environ, **env), stdin=subprocess.DEVNULL, stdout=full,
                                       stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        return process

    def ends_with_one(self, process):
        process.terminate()
        rest = process.communicate(timeout=TIMEOUT)[1]
        self.assertEqual(process.returncode, 1, rest)

    def test_every_subcommand_fails_and_says_why(self):
        self.serve(["echo", "--echo"], self.right)
        local = self.serve(["local", "--echo"], self.left)
        run(["call", "echo", "x"], self.left)
        ended = {
            "status": [["status"], ["status", "--json"], ["status", "--slots", "--sessions"]],
            "slots": [["slots"], ["slots", "--json"]],
            "top": [["top", "--once", "-i", "10ms"], ["top", "-i", "10ms"], ["top", "-i", "10ms", "--json"]],
            "ping": [["ping", "echo", "-c", "2", "-i", "0"], ["ping", "echo", "-i", "1ms"], ["ping", "echo", "-c", "1", "--json"]],
            "call": [["call", "echo", "x"], ["call", "echo", "x", "--json"]],
            "bench": [["bench", "echo", "-n", "2"], ["bench", "echo", "-d", "60s", "-i", "10ms"], ["bench", "echo", "-n", "2", "--json"]],
            "blocks": [["blocks"], ["blocks", "--json"]],
            "cache": [["cache"], ["cache", "--json"]],
            "drain": [["drain", str(local.pid)], ["drain", str(local.pid), "--undo", "--json"]],
            "cut": [["cut", "right"], ["cut", "right", "--json"]],
            "capture": [["capture", "-w", os.path.join(self.directory, "trace"), "-d", "1ms"], ["capture", "-w", "-", "-d", "1ms"]],
            "--help": [["--help"], ["status", "--help"], ["--version"]],
        }
        # These serve: they go on, and fail at their end. What they say to people goes to standard error.
        serving = {"serve", "tunnel", "web", "stream"}
        listed = re.findall(r"^  ([a-z]+) +[A-Z]", run(["--help"]).stdout.split("Subcommands:")[1], re.MULTILINE)
        self.assertEqual(sorted(listed), sorted((set(ended) | serving) - {"--help"}), "a subcommand is not tested here")
        for commands in ended.values():
            for command in commands:
                with self.subTest(command=command):
                    self.into_full(*command)

    def test_a_server_goes_on_says_so_once_and_fails_at_its_end(self):
        server = self.serving_into_full("serve", "full", "--echo", "--json")
        for _ in range(3):
            while run(["call", "full", "x"], self.left, expect=None).returncode != 0:
                self.assertIsNone(server.poll())
        self.assertIn("No space left on device; what it serves goes on", self.line_of(server))
        self.ends_with_one(server)

    def line_of(self, process):
        for line in process.stderr:
            if "No space left" in line:
                return line
        return ""

    def test_a_tunnel_goes_on_and_fails_at_its_end(self):
        tunnel = self.serving_into_full("tunnel", "listen", "127.0.0.1:0", "echo", "--json")
        self.assertIn("goes on", self.line_of(tunnel))
        self.ends_with_one(tunnel)

    def test_a_bridge_goes_on_and_fails_at_its_end(self):
        bridge = self.serving_into_full("web", "serve", "web", "--http", "127.0.0.1:1", "--json")
        self.assertIn("goes on", self.line_of(bridge))
        self.ends_with_one(bridge)

    def test_a_stream_breaks_off(self):
        server = self.start(["stream", "serve", "--http", "127.0.0.1:0", "/s", f"{self.addresses['right']}:7400"])
        match, _ = server.wait_for(r"127\.0\.0\.1:(\d+)")
        with open("/dev/full", "wb", buffering=0) as full:
            result = subprocess.run([SLOTWIRE, "stream", "connect", f"http://127.0.0.1:{match.group(1)}/s"], input=b"\0\0\0\2{}", stdout=full,
                                    stderr=subprocess.PIPE, timeout=TIMEOUT)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn(b"No space left on device", result.stderr)


if __name__ == "__main__":
    unittest.main()
