#!/usr/bin/env python3
"""Makes positions and times of the rules narrow, so that a proof can reach all of their values.

    narrow.py TREE POSITION_BITS LINES_BITS

Rewrites slotwire_pkg.sv, slotwire_types.svh and slotwire_rules.sv of TREE in place, by their text: 32-bit positions and times become
POSITION_BITS wide, the lines of a frame LINES_BITS, and the pipeline registers of the rules wires, so that an operation takes no
clock. The logic stays what it is; whatever this script does not understand makes it fail.
"""
import re
import sys
from pathlib import Path


def replace(text, pattern, new, at_least=1):
    text, count = re.subn(pattern, new, text)
    if count < at_least:
        raise SystemExit(f"narrow.py: nothing fits {pattern!r}: the sources have changed, and so must this script")
    return text


def narrow_package(text, bits):
    def struct(match):
        return replace(match[0], r"logic \[31:0\]", f"logic [{bits - 1}:0]")
    for name in ("slot_row_t", "link_row_t"):
        start = text.index("typedef struct packed", text.index("SlotRowBytes" if name == "slot_row_t" else "LinkRowBytes"))
        end = text.index(f"}} {name};", start)
        text = text[:start] + struct(re.match(r".*", text[start:end], re.S)) + text[end:]
    return text


def narrow_types(text, bits, lines):
    text = replace(text, r"logic \[31:0\]", f"logic [{bits - 1}:0]")
    return replace(text, r"logic \[9:0\]", f"logic [{lines - 1}:0]")


def narrow_rules(text, bits, lines):
    text = re.sub(r"//.*", "", text)
    text = replace(text, r"(?s)  logic unused;\n\s*assign unused =.*?;\n", "")
    # Widths: 17-bit sizes and 32-bit positions alike.
    text = replace(text, r"\[31:0\]", f"[{bits - 1}:0]")
    text = replace(text, r"\[16:0\]", f"[{bits - 1}:0]")
    text = re.sub(r"\[30:0\]", f"[{bits - 2}:0]", text)
    text = replace(text, r"\[31\]", f"[{bits - 1}]")
    text = replace(text, r"\[16:2\]", f"[{bits - 1}:2]")
    text = replace(text, r"\[46:0\]", f"[{bits + 14}:0]")
    text = replace(text, r"\[9:0\]", f"[{lines - 1}:0]")
    text = replace(text, r"out_free3\[15:0\]", "16'(out_free3)")
    for old, new in ((32, bits), (17, bits), (18, bits + 1), (47, bits + 15), (10, lines)):
        text = re.sub(rf"\b{old}'(?=[(dh])", f"{new}'", text)
    # Registers become wires.
    def wires(match):
        body = re.sub(r"^(\s*[\w.]+) <= ", r"\1 = ", match[1], flags=re.M)
        return "always_comb begin" + body.replace("rst_ni && ", "") + "\n  end"
    text = replace(text, r"(?s)always_ff @\(posedge clk_i\) begin(.*?)\n  end", wires)
    if "always_ff" in text or "posedge" in text:
        raise SystemExit("narrow.py: a register was left")
    return text


def main():
    tree, bits, lines = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    package, types, rules = (tree / "hw/rtl" / name for name in ("gen/slotwire_pkg.sv", "slotwire_types.svh", "slotwire_rules.sv"))
    package.write_text(narrow_package(package.read_text(), bits))
    types.write_text(narrow_types(types.read_text(), bits, lines))
    rules.write_text(narrow_rules(rules.read_text(), bits, lines))


if __name__ == "__main__":
    main()
