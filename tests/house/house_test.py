#!/usr/bin/env python3
"""The house check finds what it is there for: each rule is broken once in a copy."""
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from check_house import check  # noqa: E402


class House(unittest.TestCase):
    def broken(self, name: str, text: str) -> list[str]:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / name
            path.parent.mkdir(parents=True)
            path.write_text(text)
            return check(Path(directory))

    def test_a_sound_file_passes(self):
        self.assertEqual(self.broken("sw/core/pipeline/x.hpp", '#pragma once\n#include <vector>\n#include "core/slot/ring.hpp"\n'), [])

    def test_an_arrow_against_the_direction_is_found(self):
        self.assertIn("must not depend on", self.broken("sw/core/slot/x.cpp", '#include "runtime/engine/config/config.hpp"\n')[0])

    def test_a_system_header_in_the_pipeline_is_found(self):
        self.assertIn("standard library alone", self.broken("sw/core/pipeline/x.cpp", "#include <sys/socket.h>\n")[0])

    def test_a_missing_guard_is_found(self):
        self.assertIn("include guard", self.broken("sw/driver/x.hpp", "int x();\n")[0])

    def test_a_long_file_is_found(self):
        self.assertIn("one subject", self.broken("sw/driver/x.cpp", "\n" * 901)[0])

    def test_prose_that_does_not_wrap_is_found(self):
        long = "word " * 30
        self.assertIn("prose of", self.broken("docs/x.md", long + "\n")[0])
        self.assertEqual(self.broken("docs/x.md", "| " + long + "|\n\n```\n" + long + "\n```\n"), [])

    def test_a_function_that_the_manual_page_does_not_name_is_found(self):
        self.assertIn("does not name sw_new()", self.broken("sw/runtime/client/include/x.h", "#pragma once\nSW_API int sw_new(void);\n")[0])

    def test_a_section_that_is_not_there_is_found(self):
        self.assertIn("no section 'The end'", self.broken("sw/driver/x.cpp", '// As said by "The end" in\n// docs/x.md.\n')[0])
        self.assertIn("no section 'The end'", self.broken("sw/driver/x.cpp", '// See docs/x.md, "The end".\n')[0])

    def test_an_unknown_part_is_found(self):
        self.assertIn("does not know", self.broken("sw/runtime/attic/x.cpp", "\n")[0])


if __name__ == "__main__":
    unittest.main()
