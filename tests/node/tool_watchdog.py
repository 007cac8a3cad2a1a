#!/usr/bin/env python3
"""The service manager's watchdog is fed by the loop of slotwired that does the work."""
import os
import signal
import socket
import subprocess
import tempfile
import unittest

from nodes import SLOTWIRED, TIMEOUT, Node


class Watchdog(unittest.TestCase):
    def test_the_watchdog_is_fed_until_the_loop_stands_still(self):
        with tempfile.TemporaryDirectory(prefix="slotwire-test-") as directory:
            node = Node(directory, "fed", "")
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                path = os.path.join(directory, "notify")
                notify.bind(path)
                notify.settimeout(TIMEOUT)
                environment = dict(os.environ, NOTIFY_SOCKET=path, WATCHDOG_USEC="1000000")
                with subprocess.Popen([SLOTWIRED, "-c", node.config], env=environment, stderr=subprocess.DEVNULL) as engine:
                    try:
                        for _ in range(3):
                            while notify.recv(4096) != b"WATCHDOG=1":
                                pass
                        engine.send_signal(signal.SIGSTOP)
                        os.waitid(os.P_PID, engine.pid, os.WSTOPPED | os.WNOWAIT)
                        notify.setblocking(False)
                        with self.assertRaises(BlockingIOError):
                            for _ in range(100):  # what was sent before
                                notify.recv(4096)
                        engine.send_signal(signal.SIGCONT)
                        notify.settimeout(TIMEOUT)
                        self.assertEqual(notify.recv(4096), b"WATCHDOG=1")
                    finally:
                        engine.send_signal(signal.SIGCONT)
                        engine.terminate()
                        engine.wait(TIMEOUT)


if __name__ == "__main__":
    unittest.main()
