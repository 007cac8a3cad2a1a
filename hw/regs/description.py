"""Reads slotwire.toml and refuses a description that does not hold together."""

import re
import tomllib
from pathlib import Path

INTEGER_TYPES = {"size", "unsigned", "u16"}
NAME = re.compile(r"[a-z][a-z0-9_]*\Z")

# Every key that a table may have; a misspelt key would otherwise be dropped without a word.
KEYS = {
    "constant": {"name", "value", "type", "text"},
    "page": {"name", "prefix", "title", "text", "register"},
    "register": {"name", "offset", "bits", "count", "count_name", "count_of", "value", "writer", "text"},
    "mark": {"name", "file", "at", "ring", "text"},
    "layout": {"name", "prefix", "size_name", "struct", "title", "endian", "bytes", "text", "field"},
    "field": {"name", "bytes", "count", "text", "hex", "enum", "bits"},
    "bits": {"name", "width", "enum", "text"},
    "enum": {"name", "bits", "title", "text", "value", "derive_count"},
    "value": {"name", "value", "text", "remedy"},
    "flags": {"name", "bits", "title", "text", "bit"},
    "bit": {"name", "bit", "text"},
}


class DescriptionError(Exception):
    """The description contradicts itself; the text says where and what is expected."""


def camel(name):
    """in_tail -> InTail"""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def prefixed(prefix, name):
    """The snake_case name of a page's register or a layout's field."""
    return f"{prefix}_{name}" if prefix else name


