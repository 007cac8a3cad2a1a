"""The C++ header: constants, tables as structs, enums with names and descriptions."""

import textwrap

from description import camel, prefixed

FIELD_TYPES = {1: "std::uint8_t", 2: "std::uint16_t", 4: "std::uint32_t"}
CONSTANT_TYPES = {"size": "std::size_t", "unsigned": "unsigned", "u16": "std::uint16_t"}


def comment(text, mark="//", indent=""):
    """A comment of as many lines as the text takes."""
    return textwrap.wrap(text, 120, initial_indent=f"{indent}{mark} ", subsequent_indent=f"{indent}{mark} ", break_on_hyphens=False)


def constant(name, value, cpp_type="std::size_t", text=None):
    return (comment(text, "///") if text else []) + [f"inline constexpr {cpp_type} k{camel(name)} = {value};"]


def count_name(enum):
    return f"k{camel(enum['name'])}Count"


def emit_pages(description):
    lines = []
    for page in description.pages:
        lines += ["", *comment(f"{page['title']}. {page['text']}")]
        for register in page["register"]:
            name = prefixed(page["prefix"], register["name"])
            count = f", {register['count']} of them" if register["count"] > 1 else ""
            lines += constant(name, f"{register['offset']:#05x}", text=f"{register['text']} ({register['bits']} bits{count}; written by the {register['writer']})")
            if "count_name" in register:
                lines += constant(register["count_name"], register["count"])
            if "value" in register:
                lines += constant(name + "_value", f"{register['value']:#x}", "std::uint32_t")
    lines += ["", "// The four marks of a slot: offsets in file A (the process page) or file B (the proxy page)."]
    for mark in description.marks:
        lines += constant(mark["name"], f"kMark{camel(mark['at'])}", text=f"In file {mark['file']}. {mark['text']}")
    lines += ["// Two slots of one node are joined by mapping the peer's file A in the place of file B, so the pages must agree.",
              'static_assert(kInTail == kOutTail && kOutHead == kInHead, "the mark pages A and B must have one layout");',
              "// Marks that different parties write or poll never share a line."]
    for register in description.page("mark")["register"]:
        if register["name"] not in ("barrier", "aim"):  # written once or beside WAIT, and read together with it
            lines.append(f"static_assert(kMark{camel(register['name'])} % kLineBytes == 0);")
    return lines


def size(field):
    count = field["bytes"] * field["count"]
    return f"{count} byte{'s' if count > 1 else ''}"


def emit_offsets(layout):
    lines = ["", *comment(f"{layout['title']}, {layout['endian']}-endian. {layout['text']}")]
    lines += constant(layout["size_name"], layout["bytes"], text="Bytes in the whole header.")
    for field in layout["field"]:
        lines += constant(prefixed(layout["prefix"], field["name"]), field["offset"], text=f"{size(field)}. {field['text']}")
    return lines


def emit_struct(layout):
    name = camel(layout["name"])
    lines = ["", *comment(layout["text"], "///"), "/// Little-endian where a card reads it; every field is aligned to its size.", f"struct {name} {{"]
    for field in layout["field"]:
        array = f"[{field['count']}]" if field["count"] > 1 else ""
        lines.append(f"  {FIELD_TYPES[field['bytes']]} {field['name']}{array};  ///< {field['text']}")
    lines += ["};", f"inline constexpr std::size_t k{name}Bytes = {layout['bytes']};",
              f"static_assert(sizeof({name}) == k{name}Bytes && std::is_standard_layout_v<{name}>);"]
    for field in layout["field"]:
        lines.append(f"static_assert(offsetof({name}, {field['name']}) == {field['offset']});")
    return lines


def describe(value):
    text = value["text"]
    if "remedy" in value:
        text = f"{text} {value['remedy']}"
    return text


def emit_table(table, values, text_of):
    lines = [f"inline constexpr std::array<std::string_view, {len(values)}> {table}{{"]
    lines += [f'    "{text_of(value)}",' for value in values]
    return lines + ["};"]


