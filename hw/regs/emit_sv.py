"""The SystemVerilog package, within what Verilator 5.006 and Yosys 0.23 both take: one package that names no other."""

import textwrap

from description import camel, prefixed


def parameter(name, value, text=None, bits=None):
    kind = f"logic [{bits - 1}:0]" if bits else "int unsigned"
    note = f"  // {text}" if text else ""
    return f"  localparam {kind} {camel(name)} = {value};{note}"


def comment(text):
    """A comment of as many lines as the text takes."""
    return textwrap.wrap(text, 120, initial_indent="  // ", subsequent_indent="  // ", break_on_hyphens=False)


def emit_pages(description):
    lines = []
    for page in description.pages:
        lines += ["", *comment(f"{page['title']}. {page['text']}")]
        for register in page["register"]:
            name = prefixed(page["prefix"], register["name"])
            lines.append(parameter(name, register["offset"], register["text"]))
            if "count_name" in register:
                lines.append(parameter(register["count_name"], register["count"]))
            if "value" in register:
                lines.append(parameter(name + "_value", f"32'h{register['value']:08x}", bits=32))
    lines += ["", "  // The four marks of a slot: offsets in file A (the process page) or file B (the proxy page)."]
    for mark in description.marks:
        lines.append(parameter(mark["name"], mark["offset"], f"File {mark['file']}. {mark['text']}"))
    return lines


def emit_layout(layout):
    name = layout["name"]
    big = layout["endian"] == "big"
    order = ("big-endian: the first byte on the wire is the most significant" if big
             else "little-endian: the byte at offset 0 is bits 7:0")
    lines = ["", *comment(f"{layout['title']}, {order}. {layout['text']}"),
             parameter(layout.get("size_name", name + "_bytes"), layout["bytes"])]
    prefix = layout.get("prefix", name)
    for field in layout["field"]:
        lines.append(parameter(prefixed(prefix, field["name"]), field["offset"], "Byte offset."))
    # The first member of a packed struct is the most significant.
    members = layout["field"] if big else reversed(layout["field"])
    lines.append("  typedef struct packed {")
    for field in members:
        if "bits" in field:
            lines += [f"    logic [{bits['width'] - 1}:0] {bits['name']};  // {bits['text']}" for bits in field["bits"]]
        else:
            lines.append(f"    logic [{8 * field['bytes'] * field['count'] - 1}:0] {field['name']};  // {field['text']}")
    lines.append(f"  }} {name}_t;")
    return lines


def emit_enum(enum):
    name, values, bits = camel(enum["name"]), enum["value"], enum["bits"]
    lines = ["", f"  // {enum['text']}", f"  typedef enum logic [{bits - 1}:0] {{"]
    for index, value in enumerate(values):
        comma = "," if index + 1 < len(values) else ""
        lines.append(f"    {name}{camel(value['name'])} = {bits}'d{value['value']}{comma}  // {value['text']}")
    lines.append(f"  }} {enum['name']}_e;")
    if enum.get("derive_count"):
        lines.append(parameter(enum["name"] + "_count", len(values)))
    return lines


def emit_flags(flags):
    lines = ["", f"  // {flags['text']} Bit numbers."]
    for bit in flags["bit"]:
        lines.append(parameter(f"{flags['name']}_{bit['name']}_bit", bit["bit"], bit["text"]))
    return lines


def emit(description, banner):
    lines = [f"// {line}" for line in banner]
    lines += ["// Offsets and sizes are in bytes unless a name says otherwise. Use as slotwire_pkg::name; do not import (Yosys 0.23 refuses it).",
              "", "package slotwire_pkg;", ""]
    for entry in description.constants:
        lines.append(parameter(entry["name"], entry["value"], entry["text"]))
    lines += emit_pages(description)
    for layout in description.layouts:
        lines += emit_layout(layout)
    for enum in description.enums:
        lines += emit_enum(enum)
    for flags in description.flags:
        lines += emit_flags(flags)
    lines += ["", "  // What is not described there, but the same for all modules.", '`include "slotwire_types.svh"', "", "endpackage"]
    return "\n".join(lines) + "\n"