class Description:
    """The checked description. Tables are the dictionaries of the TOML file with offsets and numbers filled in."""

    def __init__(self, path):
        self.path = Path(path)
        try:
            with open(path, "rb") as file:
                tables = tomllib.load(file)
        except OSError as error:
            raise DescriptionError(f"{path}: cannot be read: {error.strerror}; run from a whole source tree or give --root") from error
        except tomllib.TOMLDecodeError as error:
            raise DescriptionError(f"{path}: not TOML: {error}") from error
        for kind in tables:
            self._need(kind in ("constant", "page", "mark", "layout", "enum", "flags"), kind, "unknown kind of table")
        self.constants = self._tables("constant", tables.get("constant", []))
        self.enums = self._tables("enum", tables.get("enum", []))
        self.flags = self._tables("flags", tables.get("flags", []))
        self.layouts = self._tables("layout", tables.get("layout", []))
        self.pages = self._tables("page", tables.get("page", []))
        self.marks = self._tables("mark", tables.get("mark", []))
        for constant in self.constants:
            where = f"constant {constant['name']}"
            self._need(constant["type"] in INTEGER_TYPES, where, f"type must be one of {sorted(INTEGER_TYPES)}")
            self._need(isinstance(constant["value"], int) and constant["value"] >= 0, where, "value must be a number from 0 on")
        for enum in self.enums:
            self._number(enum)
        for flags in self.flags:
            self._check_flags(flags)
        for layout in self.layouts:
            self._place(layout)
        for page in self.pages:
            self._check_page(page)
        self._check_marks()

    def _need(self, condition, where, what):
        if not condition:
            raise DescriptionError(f"{self.path}: {where}: {what}")

    def _tables(self, kind, tables):
        names = set()
        for table in tables:
            name = table.get("name", "")
            where = f"{kind} {name!r}"
            self._need(isinstance(name, str) and NAME.match(name), where, "needs a name of a-z, 0-9 and _")
            self._need(name not in names, where, "is described twice")
            names.add(name)
            unknown = set(table) - KEYS[kind]
            self._need(not unknown, where, f"unknown key {sorted(unknown)}; known are {sorted(KEYS[kind])}")
            text = table.get("text", "")
            self._need(isinstance(text, str) and text and "\n" not in text and '"' not in text, where, "needs a text of one line without double quotes")
        return tables

    def _number(self, enum):
        where = f"enum {enum['name']}"
        following = 0
        for value in self._tables("value", enum["value"]):
            following = value.setdefault("value", following)
            self._need(0 <= following < 1 << enum["bits"], where, f"{value['name']} = {following} does not fit {enum['bits']} bits")
            following += 1
        numbers = [value["value"] for value in enum["value"]]
        # Names are looked up by number, so a hole would need a name too.
        self._need(numbers == list(range(numbers[0], numbers[0] + len(numbers))), where, "numbers must follow one another")
        if enum.get("derive_count"):
            self._need(numbers[0] == 0, where, "numbers must start at 0 for a count to be derived")

    def _check_flags(self, flags):
        where = f"flags {flags['name']}"
        seen = set()
        for bit in self._tables("bit", flags["bit"]):
            self._need(0 <= bit["bit"] < flags["bits"], where, f"bit {bit['bit']} is outside {flags['bits']} bits")
            self._need(bit["bit"] not in seen, where, f"bit {bit['bit']} has two names")
            seen.add(bit["bit"])

    def _place(self, layout):
        where = f"layout {layout['name']}"
        self._need(layout["endian"] in ("big", "little"), where, "endian must be big or little")
        offset = 0
        for field in self._tables("field", layout["field"]):
            self._need(field["bytes"] in (1, 2, 4), where, f"{field['name']}: a field has 1, 2 or 4 bytes")
            self._need(not layout.get("struct") or offset % field["bytes"] == 0, where, f"{field['name']} at {offset} is not aligned to its size")
            self._need(field.get("enum") in (None, *(e["name"] for e in self.enums)), where, f"{field['name']}: no enum {field.get('enum')}")
            field["offset"] = offset
            field.setdefault("count", 1)
            offset += field["bytes"] * field["count"]
            if "bits" in field:
                width = sum(bits["width"] for bits in self._tables("bits", field["bits"]))
                self._need(width == 8 * field["bytes"], where, f"{field['name']}: bits make {width}, the field has {8 * field['bytes']}")
        self._need(offset == layout["bytes"], where, f"fields make {offset} bytes, bytes says {layout['bytes']}")

    def _check_page(self, page):
        where = f"page {page['name']}"
        page.setdefault("prefix", page["name"])
        end = 0
        for register in self._tables("register", page["register"]):
            if "count_of" in register:
                register["count"] = len(self.enum(register["count_of"])["value"])
            register.setdefault("count", 1)
            size = register["bits"] // 8
            self._need(register["bits"] in (32, 64), where, f"{register['name']}: a register has 32 or 64 bits")
            self._need(register["offset"] % size == 0, where, f"{register['name']} at {register['offset']:#x} is not aligned to its size")
            self._need(register["offset"] >= end, where, f"{register['name']} at {register['offset']:#x} overlaps the register before it, which ends at {end:#x}")
            end = register["offset"] + size * register["count"]
        self._need(end <= self.constant("page_bytes"), where, f"ends at {end:#x}, beyond the page")

    def _check_marks(self):
        """The tail of a ring stands in the ring's own file and its head in the other one, for both rings alike."""
        rings = {}
        for mark in self.marks:
            where = f"mark {mark['name']}"
            registers = [r for page in self.pages if page["name"] == "mark" for r in page["register"] if r["name"] == mark["at"]]
            self._need(len(registers) == 1, where, f"the mark page has no register {mark['at']}")
            mark["offset"] = registers[0]["offset"]
            rings.setdefault(mark["ring"], {})[mark["at"]] = mark["file"]
        self._need(rings == {"input": {"tail": "A", "head": "B"}, "output": {"tail": "B", "head": "A"}}, "marks",
                   "the two mark pages must cross: input tail in A, head in B; output tail in B, head in A")

    def constant(self, name):
        return self._find("constant", self.constants, name)["value"]

    def enum(self, name):
        return self._find("enum", self.enums, name)

    def layout(self, name):
        return self._find("layout", self.layouts, name)

    def page(self, name):
        return self._find("page", self.pages, name)

    def flag_set(self, name):
        return self._find("flags", self.flags, name)

    def _find(self, kind, tables, name):
        for table in tables:
            if table["name"] == name:
                return table
        raise DescriptionError(f"{self.path}: no {kind} {name}; it is needed by what is generated")
