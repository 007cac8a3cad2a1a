#!/usr/bin/env python3
"""Installs the project into a prefix of its own, builds programs against what is there and runs them against the installed slotwired.

    install_test.py BUILD_DIRECTORY    (the environment: CMAKE, CC, CXX)
"""
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "node"))
BUILD = ""
CMAKE = os.environ.get("CMAKE", "cmake")


def run(arguments, expect=0, **options):
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=300, **options)
    if expect is not None and result.returncode != expect:
        raise AssertionError(f"{' '.join(arguments)}: exit status {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result


class Install(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="slotwire-install-")
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.prefix = os.path.join(self.directory, "prefix")
        run([CMAKE, "--install", BUILD, "--prefix", self.prefix])
        self.lib = os.path.dirname(glob.glob(self.prefix + "/lib/**/libslotwire.so", recursive=True)[0])

    def node(self):
        """An installed slotwired; ends with the test."""
        os.environ["SLOTWIRE_BIN"] = os.path.join(self.prefix, "bin")
        import nodes
        nodes.SLOTWIRED = os.path.join(self.prefix, "bin", "slotwired")
        node = nodes.Node(self.directory, "installed", "")
        node.start()
        self.addCleanup(lambda: self.assertEqual(node.stop(), 0))
        return node

    def check_programs(self, programs, node, **env):
        for program, said in programs.items():
            result = run([program], env=dict(os.environ, SLOTWIRE_SOCKET=node.socket, **env))
            self.assertEqual(result.stdout, said)

    def test_files(self):
        lib = os.path.relpath(self.lib, self.prefix)
        expected = ["bin/slotwired", "bin/slotwire", "libexec/slotwire/slotwire-gate", "libexec/slotwire/slotwire-keeper", "include/slotwire.h", "include/slotwire.hpp", "include/slotwire_types.hpp",
                    "include/slotwire_server.hpp", "include/slotwire_figures.hpp", "include/slotwire_breaker.hpp", "include/slotwire_blocks.h", "include/slotwire_blocks.hpp",
                    "include/slotwire_web.hpp", "include/slotwire_web_fields.hpp", f"{lib}/libslotwire_web.a", f"{lib}/libslotwire.so", f"{lib}/libslotwire.so.0", f"{lib}/libslotwire.a",
                    f"{lib}/pkgconfig/slotwire.pc", f"{lib}/cmake/slotwire/slotwire-config.cmake", "share/man/man8/slotwired.8", "share/man/man8/slotwire-page.8",
                    "share/man/man3/libslotwire.3", "lib/systemd/system/slotwired.service", "lib/sysusers.d/slotwire.conf", "lib/udev/rules.d/60-slotwire.rules", "share/doc/slotwire/api.md",
                    "share/doc/slotwire/examples/single-node.toml", "share/slotwire/dissector/slotwire.lua"]
        missing = [file for file in expected if not os.path.exists(os.path.join(self.prefix, file))]
        self.assertEqual(missing, [])
        unit = open(self.prefix + "/lib/systemd/system/slotwired.service").read()
        self.assertIn(f"ExecStart={self.prefix}/bin/slotwired", unit)
        version = run([self.prefix + "/bin/slotwired", "--version"]).stdout
        self.assertRegex(version, r"slotwired \d+\.\d+\.\d+")
        example = self.prefix + "/share/doc/slotwire/examples/single-node.toml"
        self.assertIn("good", run([self.prefix + "/bin/slotwired", "--check", "--config", example]).stdout)

    def test_symbols(self):
        names = run(["nm", "-D", "--defined-only", "--format=posix", self.lib + "/libslotwire.so"]).stdout.splitlines()
        exported = {line.split()[0].split("@")[0] for line in names if line.split()[1] != "A"}
        self.assertEqual([name for name in exported if not name.startswith("sw_")], [])
        # And every function that the headers declare is there.
        header = "".join(open(self.prefix + "/include/" + name).read().replace("\n", " ") for name in ("slotwire.h", "slotwire_blocks.h"))
        import re
        declared = set(re.findall(r"SW_API [^;]*?\b(sw_\w+)\(", header))
        self.assertGreater(len(declared), 40)
        self.assertEqual(declared - exported, set())
        self.assertEqual(exported - declared, set())
        dynamic = run(["readelf", "-d", self.lib + "/libslotwire.so"]).stdout
        self.assertIn("[libslotwire.so.0]", dynamic)

    def test_find_package(self):
        build = os.path.join(self.directory, "consumer")
        run([CMAKE, "-S", HERE + "/consumer", "-B", build, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={self.prefix}"])
        run([CMAKE, "--build", build])
        node = self.node()
        for library in ("slotwire", "slotwire_static"):
            self.check_programs({f"{build}/c_with_{library}": "c: answer\n",
                                 f"{build}/cpp_with_{library}": "c++: answer to question\n"}, node)

    def test_find_package_of_another_version(self):
        source = os.path.join(self.directory, "wrong")
        os.mkdir(source)
        with open(source + "/CMakeLists.txt", "w") as file:
            file.write("cmake_minimum_required(VERSION 3.25)\nproject(wrong LANGUAGES CXX)\nfind_package(slotwire 99 REQUIRED)\n")
        result = run([CMAKE, "-S", source, "-B", source + "/build", "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={self.prefix}"], expect=None)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("99", result.stderr)

    def test_pkg_config(self):
        if shutil.which("pkg-config") is None:
            self.skipTest("pkg-config is not installed (package pkg-config)")
        env = dict(os.environ, PKG_CONFIG_PATH=self.lib + "/pkgconfig")
        flags = run(["pkg-config", "--cflags", "--libs", "slotwire"], env=env).stdout.split()
        programs = {"c": ["cc", "-std=c11", HERE + "/consumer/consumer.c"], "c++": ["c++", "-std=c++20", HERE + "/consumer/consumer.cpp"]}
        for name, command in programs.items():
            compiler = os.environ.get("CC" if name == "c" else "CXX", command[0])
            run([compiler, "-Wall", "-Wextra", "-Wconversion", "-Werror", *command[1:], *flags, "-pthread", "-o",
                 os.path.join(self.directory, "by-pkg-config-" + name)])
        self.check_programs({self.directory + "/by-pkg-config-c": "c: answer\n",
                             self.directory + "/by-pkg-config-c++": "c++: answer to question\n"}, self.node(), LD_LIBRARY_PATH=self.lib)


if __name__ == "__main__":
    BUILD = os.path.abspath(sys.argv.pop(1))
    unittest.main()
