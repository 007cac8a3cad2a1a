-- Shows Slotwire frames (link header and lines over UDP) in Wireshark and tshark, 3.6 or later.
--
--   tshark -X lua_script:slotwire.lua -r capture.pcapng
--
-- or put this file and slotwire_fields.lua together into Wireshark's folder for personal Lua plugins. The UDP port is a
-- preference of the protocol (Edit > Preferences > Protocols > SLOTWIRE; tshark -o slotwire.port:7401). The layout comes from
-- slotwire_fields.lua, which is generated; nothing here repeats an offset. Encrypted frames have their line (docs/protocol.md) described
-- here, and no more of them can be shown: `slotwire capture` shows frames in the clear.

local here = __DIR__ or debug.getinfo(1, "S").source:match("^@?(.*)[/\\]") or "."
local layout = dofile(here .. "/slotwire_fields.lua")

local slotwire = Proto("slotwire", "Slotwire link")

-- Fields -------------------------------------------------------------------------------------------------------------

local FIELD_KIND = { [1] = ProtoField.uint8, [2] = ProtoField.uint16, [4] = ProtoField.uint32 }

-- The fields of one header of the table, by name; `prefix` is what their filter names start with.
local function make_fields(header, prefix)
  local fields = {}
  for _, field in ipairs(header) do
    local display = field.hex and base.HEX or base.DEC
    local names = field.enum and layout[field.enum] or nil
    fields[field.name] = FIELD_KIND[field.bytes](prefix .. field.name, field.name, display, names, field.mask, field.text)
  end
  return fields
end

local header_fields = make_fields(layout.link_header, "slotwire.")
local record_fields = make_fields(layout.record_header, "slotwire.record.")
local header_flags = {
  marked = ProtoField.uint8("slotwire.flags.marked", "marked", base.DEC, nil, layout.hdr_marked_max * 2 ^ layout.hdr_marked_shift,
    "Frames that arrived with a congestion mark since the frame before."),
}
for _, flag in ipairs(layout.hdr_flags) do
  header_flags[flag.name] = ProtoField.bool("slotwire.flags." .. flag.name, flag.name, 8, nil, flag.mask, flag.text)
end
local record_flags = {}
for _, flag in ipairs(layout.record_flags) do
  record_flags[flag.name] = ProtoField.bool("slotwire.record.flags." .. flag.name, flag.name, 8, nil, flag.mask, flag.text)
end
local made_fields = {
  crc_ok = ProtoField.bool("slotwire.crc_ok", "crc_ok", base.NONE, nil, nil, "The CRC is right."),
  lines = ProtoField.uint32("slotwire.lines", "lines", base.DEC, nil, nil, "Payload lines in the frame."),
  line = ProtoField.bytes("slotwire.line", "line", base.NONE, "One payload line."),
}
-- The line before an encrypted frame: offset and bytes.
local SEALED = { form = 0xe1, bytes = 64, key = { 4, 4 }, sequence = { 8, 8 }, tag = { 48, 16 } }
local sealed_fields = {
  key = ProtoField.uint32("slotwire.sealed.key", "key", base.HEX, nil, nil, "Id of the key."),
  sequence = ProtoField.uint64("slotwire.sealed.sequence", "sequence", base.DEC, nil, nil, "Number of the frame under that key."),
  tag = ProtoField.bytes("slotwire.sealed.tag", "tag", base.NONE, "What proves that the frame is whole and the peer's."),
  frame = ProtoField.bytes("slotwire.sealed.frame", "frame", base.NONE, "Link header and lines, encrypted."),
}
local experts = {
  short = ProtoExpert.new("slotwire.short", "Shorter than the link header", expert.group.MALFORMED, expert.severity.ERROR),
  version = ProtoExpert.new("slotwire.version.unknown", "Unknown protocol version", expert.group.PROTOCOL, expert.severity.WARN),
  kind = ProtoExpert.new("slotwire.frame_type.unknown", "Unknown frame type", expert.group.PROTOCOL, expert.severity.WARN),
  length = ProtoExpert.new("slotwire.length.bad", "Payload is not a whole number of lines", expert.group.MALFORMED, expert.severity.ERROR),
  crc = ProtoExpert.new("slotwire.crc.bad", "Wrong CRC", expert.group.CHECKSUM, expert.severity.ERROR),
  cut = ProtoExpert.new("slotwire.cut", "Cut short by the capture: the CRC cannot be checked", expert.group.UNDECODED, expert.severity.NOTE),
}

