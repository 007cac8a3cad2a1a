#!/usr/bin/env python3
"""Writes everything that is made from hw/regs/slotwire.toml.

  python3 hw/regs/generate.py            writes the files that are out of date
  python3 hw/regs/generate.py --check    writes nothing; names the stale files, shows the difference, exits 1 if there are any

Needs Python 3.11 and nothing else.
"""

import argparse
import difflib
import sys
from pathlib import Path

import emit_cpp
import emit_doc
import emit_lua
import emit_sv
from description import Description, DescriptionError

SOURCE = "hw/regs/slotwire.toml"
COMMAND = "python3 hw/regs/generate.py"
BANNER = (f"Generated from {SOURCE} by {COMMAND}. Do not edit: change that file and run the command.",)
OUTPUTS = {
    "sw/core/regs/regs.hpp": emit_cpp.emit,
    "hw/rtl/gen/slotwire_pkg.sv": emit_sv.emit,
    "sw/tools/dissector/slotwire_fields.lua": emit_lua.emit,
    "docs/registers.md": emit_doc.emit,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if a file is out of date")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2], help="source tree to read and write (default: the one of this script)")
    arguments = parser.parse_args()
    try:
        description = Description(arguments.root / SOURCE)
        contents = {path: emit(description, BANNER) for path, emit in OUTPUTS.items()}
    except DescriptionError as error:
        print(f"generate.py: {error}", file=sys.stderr)
        return 2
    except (KeyError, TypeError) as error:
        print(f"generate.py: {arguments.root / SOURCE}: a table lacks the key {error} or has a value of the wrong type there", file=sys.stderr)
        return 2

    stale = []
    for path, content in contents.items():
        file = arguments.root / path
        present = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
        if present == content:
            continue
        stale.append(path)
        if arguments.check:
            sys.stdout.writelines(difflib.unified_diff(present.splitlines(True), content.splitlines(True), f"{path} (as it is)", f"{path} (as generated)"))
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
            print(f"wrote {path}")
    if arguments.check and stale:
        print(f"generate.py: out of date: {', '.join(stale)}; run {COMMAND}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
