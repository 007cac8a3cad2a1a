#!/usr/bin/env python3
"""The programs and libraries that are installed resist exploitation as distributions demand: looks at them with readelf.

    hardening_test.py BUILD_DIRECTORY
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import unittest

BUILD = ""
PROGRAMS = ["slotwired", "slotwire", "slotwire-opennic-host", "slotwire-xrt-host", "slotwire-gate", "slotwire-keeper", "slotwire-page"]


def readelf(path, *what):
    return subprocess.run(["readelf", "-W", *what, path], capture_output=True, text=True, check=True, timeout=60).stdout


def faults(path, program):
    """What is missing in an ELF file; empty: nothing. Not -fcf-protection: Debian 12's start-up files are without it, and so is what is linked."""
    header, segments, dynamic, symbols = (readelf(path, option) for option in ("-h", "-l", "-d", "-s"))
    missing = []
    if program and not re.search(r"Type:\s+DYN", header):
        missing.append("it is not position-independent")
    if "GNU_RELRO" not in segments or not re.search(r"BIND_NOW|FLAGS_1.*NOW", dynamic):
        missing.append("relocations stay writable (-z relro -z now)")
    stack = re.search(r"GNU_STACK.*", segments)
    if stack is None or "E" in stack.group(0).split()[-2]:
        missing.append("the stack may be executed")
    if "__stack_chk_fail" not in symbols:
        missing.append("no canaries on the stack")
    # The others call no such function on a buffer whose size is known where the length is not.
    if os.path.basename(path) in ("slotwired", "slotwire") and not re.search(r"__(mem|str|vs?n?printf|read|fd)\w*_chk", symbols):
        missing.append("no checked string functions (_FORTIFY_SOURCE)")
    return missing


class Hardening(unittest.TestCase):
    def setUp(self):
        if shutil.which("readelf") is None:
            self.skipTest("readelf is missing: scripts/install-deps installs binutils")

    def test_programs_and_libraries(self):
        programs = [path for path in (os.path.join(BUILD, "bin", name) for name in PROGRAMS) if os.path.exists(path)]
        libraries = [path for path in glob.glob(os.path.join(BUILD, "lib", "libslotwire*.so.*")) if not os.path.islink(path)]
        libraries += glob.glob(os.path.join(BUILD, "**", "ngx_http_slotwire_module.so"), recursive=True)
        self.assertIn(os.path.join(BUILD, "bin", "slotwired"), programs)
        self.assertNotEqual(libraries, [])
        for path in programs + libraries:
            with self.subTest(path=os.path.basename(path)):
                self.assertEqual(faults(path, path in programs), [])


if __name__ == "__main__":
    BUILD = sys.argv.pop(1)
    unittest.main()