local all_fields = {}
for _, group in ipairs({ header_fields, header_flags, record_fields, record_flags, made_fields, sealed_fields }) do
  for _, field in pairs(group) do
    all_fields[#all_fields + 1] = field
  end
end
slotwire.fields = all_fields
local all_experts = {}
for _, one in pairs(experts) do
  all_experts[#all_experts + 1] = one
end
slotwire.experts = all_experts

-- CRC-32C ------------------------------------------------------------------------------------------------------------

local crc_table = {}
for byte = 0, 255 do
  local crc = byte
  for _ = 1, 8 do
    local odd = bit.band(crc, 1) == 1
    crc = bit.rshift(crc, 1)
    if odd then
      crc = bit.bxor(crc, 0x82f63b78)
    end
  end
  crc_table[byte] = crc
end

local function crc32c(bytes)
  local crc = 0xffffffff
  for at = 1, #bytes do
    crc = bit.bxor(crc_table[bit.band(bit.bxor(crc, bytes:byte(at)), 0xff)], bit.rshift(crc, 8))
  end
  -- Wireshark's bit operations give signed numbers.
  return bit.bnot(crc) % 0x100000000
end

-- The CRC of a whole frame, its own field taken as zero.
local function frame_crc(frame, field)
  return crc32c(frame:sub(1, field.offset) .. ("\0"):rep(field.bytes) .. frame:sub(field.offset + field.bytes + 1))
end

-- Dissecting ---------------------------------------------------------------------------------------------------------

-- Adds the fields of `header` at `offset` to `tree`; returns their values and their tree items by name.
local function add_header(tree, buffer, offset, header, fields)
  local values, items = {}, {}
  for _, field in ipairs(header) do
    local range = buffer(offset + field.offset, field.bytes)
    local value = header.endian == "big" and range:uint() or range:le_uint()
    if field.mask then
      value = bit.band(value, field.mask)
      local mask = field.mask
      while mask % 2 == 0 do
        mask, value = mask / 2, value / 2
      end
    end
    values[field.name] = math.floor(value)
    if header.endian == "big" then
      items[field.name] = tree:add(fields[field.name], range)
    else
      items[field.name] = tree:add_le(fields[field.name], range)
    end
  end
  return values, items
end

local known_record_flags = 0
for _, flag in ipairs(layout.record_flags) do
  known_record_flags = known_record_flags + flag.mask
end
local most_record_bytes = 2 ^ layout.max_ring_order * layout.line_bytes - layout.record_header.bytes

-- A frame does not tell where a record starts. Its first line is shown as one if it could be one; a line from the middle of a
-- record may look like it too.
local function add_record(tree, buffer, offset)
  local header = layout.record_header
  local values = {}
  for _, field in ipairs(header) do
    values[field.name] = buffer(offset + field.offset, field.bytes):le_uint()
  end
  local kind = layout.record_kind[values.kind]
  if not kind or values.length > most_record_bytes or bit.band(values.flags, bit.bnot(known_record_flags)) ~= 0 then
    return
  end
  local record = tree:add(buffer(offset, header.bytes), ("Record (if one starts here): %s, %d bytes, id %d"):format(kind, values.length, values.id))
  local _, items = add_header(record, buffer, offset, header, record_fields)
  for _, flag in ipairs(layout.record_flags) do
    for _, field in ipairs(header) do
      if field.name == "flags" then
        items.flags:add(record_flags[flag.name], buffer(offset + field.offset, field.bytes))
      end
    end
  end
end

local function header_field(name)
  for _, field in ipairs(layout.link_header) do
    if field.name == name then
      return field
    end
  end
end
local crc_field = header_field("crc")
local flags_field = header_field("flags")

-- An encrypted frame; false when it is none, or cut short.
local function add_sealed(tree, buffer, packet)
  local captured, length = buffer:len(), buffer:reported_len()
  if captured < SEALED.bytes or buffer(0, 1):uint() ~= SEALED.form then
    return false
  end
  for _, name in ipairs({ "key", "sequence", "tag" }) do
    tree:add(sealed_fields[name], buffer(SEALED[name][1], SEALED[name][2]))
  end
  if captured > SEALED.bytes then
    tree:add(sealed_fields.frame, buffer(SEALED.bytes))
  end
  local info = ("encrypted, key 0x%08x sequence %s"):format(buffer(SEALED.key[1], SEALED.key[2]):uint(),
    tostring(buffer(SEALED.sequence[1], SEALED.sequence[2]):uint64()))
  local lines = math.floor((length - SEALED.bytes - layout.link_header.bytes) / layout.line_bytes)
  if lines > 0 then
    info = info .. (" +%d"):format(lines)
  end
  tree:append_text(": " .. info)
  packet.cols.info = info
  return true
end

function slotwire.dissector(buffer, packet, root)
  local captured, length = buffer:len(), buffer:reported_len()
  local header_bytes, line_bytes = layout.link_header.bytes, layout.line_bytes
  packet.cols.protocol = "Slotwire"
  local tree = root:add(slotwire, buffer())
  if add_sealed(tree, buffer, packet) then
    return captured
  end
  if captured < header_bytes then
    local short = length < header_bytes
    packet.cols.info = short and ("[%d bytes, shorter than the link header]"):format(length) or "[header cut short]"
    tree:add_proto_expert_info(short and experts.short or experts.cut)
    return captured
  end

  local values, items = add_header(tree, buffer, 0, layout.link_header, header_fields)
  local payload = length - header_bytes
  local lines = math.floor(payload / line_bytes)
  local kind = layout.frame_type[values.frame_type]
  local info = ("%s s%d->s%d epoch 0x%04x seq %d"):format(kind or ("type %d"):format(values.frame_type), values.src_slot,
    values.dst_slot, values.epoch, values.seq)
  if lines > 0 then
    info = info .. (" +%d"):format(lines)
  end
  info = info .. (" ack %d credit %d"):format(values.ack, values.credit)
  for _, flag in ipairs(layout.hdr_flags) do
    items.flags:add(header_flags[flag.name], buffer(flags_field.offset, flags_field.bytes))
    if bit.band(values.flags, flag.mask) ~= 0 then
      info = info .. " " .. flag.name
    end
  end
  items.flags:add(header_flags.marked, buffer(flags_field.offset, flags_field.bytes))
  local marked = math.floor(values.flags / 2 ^ layout.hdr_marked_shift)
  if marked > 0 then
    info = info .. (" marked %d"):format(marked)
  end
  tree:append_text(": " .. info)
  local remarks = ""
  local function remark(item, which, text)
    item:add_proto_expert_info(which)
    remarks = remarks .. (" [%s]"):format(text)
  end

  if values.version ~= layout.version then
    remark(items.version, experts.version, ("version %d"):format(values.version))
  end
  if not kind then
    remark(items.frame_type, experts.kind, "unknown type")
  end
  if captured < length then
    remark(items.crc, experts.cut, "cut short")
  else
    local right = frame_crc(buffer:raw(0, length), crc_field)
    local ok = right == values.crc
    local item = tree:add(made_fields.crc_ok, buffer(crc_field.offset, crc_field.bytes), ok)
    item:set_generated()
    if not ok then
      item:append_text((" (the frame makes 0x%08x)"):format(right))
      remark(items.crc, experts.crc, "bad CRC")
    end
  end
  tree:add(made_fields.lines, lines):set_generated()
  if payload % line_bytes ~= 0 then
    remark(tree, experts.length, ("%d bytes too many"):format(payload % line_bytes))
  end
  packet.cols.info = info .. remarks

  local whole = math.floor((captured - header_bytes) / line_bytes)
  for n = 0, whole - 1 do
    local offset = header_bytes + n * line_bytes
    local item = tree:add(made_fields.line, buffer(offset, line_bytes))
    -- Line numbers run free in 32 bits.
    item:prepend_text(("%d "):format((values.seq + n) % 0x100000000))
    if n == 0 then
      add_record(tree, buffer, offset)
    end
  end
  return captured
end

-- Port ---------------------------------------------------------------------------------------------------------------

slotwire.prefs.port = Pref.uint("UDP port", layout.udp_port, "Port that Slotwire frames are sent to; 0: none")
local udp_ports = DissectorTable.get("udp.port")
local port = 0

local function take_port()
  if port ~= 0 then
    udp_ports:remove(port, slotwire)
  end
  port = slotwire.prefs.port
  if port ~= 0 then
    udp_ports:add(port, slotwire)
  end
end

function slotwire.prefs_changed()
  if port ~= slotwire.prefs.port then
    take_port()
  end
end

take_port()
