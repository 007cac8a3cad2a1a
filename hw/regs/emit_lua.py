"""The field table of the Wireshark dissector: data only, the dissecting is in slotwire.lua."""


def emit_layout(layout):
    lines = [f"  {layout['name']} = {{", f"    bytes = {layout['bytes']},", f"    endian = \"{layout['endian']}\","]
    for field in layout["field"]:
        for part in field.get("bits", [field]):
            # A part narrower than its field is named by mask; one field a line, in wire order.
            entry = [f'name = "{part["name"]}"', f"offset = {field['offset']}", f"bytes = {field['bytes']}"]
            if "bits" in field:
                entry.append(f"mask = {mask(field, part):#x}")
            if field.get("hex"):
                entry.append("hex = true")
            if "enum" in part:
                entry.append(f'enum = "{part["enum"]}"')
            entry.append(f'text = "{part["text"]}"')
            lines.append(f"    {{ {', '.join(entry)} }},")
    return lines + ["  },"]


def mask(field, part):
    """Bits are described from the most significant on."""
    low = 8 * field["bytes"]
    for bits in field["bits"]:
        low -= bits["width"]
        if bits is part:
            return ((1 << bits["width"]) - 1) << low
    raise AssertionError(f"{part['name']} is no part of {field['name']}")


def emit_enum(enum):
    lines = [f"  {enum['name']} = {{"]
    lines += [f"    [{value['value']}] = \"{value['name']}\"," for value in enum["value"]]
    return lines + ["  },"]


def emit_flags(flags):
    lines = [f"  {flags['name']}_flags = {{"]
    lines += [f"    {{ name = \"{bit['name']}\", mask = {1 << bit['bit']:#x}, text = \"{bit['text']}\" }}," for bit in flags["bit"]]
    return lines + ["  },"]


def emit(description, banner):
    lines = [f"-- {line}" for line in banner]
    lines += ["-- Read by slotwire.lua, which stands beside it.", "return {"]
    for name in ("version", "line_bytes", "udp_port", "max_ring_order", "hdr_marked_shift", "hdr_marked_max"):
        lines.append(f"  {name} = {description.constant(name)},")
    for name in ("link_header", "record_header"):
        lines += emit_layout(description.layout(name))
    for name in ("frame_type", "record_kind"):
        lines += emit_enum(description.enum(name))
    lines += emit_flags(description.flag_set("hdr"))
    lines += emit_flags(description.flag_set("record"))
    return "\n".join(lines + ["}"]) + "\n"
