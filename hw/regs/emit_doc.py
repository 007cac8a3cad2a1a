"""The reference page: the same description as tables for people."""

from description import camel


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |")
    return lines + [""]


def sentence(text):
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?")) else text + "."


def emit_page(page):
    rows = []
    for register in page["register"]:
        bits = f"{register['count']} x {register['bits']}" if register["count"] > 1 else register["bits"]
        text = register["text"]
        if "value" in register:
            text += f" Reads `{register['value']:#x}`."
        rows.append((f"`{register['offset']:#05x}`", f"`{register['name'].upper()}`", bits, register["writer"], text))
    return [f"## {page['title']}", "", page["text"], ""] + table(("offset", "register", "bits", "written by", "meaning"), rows)


def emit_layout(layout):
    rows = []
    for field in layout["field"]:
        size = field["bytes"] * field["count"]
        for index, part in enumerate([field] + field.get("bits", [])):
            if index == 0:
                rows.append((field["offset"], size, f"`{field['name']}`", sentence(field["text"])))
            else:
                rows.append(("", f"{part['width']} bits", f"`{part['name']}`", sentence(part["text"])))
    title = [f"## {layout['title']}", "", f"{layout['text']} {camel(layout['endian'])}-endian, {layout['bytes']} bytes.", ""]
    return title + table(("offset", "bytes", "field", "meaning"), rows)


def emit_enum(enum):
    remedies = any("remedy" in value for value in enum["value"])
    head = ("number", "name", "meaning") + (("what to do",) if remedies else ())
    rows = [(value["value"], f"`{value['name']}`", value["text"]) + ((value.get("remedy", ""),) if remedies else ()) for value in enum["value"]]
    return [f"## {enum['title']}", "", f"{enum['text']} {enum['bits']} bits.", ""] + table(head, rows)


def emit_flags(flags):
    rows = [(bit["bit"], f"`{1 << bit['bit']:#04x}`", f"`{bit['name']}`", bit["text"]) for bit in flags["bit"]]
    return [f"## {flags['title']}", ""] + table(("bit", "mask", "name", "meaning"), rows)


def emit(description, banner):
    lines = ["<!--"] + list(banner) + ["-->", "# Registers, tables and headers", "",
             "What the software, the card and the tools agree on byte by byte. Offsets are in bytes; registers and tables are "
             "little-endian, the link header is big-endian. Counters of lines run free: 32 bits, they wrap, and only their "
             "differences mean something. How the pages are shared is in [architecture.md](architecture.md), what the frames do in "
             "[protocol.md](protocol.md).", "", "## Constants", ""]
    lines += table(("name", "value", "meaning"), [(f"`{c['name']}`", c["value"], c["text"]) for c in description.constants])
    for page in description.pages:
        lines += emit_page(page)
        if page["name"] == "mark":
            lines += ["The four marks of a slot:", ""]
            lines += table(("mark", "file", "register", "ring", "meaning"),
                           [(f"`{m['name'].upper()}`", m["file"], f"`{m['at'].upper()}`", m["ring"], m["text"]) for m in description.marks])
    for layout in description.layouts:
        lines += emit_layout(layout)
    for enum in description.enums:
        lines += emit_enum(enum)
    for flags in description.flags:
        lines += emit_flags(flags)
    return "\n".join(lines).rstrip("\n") + "\n"
