#!/usr/bin/env python3
"""Runs Verilator for a target of cmake/verilate.cmake and gives what it wrote fixed names.

    verilate.py VERILATOR DIRECTORY NAME -- ARGUMENTS...

Verilator decides the names and the number of its C++ files when it runs; a build wants to know them before. So
DIRECTORY/NAME_fast.cpp and DIRECTORY/NAME_slow.cpp include them all (slow: what runs once), and DIRECTORY/NAME.d says what
they depend on.
"""
import re
import shutil
import subprocess
import sys
from pathlib import Path


def main() -> int:
    verilator, directory, name = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    arguments = sys.argv[sys.argv.index("--") + 1:]
    made = directory / "made"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    ran = subprocess.run([verilator, "--cc", "--prefix", f"V{name}", "--Mdir", str(made), *arguments], check=False)
    if ran.returncode != 0:
        return ran.returncode
    sources = sorted(path.name for path in made.glob("*.cpp"))
    for part, slow in (("fast", False), ("slow", True)):
        chosen = [s for s in sources if ("__Slow" in s or "__Syms" in s) == slow]
        text = "".join(f'#include "made/{s}"\n' for s in chosen)
        (directory / f"{name}_{part}.cpp").write_text(text, encoding="ascii")
    # The public header stands beside them, so that only DIRECTORY is an include directory.
    (directory / f"V{name}.h").write_text(f'#pragma once\n#include "made/V{name}.h"\n', encoding="ascii")
    rule = (made / f"V{name}__ver.d").read_text(encoding="utf-8").replace("\\\n", " ")
    depends = re.split(r"\s:\s", rule, maxsplit=1)[1].split()
    (directory / f"{name}.d").write_text(f"{directory / f'{name}_fast.cpp'}: {' '.join(depends)}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
