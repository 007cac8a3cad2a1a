#!/usr/bin/env python3
"""Checks the walls of the house: who may include whom, and what may stand in the tree.

    check_house.py ROOT    exits 1 and names every file that breaks a rule
"""
import re
import subprocess
import sys
from pathlib import Path

# A part may include itself and the parts named here (docs/architecture.md, "Parts and the direction of their dependencies").
ALLOWED = {
    "slot": {"regs"},
    "pipeline": {"slot", "regs"},
    "control": {"slot", "regs"},
    "carriers": {"pipeline", "slot", "regs"},
    "driver": {"carriers", "pipeline", "slot", "regs"},
    "engine": {"driver", "carriers", "pipeline", "control", "slot", "regs"},
    "client": {"control", "slot", "regs"},
    "tools": {"engine", "client", "driver", "carriers", "pipeline", "control", "slot", "regs"},
    "sim": {"driver", "pipeline", "slot", "regs"},  # of driver only what a card and its driver say to each other
    "regs": set(),
}
# These two depend on the standard library alone; the named files also on the system calls that memory and sleeping need.
STANDARD_ONLY = {"slot", "pipeline"}
SYSTEM_FILES = {"slot/memory.cpp", "slot/waiter.cpp"}
INTRINSICS = {"immintrin.h", "nmmintrin.h", "smmintrin.h", "wmmintrin.h"}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.M)
MAX_LINES = 900


def part_of(path: Path, root: Path) -> str | None:
    relative = path.relative_to(root).parts
    if relative[:2] == ("sw", "runtime") and len(relative) > 3:
        return relative[2]
    if relative[0] == "sw" and relative[1] in ("driver", "tools"):
        return relative[1]
    return "sim" if relative[0] == "sim" else None


def check(root: Path) -> list[str]:
    problems = []
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True)
    if listed.returncode == 0:
        files = [root / name for name in listed.stdout.splitlines()]
    else:
        files = [path for path in root.rglob("*") if path.is_file() and not any(p.startswith("build") for p in path.parts)]
    sources = [path for path in files if path.suffix in (".cpp", ".hpp", ".h", ".c") and path.exists()]
    for path in sources:
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(root)
        if path.suffix in (".hpp", ".h") and "#pragma once" not in text and "#ifndef" not in text:
            problems.append(f"{name}: a header without an include guard")
        if re.search(r"^\s*using namespace (?!std::.*literals)", text, re.M) and path.suffix in (".hpp", ".h"):
            problems.append(f"{name}: 'using namespace' in a header")
        if text.count("\n") > MAX_LINES and "generated" not in text[:600].lower():
            problems.append(f"{name}: {text.count(chr(10))} lines; a file has one subject (at most {MAX_LINES} lines)")
        part = part_of(path, root)
        if part is None:
            continue
        if part not in ALLOWED:
            problems.append(f"{name}: '{part}' is a part that tests/house/check_house.py does not know")
            continue
        for kind, included in INCLUDE.findall(text):
            target = included.split("/")[0]
            if kind == '"' and target in ALLOWED and target != part and target not in ALLOWED[part]:
                problems.append(f"{name}: includes {included}; {part} must not depend on {target}")
            if part in STANDARD_ONLY and kind == "<":
                key = str(Path(*name.parts[2:]))
                system = "/" in included or included.endswith(".h")
                if system and included not in INTRINSICS and key not in SYSTEM_FILES:
                    problems.append(f"{name}: includes <{included}>; {part} depends on the standard library alone")
    return problems


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    problems = check(Path(sys.argv[1]).resolve())
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