def emit_enum(enum):
    name, values = camel(enum["name"]), enum["value"]
    first = values[0]["value"]
    lines = ["", *comment(enum["text"], "///"), f"enum class {name} : std::uint8_t {{"]
    for value in values:
        line = f"  {value['name']} = {value['value']},  ///< {describe(value)}"
        lines += [line] if len(line) <= 120 else [*comment(describe(value), "///", "  "), line[:line.index("  ///<")]]
    lines.append("};")
    if enum.get("derive_count"):
        lines += ["/// How many there are; they are numbered from 0 without a hole.",
                  f"inline constexpr std::size_t {count_name(enum)} = static_cast<std::size_t>({name}::{values[-1]['name']}) + 1;"]
    lines += ["namespace detail {"]
    lines += emit_table(f"k{name}Names", values, lambda value: value["name"])
    lines += emit_table(f"k{name}Texts", values, describe)
    if enum.get("derive_count"):
        lines.append(f"static_assert(k{name}Names.size() == {count_name(enum)} && k{name}Texts.size() == {count_name(enum)});")
    lines += ["}  // namespace detail"]
    for function, table, missing, meaning in (
            ("name", "Names", "unknown", "The name that commands and metrics use, \"unknown\" for any other number."),
            ("describe", "Texts", f"Unknown {enum['name'].replace('_', ' ')}.", "One line for people: what it means and, for what went wrong, what to do.")):
        shift = f" - {first}U" if first else ""
        lines += [f"/// {meaning}",
                  f"constexpr std::string_view {function}({name} value) {{",
                  f"  const std::size_t index = static_cast<std::size_t>(value){shift};",
                  f"  return index < detail::k{name}{table}.size() ? detail::k{name}{table}[index] : \"{missing}\";",
                  "}"]
    return lines


def emit_flags(flags):
    lines = ["", f"// {flags['text']}"]
    for bit in flags["bit"]:
        lines += constant(f"{flags['name']}_{bit['name']}", f"{1 << bit['bit']:#04x}", "std::uint8_t", bit["text"])
    return lines


def emit(description, banner):
    lines = [f"// {line}" for line in banner]
    lines += ["// Marks, tables, counters and the link header of Slotwire. docs/registers.md is the same for reading.",
              "// Offsets and sizes are in bytes unless a name says otherwise. Everything here is constant: any thread may use it.",
              "// clang-format off", "#pragma once"]
    lines += [f"#include <{header}>" for header in ("array", "cstddef", "cstdint", "string_view", "type_traits")]
    lines += ["", "namespace slotwire::regs {", ""]
    for entry in description.constants:
        lines += constant(entry["name"], entry["value"], CONSTANT_TYPES[entry["type"]], entry["text"])
    lines += emit_pages(description)
    for layout in description.layouts:
        lines += emit_struct(layout) if layout.get("struct") else emit_offsets(layout)
    for enum in description.enums:
        lines += emit_enum(enum)
    for flags in description.flags:
        lines += emit_flags(flags)
    lines += ["", "// How the parts fit each other.",
              "static_assert(sizeof(SlotRow) == kLineBytes, \"a row of the slot table is one line\");",
              "static_assert(kLineBytes % sizeof(LinkRow) == 0, \"rows of the link table fill lines\");",
              "static_assert(14 + 20 + 8 + kHeaderBytes == kLineBytes, \"Ethernet, IPv4, UDP and the link header make one line\");",
              "static_assert(kBellWords + kBellWordCount * sizeof(std::uint64_t) <= kPageBytes);",
              f"static_assert(kCapCounters + {count_name(description.enum('counter'))} * sizeof(std::uint64_t) <= kPageBytes);",
              "static_assert((std::size_t{1} << kMaxRingOrder) <= 0xffff, \"the credit of a whole free ring fits 16 bits\");",
              "", "}  // namespace slotwire::regs"]
    return "\n".join(lines) + "\n"
