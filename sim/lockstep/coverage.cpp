#include "sim/lockstep/coverage.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "core/pipeline/frame.hpp"

namespace slotwire::lockstep {
namespace {

using regs::Counter;
using regs::FrameType;
using regs::SlotRow;
using regs::SlotState;

constexpr const char* kPoints[] = {
    "R1 bound with credit",
    "R1 bound without credit: a probe",
    "R1 bound with lines to send: the tx timer runs",
    "R1 freed while lines were in flight",
    "R1 input ring of one line",
    "R1 output ring of one line",
    "R1 rings of 512 lines and more",
    "R2 bytes behind a frame ignored",
    "R2 frame cut on the wire",
    "R2 frame longer than the card takes",
    "R2 ack of a line that was not produced",
    "R2 ack from just over a ring ago",
    "R2 seq just over a ring ahead",
    "R2 seq just over a ring behind",
    "R2 reset from elsewhere",
    "R3 gap: a nak",
    "R3 gap again: no second nak",
    "R3 gap of a whole ring",
    "R3 duplicate",
    "R3 duplicate from a whole ring ago",
    "R3 overrun",
    "R3 new lines after known ones",
    "R3 output ring filled to its last line",
    "R3 lines over the end of the output ring",
    "R3 OUT_TAIL over the end of 32 bits",
    "R4 reset sent",
    "R4 nak before data that was due",
    "R4 data up to IN_TAIL",
    "R4 data up to the window",
    "R4 data up to the lines of a frame",
    "R4 data over the end of the input ring",
    "R4 data over the end of 32 bits",
    "R4 data that carries an acknowledgement",
    "R4 several frames at once",
    "R4 probe sent",
    "R4 ack sent",
    "R4 nothing sent over a link that is down",
    "R5 stale ack, its lines taken",
    "R5 everything acknowledged: the tx timer stops",
    "R5 part acknowledged: the tx timer starts anew",
    "R5 acknowledged beyond sent after going back",
    "R5 window grown",
    "R5 window that would shrink ignored",
    "R5 window opened with nothing in flight: backoff gone",
    "R6 acknowledged at once after a quarter",
    "R6 ack timer started",
    "R6 ack timer runs already",
    "R6 ack timer ran out",
    "R7 window update",
    "R7 consumed less than a quarter: no update",
    "R7 lines wait for the window",
    "R8 faulted by the engine",
    "R8 faulted by IN_TAIL",
    "R8 faulted by OUT_HEAD",
    "R8 faulted while the link was down",
    "R8 reset by the peer",
    "R8 told again who talks to a faulted slot",
    "R8 reset for a faulted slot not answered",
    "R8 frame for a slot that was reset not answered",
    "R9 nak: gone back",
    "R9 nak of what was just sent next: nothing",
    "R9 stale nak",
    "R9 probe answered",
    "R9 timeout: gone back",
    "R9 timeout: window probed",
    "R9 timeout exactly on time",
    "R9 timer not run out by a microsecond",
    "R9 backoff at its end",
    "R9 timeout at its longest",
    "R9 time over the end of 32 bits",
    "R9 link down with timers running",
    "R9 link up: sent goes back",
    "R9 link up: acknowledgement due",
    "R9 link up: window probed",
    "R9 link up: reset of a faulted slot sent",
    "R9 card reset with lines in flight",
    "R9 card reset with a slot that had stopped",
    "R10 lines produced",
    "R10 lines consumed",
    "R10 input ring filled to its last line",
    "R10 IN_TAIL a line too far",
    "R10 IN_TAIL back",
    "R10 OUT_HEAD a line too far",
    "R10 OUT_HEAD back",
    "R10 bell of a slot that stopped",
    "R10 bell of a free slot",
    "R10 bell without a move",
};

/// Counters that no program of lockstep provokes: the host is always fast enough and asks for nothing wrong.
constexpr regs::CardCounter kCardPoints[] = {regs::CardCounter::pass_to_host, regs::CardCounter::pass_from_host,
                                             regs::CardCounter::drop_damaged, regs::CardCounter::doorbells};

/// The cards of lockstep take frames of as many lines.
constexpr std::uint32_t kDefaultFrameLines = 32;

bool has(const SlotRow& row, std::uint8_t flag) {
  return (row.flags & flag) != 0;
}
bool is(const SlotRow& row, SlotState state) {
  return row.state == static_cast<std::uint8_t>(state);
}
bool later(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::int32_t>(a - b) > 0;
}
std::uint64_t grown(const Snapshot& before, const Snapshot& after, Counter counter) {
  return after.counters[static_cast<std::size_t>(counter)] - before.counters[static_cast<std::size_t>(counter)];
}

struct Sent {
  pipeline::Header header;
  std::uint32_t lines;
};
Sent decode(const SentFrame& frame) {
  const std::span<const std::byte> bytes(frame.bytes);
  return {pipeline::decode(bytes.subspan<sim::kCarrierBytes, regs::kHeaderBytes>()),
          static_cast<std::uint32_t>((bytes.size() - sim::kCarrierBytes - regs::kHeaderBytes) / regs::kLineBytes)};
}

}  // namespace

std::optional<std::uint16_t> slot_of(const Action& action, std::size_t slots) {
  const auto number = std::visit(
      [](const auto& a) -> std::optional<std::uint16_t> {
        if constexpr (requires { a.dst_slot; }) {
          return a.dst_slot;
        } else if constexpr (requires { a.slot; }) {
          return a.slot;
        } else {
          return std::nullopt;
        }
      },
      action);
  return number && *number < slots ? number : std::nullopt;
}

Coverage::Coverage() {
  for (const char* point : kPoints) points_.emplace_back(point, 0);
}

void Coverage::hit(const char* name, bool reached) {
  if (!reached) return;
  const auto found = std::find_if(points_.begin(), points_.end(), [&](const auto& p) { return p.first == name; });
  if (found == points_.end()) throw std::logic_error(std::string("no point is called ") + name);
  ++found->second;
}

void Coverage::step(const Deed& deed) {
  ++by_kind_[deed.action.index()];
  if (std::holds_alternative<Advance>(deed.action)) time_passed(deed);
  if (const auto* link = std::get_if<LinkUp>(&deed.action)) link_turned(deed, link->link, true);
  if (const auto* link = std::get_if<LinkDown>(&deed.action)) link_turned(deed, link->link, false);
  if (std::holds_alternative<Reset>(deed.action)) {
    for (const SlotRow& row : deed.before.rows) {
      hit("R9 card reset with lines in flight", is(row, SlotState::bound) && row.sent != row.in_head);
      hit("R9 card reset with a slot that had stopped", is(row, SlotState::faulted) || is(row, SlotState::reset));
    }
  }
  for (const SentFrame& frame : deed.sent) {
    if (frame.slot == kPassed) continue;
    const Sent s = decode(frame);
    hit("R4 reset sent", s.header.type == FrameType::reset);
    hit("R4 probe sent", s.header.type == FrameType::probe);
    hit("R4 ack sent", s.header.type == FrameType::ack);
  }
  hit("R4 several frames at once", deed.sent.size() > 2);
  if (const auto slot = slot_of(deed.action, deed.before.rows.size())) slot_step(deed, *slot);
}

void Coverage::slot_step(const Deed& deed, std::uint16_t slot) {
  const Action& action = deed.action;
  const SlotRow& b = deed.before.rows[slot];
  const SlotRow& a = deed.after.rows[slot];
  const bool up = deed.up[a.link];
  const bool bound = is(b, SlotState::bound);
  if (const auto* f = std::get_if<FrameIn>(&action)) frame(*f, deed, slot);
  if (const auto* bind = std::get_if<Bind>(&action); bind != nullptr && is(b, SlotState::free)) {
    hit("R1 bound with credit", bind->credit != 0);
    hit("R1 bound without credit: a probe", bind->credit == 0);
    hit("R1 bound with lines to send: the tx timer runs", bind->in_tail != bind->in_head && has(a, regs::kRowTxTimer));
    hit("R1 input ring of one line", bind->in_order == 0);
    hit("R1 output ring of one line", bind->out_order == 0);
    hit("R1 rings of 512 lines and more", bind->in_order >= 9 && bind->out_order >= 9);
  }
  if (std::holds_alternative<Unbind>(action)) hit("R1 freed while lines were in flight", bound && b.sent != b.in_head);
  if (std::holds_alternative<FaultSlot>(action)) hit("R8 faulted by the engine", bound);
  hit("R8 faulted while the link was down", bound && is(a, SlotState::faulted) && !up);
  if (const auto* m = std::get_if<InTail>(&action)) {
    const std::uint32_t free = (1U << b.in_order) - (b.in_tail - b.in_head);
    hit("R10 lines produced", bound && is(a, SlotState::bound) && a.in_tail != b.in_tail);
    hit("R10 input ring filled to its last line", bound && free != 0 && m->value == b.in_tail + free);
    hit("R10 IN_TAIL a line too far", bound && m->value == b.in_tail + free + 1);
    hit("R10 IN_TAIL back", bound && m->value == b.in_tail - 1);
    hit("R8 faulted by IN_TAIL", bound && is(a, SlotState::faulted));
    hit("R10 bell of a slot that stopped", is(b, SlotState::faulted) || is(b, SlotState::reset));
    hit("R10 bell without a move", bound && m->value == b.in_tail);
    hit("R4 nothing sent over a link that is down", bound && !up && m->value != b.in_tail && is(a, SlotState::bound));
  }
  if (const auto* m = std::get_if<OutHead>(&action)) {
    const std::uint32_t there = b.out_tail - b.out_head;
    hit("R10 bell of a free slot", is(b, SlotState::free));
    hit("R10 OUT_HEAD a line too far", bound && m->value == b.out_head + there + 1);
    hit("R10 OUT_HEAD back", bound && m->value == b.out_head - 1);
    hit("R8 faulted by OUT_HEAD", bound && is(a, SlotState::faulted));
    const bool consumed = bound && is(a, SlotState::bound) && m->value != b.out_head;
    hit("R10 lines consumed", consumed);
    hit("R7 window update", consumed && !deed.sent.empty() && a.told_limit != b.told_limit);
    hit("R7 consumed less than a quarter: no update", consumed && deed.sent.empty() && up && !has(a, regs::kRowAckNow));
  }
  sends(deed, slot);
  hit("R7 lines wait for the window",
      is(a, SlotState::bound) && up && a.sent != a.in_tail && a.limit == a.sent && a.sent != a.in_head);
}

void Coverage::time_passed(const Deed& deed) {
  hit("R9 time over the end of 32 bits", deed.now < std::get<Advance>(deed.action).us);
  for (std::size_t slot = 0; slot < deed.before.rows.size(); ++slot) {
    const SlotRow& b = deed.before.rows[slot];
    const SlotRow& a = deed.after.rows[slot];
    if (!is(b, SlotState::bound) || !deed.up[b.link]) continue;
    hit("R6 ack timer ran out", has(b, regs::kRowAckTimer) && !later(b.ack_deadline, deed.now));
    if (!has(b, regs::kRowTxTimer)) continue;
    hit("R9 timer not run out by a microsecond", b.tx_deadline == deed.now + 1);
    if (later(b.tx_deadline, deed.now)) continue;
    hit("R9 timeout: gone back", b.sent != b.in_head);
    hit("R9 timeout: window probed", b.sent == b.in_head);
    hit("R9 timeout exactly on time", b.tx_deadline == deed.now);
    hit("R9 backoff at its end", b.backoff == 15);
    const pipeline::LinkParameters& figures = deed.figures[b.link];
    hit("R9 timeout at its longest", std::uint64_t{figures.retransmit_us} << a.backoff > figures.retransmit_max_us &&
                                         a.tx_deadline - deed.now == figures.retransmit_max_us);
  }
}

void Coverage::link_turned(const Deed& deed, std::uint16_t link, bool up) {
  for (const SlotRow& b : deed.before.rows) {
    if (is(b, SlotState::free) || b.link != link) continue;
    if (!up) {
      hit("R9 link down with timers running", has(b, regs::kRowTxTimer | regs::kRowAckTimer));
    } else if (is(b, SlotState::bound)) {
      const std::uint32_t room = (1U << b.out_order) - (b.out_tail - b.out_head);
      hit("R9 link up: sent goes back", b.sent != b.in_head);
      hit("R9 link up: acknowledgement due", b.out_tail != b.told_ack || b.out_tail + room != b.told_limit);
      hit("R9 link up: window probed", b.in_tail != b.in_head && b.limit == b.in_head);
    } else {
      hit("R9 link up: reset of a faulted slot sent", has(b, regs::kRowResetNow));
    }
  }
}

void Coverage::frame(const FrameIn& f, const Deed& deed, std::uint16_t slot) {
  const Snapshot& before = deed.before;
  const Snapshot& after = deed.after;
  const SlotRow& b = before.rows[slot];
  const SlotRow& a = after.rows[slot];
  const auto type = static_cast<FrameType>(f.type);
  const bool taken = grown(before, after, Counter::rx_frames) != 0;
  const bool length = grown(before, after, Counter::drop_length) != 0;
  hit("R2 bytes behind a frame ignored", f.pad != 0 && taken);
  hit("R2 frame cut on the wire", f.missing != 0 && length);
  hit("R2 frame longer than the card takes", f.lines > kDefaultFrameLines && length);
  if (grown(before, after, Counter::drop_position) != 0) {
    const std::uint32_t in_size = 1U << b.in_order, out_size = 1U << b.out_order;
    hit("R2 ack of a line that was not produced", f.ack - b.in_tail == 1);
    hit("R2 ack from just over a ring ago", b.in_head - f.ack == in_size + 1);
    hit("R2 seq just over a ring ahead", f.seq - b.out_tail == out_size + 1);
    hit("R2 seq just over a ring behind", b.out_tail - f.seq == out_size + 1);
    hit("R2 reset from elsewhere", type == FrameType::reset);
  }
  hit("R8 reset by the peer", grown(before, after, Counter::rx_resets) != 0);
  if (grown(before, after, Counter::drop_faulted) != 0) {
    const bool answered = grown(before, after, Counter::tx_resets) != 0;
    hit("R8 told again who talks to a faulted slot", is(b, SlotState::faulted) && answered);
    hit("R8 reset for a faulted slot not answered", is(b, SlotState::faulted) && type == FrameType::reset);
    hit("R8 frame for a slot that was reset not answered", is(b, SlotState::reset) && !answered);
  }
  if (!taken) return;
  const std::uint32_t acked = f.ack - b.in_head;
  const bool in_range = acked <= b.in_tail - b.in_head;
  const std::uint32_t fresh = static_cast<std::uint32_t>(grown(before, after, Counter::rx_lines));
  hit("R5 stale ack, its lines taken", !in_range && fresh != 0);
  if (in_range && acked != 0) {
    hit("R5 everything acknowledged: the tx timer stops", f.ack == b.in_tail && !has(a, regs::kRowTxTimer));
    hit("R5 part acknowledged: the tx timer starts anew", f.ack != b.in_tail && has(a, regs::kRowTxTimer));
    hit("R5 acknowledged beyond sent after going back", later(f.ack, b.sent));
  }
  if (in_range) {
    hit("R5 window grown", later(f.ack + f.credit, b.limit));
    hit("R5 window that would shrink ignored", later(b.limit, f.ack + f.credit));
    hit("R5 window opened with nothing in flight: backoff gone",
        acked == 0 && later(f.ack + f.credit, b.limit) && b.sent == b.in_head && b.sent != b.in_tail && b.backoff != 0);
  }
  if (type == FrameType::nak) {
    hit("R9 nak: gone back", in_range && b.sent != f.ack);
    hit("R9 nak of what was just sent next: nothing", in_range && b.sent == f.ack);
    hit("R9 stale nak", !in_range);
  }
  hit("R9 probe answered", type == FrameType::probe && a.told_ack == a.out_tail);
  if (type != FrameType::data) return;
  const std::uint32_t size = 1U << b.out_order;
  if (grown(before, after, Counter::drop_gap) != 0) {
    hit("R3 gap: a nak", !has(b, regs::kRowNakSent));
    hit("R3 gap again: no second nak", has(b, regs::kRowNakSent));
    hit("R3 gap of a whole ring", f.seq - b.out_tail == size);
  }
  hit("R3 duplicate", grown(before, after, Counter::drop_duplicate) != 0);
  hit("R3 duplicate from a whole ring ago", b.out_tail - f.seq == size);
  hit("R3 overrun", grown(before, after, Counter::drop_overrun) != 0);
  if (fresh == 0) return;
  hit("R3 new lines after known ones", f.seq != b.out_tail);
  hit("R3 output ring filled to its last line", a.out_tail - a.out_head == size);
  hit("R3 lines over the end of the output ring", (b.out_tail & (size - 1)) + fresh > size);
  hit("R3 OUT_TAIL over the end of 32 bits", a.out_tail < b.out_tail);
  const std::uint32_t quarter = size < 4 ? 1 : size / 4;
  const bool at_once = b.out_tail + fresh - b.told_ack >= quarter;
  hit("R6 acknowledged at once after a quarter", at_once && grown(before, after, Counter::tx_acks) != 0);
  hit("R6 ack timer started", !at_once && !has(b, regs::kRowAckTimer) && has(a, regs::kRowAckTimer));
  hit("R6 ack timer runs already", !at_once && has(b, regs::kRowAckTimer) && has(a, regs::kRowAckTimer));
}

void Coverage::sends(const Deed& deed, std::uint16_t slot) {
  const SlotRow& b = deed.before.rows[slot];
  for (const SentFrame& frame : deed.sent) {
    if (frame.slot != slot) continue;
    const Sent s = decode(frame);
    hit("R4 nak before data that was due", s.header.type == FrameType::nak && deed.sent.size() > 1 &&
                                               decode(deed.sent.back()).header.type == FrameType::data);
    if (s.header.type != FrameType::data) continue;
    const std::uint32_t size = 1U << b.in_order;
    const SlotRow& a = deed.after.rows[slot];
    const std::uint32_t most = deed.figures[b.link].lines_per_frame;
    hit("R4 data up to IN_TAIL", s.lines < most && s.header.seq + s.lines == a.in_tail);
    hit("R4 data up to the lines of a frame", s.lines == most);
    hit("R4 data up to the window", s.lines < most && s.header.seq + s.lines == a.limit);
    hit("R4 data over the end of the input ring", (s.header.seq & (size - 1)) + s.lines > size);
    hit("R4 data over the end of 32 bits", s.header.seq + s.lines < s.header.seq);
    hit("R4 data that carries an acknowledgement", s.header.ack != b.told_ack);
  }
}

void Coverage::add_counters(const std::array<std::uint64_t, regs::kCounterCount>& counters,
                            const std::array<std::uint64_t, regs::kCardCounterCount>& card) {
  for (std::size_t i = 0; i < counters.size(); ++i) counters_[i] += counters[i];
  for (std::size_t i = 0; i < card.size(); ++i) card_counters_[i] += card[i];
}

void Coverage::add(const Coverage& other) {
  for (std::size_t i = 0; i < by_kind_.size(); ++i) by_kind_[i] += other.by_kind_[i];
  for (std::size_t i = 0; i < points_.size(); ++i) points_[i].second += other.points_[i].second;
  add_counters(other.counters_, other.card_counters_);
}

std::vector<std::string> Coverage::missed() const {
  std::vector<std::string> names;
  for (const auto& [name, hits] : points_) {
    if (hits == 0) names.push_back(name);
  }
  for (std::size_t i = 0; i < counters_.size(); ++i) {
    if (counters_[i] == 0) names.push_back("counter " + std::string(regs::name(static_cast<Counter>(i))));
  }
  for (const regs::CardCounter counter : kCardPoints) {
    if (card_counters_[static_cast<std::size_t>(counter)] == 0) {
      names.push_back("card counter " + std::string(regs::name(counter)));
    }
  }
  return names;
}

std::uint64_t Coverage::steps() const {
  std::uint64_t all = 0;
  for (const std::uint64_t n : by_kind_) all += n;
  return all;
}

namespace {
template <std::size_t Kind = 0>
std::string kind_name(std::size_t kind) {
  if constexpr (Kind < kActionKinds) {
    return kind == Kind ? std::string(std::variant_alternative_t<Kind, Action>::kName) : kind_name<Kind + 1>(kind);
  } else {
    return "";
  }
}
std::string table_line(const std::string& name, std::uint64_t value) {
  std::string line = "  " + name;
  line.resize(std::max<std::size_t>(line.size() + 1, 58), ' ');
  return line + std::to_string(value) + "\n";
}
}  // namespace

std::string Coverage::report() const {
  std::string text = "steps\n";
  for (std::size_t i = 0; i < by_kind_.size(); ++i) text += table_line(kind_name(i), by_kind_[i]);
  text += "counters\n";
  for (std::size_t i = 0; i < counters_.size(); ++i) {
    text += table_line(std::string(regs::name(static_cast<Counter>(i))), counters_[i]);
  }
  for (const regs::CardCounter counter : kCardPoints) {
    text += table_line(std::string(regs::name(counter)), card_counters_[static_cast<std::size_t>(counter)]);
  }
  text += "points\n";
  for (const auto& [name, hits] : points_) text += table_line(name, hits);
  return text;
}

}  // namespace slotwire::lockstep
