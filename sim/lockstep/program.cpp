#include "sim/lockstep/program.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <stdexcept>

#include "core/pipeline/frame.hpp"

namespace slotwire::lockstep {
namespace {

constexpr std::string_view kTogether = "together";
constexpr std::string_view kMagic = "slotwire-lockstep 1";

std::string_view next_word(std::string_view& line) {
  const std::size_t start = std::min(line.find_first_not_of(' '), line.size());
  line.remove_prefix(start);
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

template <typename Integer>
Integer number(std::string_view text) {
  Integer value{};
  const bool hex = text.starts_with("0x");
  if (hex) text.remove_prefix(2);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) {
    throw std::invalid_argument("'" + std::string(text) + "' is not a number in range");
  }
  return value;
}

/// The value of NAME=VALUE.
std::string_view value_of(std::string_view word, std::string_view wanted) {
  const std::size_t equals = word.find('=');
  if (equals == std::string_view::npos || word.substr(0, equals) != wanted) {
    throw std::invalid_argument("expected " + std::string(wanted) + "=NUMBER, found '" + std::string(word) + "'");
  }
  return word.substr(equals + 1);
}

template <std::size_t Kind = 0>
void parse_action(std::string_view name, std::string_view& rest, Action& out) {
  if constexpr (Kind < kActionKinds) {
    using T = std::variant_alternative_t<Kind, Action>;
    if (name != T::kName) return parse_action<Kind + 1>(name, rest, out);
    out.emplace<Kind>().fields(
        [&]<typename F>(std::string_view field, F& value) { value = number<F>(value_of(next_word(rest), field)); });
  } else {
    throw std::invalid_argument("no step is called '" + std::string(name) + "'");
  }
}

void check(bool fits, const char* what) {
  if (!fits) throw std::invalid_argument(what);
}

/// What the implementations take for granted.
void check_limits(const Program& p, const Action& action) {
  if (const auto* w = std::get_if<Write>(&action)) check(w->slot < p.slots, "there is no such slot");
  if (const auto* m = std::get_if<InTail>(&action)) check(m->slot < p.slots, "there is no such slot");
  if (const auto* m = std::get_if<OutHead>(&action)) check(m->slot < p.slots, "there is no such slot");
  if (const auto* u = std::get_if<Unbind>(&action)) check(u->slot < p.slots, "there is no such slot");
  if (const auto* f = std::get_if<FaultSlot>(&action)) check(f->slot < p.slots, "there is no such slot");
  if (const auto* l = std::get_if<LinkUp>(&action)) check(l->link < p.links, "there is no such link");
  if (const auto* l = std::get_if<LinkDown>(&action)) check(l->link < p.links, "there is no such link");
  if (const auto* l = std::get_if<Figures>(&action)) {
    check(l->link < p.links, "there is no such link");
    check(l->lines_per_frame >= 1 && l->lines_per_frame <= p.frame_lines, "lines_per_frame is out of range");
    check(l->rto_us >= 1 && l->rto_us <= l->rto_max_us && l->rto_max_us <= pipeline::kMaxTimeout &&
              l->ack_delay_us <= pipeline::kMaxTimeout,
          "a time is out of range");
  }
  if (const auto* b = std::get_if<Bind>(&action)) {
    check(b->slot < p.slots && b->link < p.links, "there is no such slot or link");
    check(b->in_order <= p.max_order && b->out_order <= p.max_order, "an order is out of range");
    check(b->in_tail - b->in_head <= 1U << b->in_order && b->out_tail - b->out_head <= 1U << b->out_order,
          "marks are more than a ring apart");
  }
  if (const auto* f = std::get_if<FrameIn>(&action)) {
    check(f->lines <= kMaxStepLines && f->extra < regs::kLineBytes && f->cut <= regs::kHeaderBytes + 1,
          "the frame is out of range");
    check(f->link < p.links || f->link == kStranger, "there is no such link");
  }
  if (const auto* f = std::get_if<RefusedFrame>(&action)) {
    check(f->link < p.links && f->dst_slot < p.slots, "there is no such link or slot");
    check(f->lines >= 1 && f->lines <= kMaxStepLines && f->nth >= 1, "the frame is out of range");
  }
  if (const auto* s = std::get_if<Stray>(&action)) {
    check(s->bytes >= sim::kMinEthernetBytes && s->bytes <= kMaxStrayBytes && s->likeness < kLikenesses,
          "the frame is out of range");
  }
}

}  // namespace

std::string_view name(const Action& action) {
  return std::visit([](const auto& a) { return std::decay_t<decltype(a)>::kName; }, action);
}

std::string to_text(const Step& step) {
  std::string text(name(step.action));
  Action copy = step.action;
  std::visit(
      [&](auto& action) {
        action.fields([&](std::string_view field, auto value) {
          text += ' ';
          text += field;
          text += '=';
          if (value < 100'000) {
            text += std::to_string(value);
          } else {
            char digits[8];
            const auto end = std::to_chars(std::begin(digits), std::end(digits), value, 16).ptr;
            text.append("0x").append(std::begin(digits), end);
          }
        });
      },
      copy);
  if (step.together) text.append(" ").append(kTogether);
  return text;
}

std::string to_text(const Program& program) {
  std::string text(kMagic);
  text += "\nseed=" + std::to_string(program.seed) + " slots=" + std::to_string(program.slots) +
          " links=" + std::to_string(program.links) + " max_order=" + std::to_string(program.max_order) +
          " frame_lines=" + std::to_string(program.frame_lines) +
          " memory_lines=" + std::to_string(program.memory_lines) + " start_us=" + std::to_string(program.start_us) +
          "\n";
  for (const Step& step : program.steps) text += to_text(step) + "\n";
  return text;
}

Program parse_program(std::string_view text) {
  Program program;
  std::size_t line_number = 0;
  const auto next_line = [&]() -> std::string_view {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++line_number;
    return line;
  };
  try {
    check(next_line() == kMagic, "this is no program of lockstep");
    std::string_view head = next_line();
    program.seed = number<std::uint64_t>(value_of(next_word(head), "seed"));
    program.slots = number<std::uint32_t>(value_of(next_word(head), "slots"));
    program.links = number<std::uint32_t>(value_of(next_word(head), "links"));
    program.max_order = number<unsigned>(value_of(next_word(head), "max_order"));
    program.frame_lines = number<std::uint32_t>(value_of(next_word(head), "frame_lines"));
    program.memory_lines = number<std::uint32_t>(value_of(next_word(head), "memory_lines"));
    program.start_us = number<Microseconds>(value_of(next_word(head), "start_us"));
    check(program.slots >= 1 && program.slots <= kMaxProgramSlots, "slots is out of range");
    check(program.links >= 1 && program.links <= kMaxProgramLinks, "links is out of range");
    check(program.max_order <= regs::kMaxRingOrder, "max_order is out of range");
    check(program.frame_lines >= 1 && program.frame_lines <= kMaxStepLines, "frame_lines is out of range");
    check(program.memory_lines <= 1U << 24 && program.region_lines() >= 1U << program.max_order,
          "memory_lines does not fit the slots");
    while (!text.empty()) {
      std::string_view line = next_line();
      const std::string_view kind = next_word(line);
      if (kind.empty() || kind.front() == '#') continue;
      check(program.steps.size() < kMaxSteps, "too many steps");
      Step& step = program.steps.emplace_back();
      parse_action(kind, line, step.action);
      const std::string_view last = next_word(line);
      check(last.empty() || last == kTogether, "something stands after the last field");
      step.together = !last.empty();
      check_limits(program, step.action);
    }
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument("line " + std::to_string(line_number) + ": " + error.what());
  }
  return program;
}

sim::Endpoint own_endpoint() {
  return {.mac = 0x0253'4c54'5701, .ip = 0x0a00'0001, .port = regs::kUdpPort};
}

sim::Endpoint peer_endpoint(std::uint16_t link) {
  return {
      .mac = 0x0253'4c54'5800U + link, .ip = 0x0a00'0100U + link, .port = static_cast<std::uint16_t>(7500U + link % 7)};
}

void fill_line(std::byte* line, std::uint32_t fill, Position at) {
  std::uint64_t words[regs::kLineBytes / 8];
  std::uint64_t x = sim::mix((std::uint64_t{fill} << 32) ^ at);
  for (std::uint64_t& word : words) word = x += 0x9e3779b97f4a7c15U;
  std::memcpy(line, words, sizeof words);
}

void build_frame(const FrameIn& step, Bytes& out) {
  Bytes frame(regs::kHeaderBytes + std::size_t{step.lines} * regs::kLineBytes + step.extra, std::byte{0x5e});
  for (std::uint32_t i = 0; i < step.lines; ++i) {
    fill_line(frame.data() + regs::kHeaderBytes + std::size_t{i} * regs::kLineBytes, step.fill, step.seq + i);
  }
  pipeline::Header header{.version = step.version,
                          .type = static_cast<regs::FrameType>(step.type),
                          .flags = step.flags,
                          .dst_slot = step.dst_slot,
                          .src_slot = step.src_slot,
                          .epoch = step.epoch,
                          .seq = step.seq,
                          .ack = step.ack,
                          .credit = step.credit,
                          .crc = 0};
  const pipeline::HeaderBytes head = std::span<std::byte>(frame).first<regs::kHeaderBytes>();
  pipeline::encode(header, head);
  header.crc = pipeline::frame_crc(head, std::span<const std::byte>(frame).subspan(regs::kHeaderBytes)) ^ step.crc_xor;
  pipeline::encode(header, head);
  if (step.cut != 0) frame.resize(std::min<std::size_t>(frame.size(), step.cut - 1U));
  out.resize(std::max(sim::kMinEthernetBytes, sim::kCarrierBytes + frame.size()));
  out.resize(sim::wrap(peer_endpoint(step.link), own_endpoint(), frame, out));
  if (step.missing != 0)
    out.resize(std::max(sim::kMinEthernetBytes, out.size() - std::min<std::size_t>(step.missing, out.size())));
  out.resize(out.size() + step.pad, std::byte{0x77});
}

void build_frame(const Stray& step, Bytes& out) {
  Bytes payload(step.bytes - sim::kCarrierBytes);
  sim::Random random(step.fill);
  for (std::byte& byte : payload) byte = static_cast<std::byte>(random.next() & 0xff);
  const sim::Endpoint own = own_endpoint();
  const sim::Endpoint other = peer_endpoint(kStranger);
  out.resize(step.bytes);
  sim::Endpoint to = step.from_host != 0 ? other : own;
  const auto likeness = static_cast<Likeness>(step.likeness);
  if (likeness == Likeness::other_mac) to.mac ^= std::uint64_t{1} << random.below(40);
  if (likeness == Likeness::other_ip) to.ip ^= 1U << random.below(32);
  if (likeness == Likeness::other_port) to.port = static_cast<std::uint16_t>(to.port ^ (1U << random.below(16)));
  sim::wrap(step.from_host != 0 ? own : other, to, payload, out);
  if (likeness == Likeness::other_type) out[12] ^= std::byte{0x80};
  if (likeness == Likeness::other_protocol) out[sim::kEthernetBytes + 9] = std::byte{6};
  if (likeness == Likeness::fragment) out[sim::kEthernetBytes + 6] = std::byte{0x20};
  if (likeness == Likeness::options) out[sim::kEthernetBytes] = std::byte{0x46};
  if (likeness == Likeness::other_length) out[sim::kEthernetBytes + 3] ^= std::byte{1};
  if (likeness == Likeness::none) {
    // Nothing but noise, to another station.
    for (std::size_t i = 0; i < sim::kCarrierBytes; ++i) out[i] = static_cast<std::byte>(random.next() & 0xff);
    out[0] = std::byte{0x02};
    out[1] = std::byte{0xff};
  }
}

}  // namespace slotwire::lockstep
