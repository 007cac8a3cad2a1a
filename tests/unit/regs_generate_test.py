"""The generator notices what is out of date and refuses descriptions that contradict themselves.

Works on copies in a temporary directory; the argument is the source tree.
"""

import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE_TREE = Path(sys.argv.pop(1))
DESCRIPTION = "hw/regs/slotwire.toml"
GENERATED = ("sw/core/regs/regs.hpp", "hw/rtl/gen/slotwire_pkg.sv", "sw/tools/dissector/slotwire_fields.lua", "docs/registers.md")


class Generator(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        for path in (DESCRIPTION, *GENERATED):
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCE_TREE / path, self.root / path)

    def generate(self, *arguments):
        command = [sys.executable, str(SOURCE_TREE / "hw/regs/generate.py"), *arguments, "--root", str(self.root)]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    def change(self, path, before, after):
        file = self.root / path
        text = file.read_text(encoding="utf-8")
        self.assertIn(before, text)
        file.write_text(text.replace(before, after, 1), encoding="utf-8")

    def refused(self, before, after, *words):
        self.change(DESCRIPTION, before, after)
        result = self.generate("--check")
        self.assertEqual(result.returncode, 2, result.stdout + result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        for word in (DESCRIPTION, *words):
            self.assertIn(word, result.stderr)

    def test_an_untouched_copy_passes(self):
        result = self.generate("--check")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_a_tampered_file_is_named_and_shown(self):
        for path in GENERATED:
            with self.subTest(path=path):
                self.change(path, "22", "23")
                result = self.generate("--check")
                self.assertEqual(result.returncode, 1)
                self.assertIn(f"out of date: {path};", result.stderr)
                self.assertRegex(result.stdout, r"(?m)^-.*23")
                self.assertRegex(result.stdout, r"(?m)^\+.*22")
                shutil.copy(SOURCE_TREE / path, self.root / path)

    def test_a_missing_file_is_stale(self):
        (self.root / GENERATED[0]).unlink()
        result = self.generate("--check")
        self.assertEqual(result.returncode, 1)
        self.assertIn(GENERATED[0], result.stderr)

    def test_check_writes_nothing_and_a_plain_run_repairs(self):
        self.change(GENERATED[1], "22", "23")
        tampered = (self.root / GENERATED[1]).read_bytes()
        self.generate("--check")
        self.assertEqual((self.root / GENERATED[1]).read_bytes(), tampered)
        self.assertEqual(self.generate().stdout, f"wrote {GENERATED[1]}\n")
        self.assertEqual((self.root / GENERATED[1]).read_bytes(), (SOURCE_TREE / GENERATED[1]).read_bytes())

    def test_a_changed_description_makes_every_file_stale(self):
        self.change(DESCRIPTION, 'name = "udp_port"\nvalue = 7401', 'name = "udp_port"\nvalue = 7411')
        result = self.generate("--check")
        self.assertEqual(result.returncode, 1)
        for path in GENERATED:
            self.assertIn(path, result.stderr)

    def test_layouts_must_add_up(self):
        self.refused('{ name = "credit", bytes = 2', '{ name = "credit", bytes = 4', "layout link_header", "24 bytes")

    def test_struct_fields_must_be_aligned(self):
        self.refused('{ name = "epoch", bytes = 2, text', '{ name = "epoch", bytes = 1, text', "layout slot_row", "not aligned")

    def test_registers_must_not_overlap(self):
        self.refused('{ name = "slots", offset = 0x08', '{ name = "slots", offset = 0x04', "page cap", "overlaps")

    def test_mark_pages_must_cross(self):
        self.refused('file = "A"\nat = "tail"', 'file = "B"\nat = "tail"', "marks", "cross")

    def test_names_must_be_unique(self):
        self.refused('{ name = "rx_acks"', '{ name = "tx_acks"', "tx_acks", "twice")

    def test_enum_numbers_must_have_no_hole(self):
        self.refused('{ name = "message", value = 1', '{ name = "message", value = 300', "enum record_kind", "does not fit")

    def test_misspelt_keys_are_refused(self):
        self.refused("remedy = ", "remedie = ", "in_tail", "remedie")

    def test_missing_keys_are_refused(self):
        self.refused('endian = "big"\n', "", "endian")

    def test_broken_toml_is_refused(self):
        self.refused("[[constant]]", "[[constant", "TOML")

    def test_a_root_without_description_is_refused(self):
        (self.root / DESCRIPTION).unlink()
        result = self.generate("--check")
        self.assertEqual(result.returncode, 2)
        self.assertIn("--root", result.stderr)


if __name__ == "__main__":
    unittest.main()
