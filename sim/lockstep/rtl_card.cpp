#include "sim/lockstep/rtl_card.hpp"

#include <algorithm>
#include <cstring>

#include "core/pipeline/frame.hpp"

namespace slotwire::lockstep {
namespace {

using regs::SlotState;

bool is_free(const regs::SlotRow& row) {
  return row.state == static_cast<std::uint8_t>(SlotState::free);
}

}  // namespace

RtlCard::~RtlCard() {
  if (core_ && !options_.coverage_file.empty()) {
    core_->write_coverage(options_.coverage_file + "." + std::to_string(shape_.seed));
  }
}

void RtlCard::start(const Program& program) {
  shape_ = program;
  shape_.steps.clear();
  sim::SimCoreOptions options;
  options.kind = options_.kind;
  options.seed = program.seed;
  options.random_memory = options_.random_memory;
  options.memory_latency = options_.memory_latency;
  options.stall_permille = options_.stall_permille;
  options.twins = options_.twins;
  options.trace_file = options_.trace_file;
  options.trace_from = options_.trace_from;
  options.trace_to = options_.trace_to;
  core_ = std::make_unique<sim::SimCore>(options);
  core_->watch(options_.watcher);
  core_->set_now_us(program.start_us);
  driver_ = std::make_unique<sim::SimCardDriver>(*core_);
  driver_->each_clock([this] { take_frames(); });
  observation_.clear();
  problem_.clear();
  places_.assign(program.slots, {});
  rows_.assign(program.slots, {});
  links_.assign(program.links, {});
  core_->reset();
  driver_->configure(own_endpoint());
  const pipeline::LinkParameters figures;
  for (const std::uint16_t link : numbers(program.links)) {
    const sim::Endpoint peer = peer_endpoint(link);
    regs::LinkRow& row = links_[link];
    row.lines_per_frame = figures.lines_per_frame;
    row.rto_us = figures.retransmit_us;
    row.ack_delay_us = figures.ack_delay_us;
    row.rto_max_us = figures.retransmit_max_us;
    row.peer_ip = peer.ip;
    row.peer_port = peer.port;
    row.peer_mac_low = static_cast<std::uint16_t>(peer.mac & 0xffff);
    row.peer_mac_high = static_cast<std::uint32_t>(peer.mac >> 16);
    write_link(link);
  }
  const auto capabilities = driver_->probe();
  if (!capabilities || capabilities->slots != program.slots || capabilities->links < program.links ||
      capabilities->max_ring_order < program.max_order || capabilities->memory_lines < program.memory_lines ||
      capabilities->max_frame_lines < program.frame_lines) {
    problem("the card is too small for the program");
  }
}

void RtlCard::problem(const std::string& what) {
  if (problem_.empty()) problem_ = what;
}

void RtlCard::apply(const Action& action, Microseconds now) {
  core_->set_now_us(now);
  std::visit([&](const auto& a) { on(a); }, action);
}

std::string RtlCard::settle(Microseconds /*now*/) {
  frames_ = 0;
  if (!driver_->rest()) problem(driver_->error());
  core_->refuse_write(0, 0, 0);
  return problem_;
}

void RtlCard::take_frames() {
  for (sim::FrameQueue& queue = core_->wire_out(); !queue.empty(); queue.pop()) {
    const sim::FrameQueue::Frame frame = queue.front();
    if (++frames_ > kMaxFrames) return problem("the card sends without an end");
    SentFrame sent{kPassed, frame.last_clock, Bytes(frame.bytes.begin(), frame.bytes.end())};
    // Only the card sends datagrams of at least a header from its own port to a peer; the host's frames go elsewhere.
    if (sent.bytes.size() >= sim::kCarrierBytes + regs::kHeaderBytes) {
      const auto number = [&](std::size_t at, std::size_t bytes) {
        std::uint32_t value = 0;
        for (std::size_t i = 0; i < bytes; ++i)
          value = (value << 8) | std::to_integer<std::uint32_t>(sent.bytes[at + i]);
        return value;
      };
      const bool ours = number(sim::kEthernetBytes + 16, 4) - peer_endpoint(0).ip < shape_.links;
      if (ours) {
        sent.slot =
            pipeline::decode(std::span<const std::byte>(sent.bytes).subspan<sim::kCarrierBytes, regs::kHeaderBytes>())
                .src_slot;
      }
    }
    observation_.wire.push_back(std::move(sent));
  }
  for (sim::FrameQueue& queue = core_->to_host(); !queue.empty(); queue.pop()) {
    const auto bytes = queue.front().bytes;
    observation_.to_host.emplace_back(bytes.begin(), bytes.end());
  }
}

void RtlCard::on(const Write& a) {
  const regs::SlotRow& row = places_[a.slot];
  if (is_free(row)) return;
  const std::uint32_t size = 1U << row.in_order;
  for (std::uint32_t i = 0; i < std::min<std::uint32_t>(a.lines, size); ++i) {
    sim::Line line;
    fill_line(line.data(), a.fill, a.at + i);
    driver_->write_line(sim::SimCardDriver::memory_address(row.in_base + ((a.at + i) & (size - 1))), line);
  }
}

void RtlCard::push(sim::FrameQueue& queue, const Bytes& frame, bool damaged) {
  for (std::uint64_t n = 0; queue.full(); ++n) {
    if (n == sim::SimCardDriver::kPatience) return problem("a port takes no frames");
    driver_->clock();
  }
  queue.push(frame, damaged);
}

void RtlCard::on(const FrameIn& a) {
  build_frame(a, frame_);
  push(core_->wire_in(), frame_, a.damaged != 0);
}

void RtlCard::on(const RefusedFrame& a) {
  const regs::SlotRow& row = places_[a.dst_slot];
  if (!is_free(row)) core_->refuse_write(row.out_base, 1U << row.out_order, a.nth);
  on(a.frame());
}

void RtlCard::on(const Stray& a) {
  build_frame(a, frame_);
  push(a.from_host != 0 ? core_->from_host() : core_->wire_in(), frame_, a.damaged != 0);
}

/// New rings hold zeros, so that lines that nobody wrote are the same on both sides.
void RtlCard::clear_lines(std::uint32_t base, std::uint32_t lines) {
  for (std::uint32_t i = 0; i < lines; ++i) {
    if (core_->own_memory()) {
      core_->memory(base + i) = {};
    } else {
      driver_->write_line(sim::SimCardDriver::memory_address(base + i), {});
    }
  }
  if (core_->own_memory()) return;
  if (!driver_->rest()) problem(driver_->error());
  core_->clear_written();
}

void RtlCard::on(const Bind& a) {
  if (!is_free(rows_[a.slot])) return;
  regs::SlotRow row{};
  row.state = static_cast<std::uint8_t>(SlotState::bound);
  row.in_order = a.in_order;
  row.out_order = a.out_order;
  row.link = a.link;
  row.peer_slot = a.peer_slot;
  row.epoch = a.epoch;
  row.in_tail = a.in_tail;
  row.in_head = a.in_head;
  row.out_tail = a.out_tail;
  row.out_head = a.out_head;
  row.limit = a.in_head + a.credit;
  row.in_base = shape_.base(a.slot, false, a.in_order, a.in_place);
  row.out_base = shape_.base(a.slot, true, a.out_order, a.out_place);
  places_[a.slot] = row;
  clear_lines(row.in_base, 1U << a.in_order);
  clear_lines(row.out_base, 1U << a.out_order);
  driver_->write_row(a.slot, row);
}

void RtlCard::on(const Unbind& a) {
  if (is_free(rows_[a.slot])) return;
  places_[a.slot] = {};
  driver_->write_row(a.slot, {});
}

void RtlCard::write_link(std::uint16_t link) {
  driver_->write_link(link, links_[link]);
}

void RtlCard::on(const Figures& a) {
  regs::LinkRow& row = links_[a.link];
  row.lines_per_frame = a.lines_per_frame;
  row.rto_us = a.rto_us;
  row.rto_max_us = a.rto_max_us;
  row.ack_delay_us = a.ack_delay_us;
  write_link(a.link);
}

void RtlCard::on(const LinkUp& a) {
  links_[a.link].up = 1;
  write_link(a.link);
  driver_->command(regs::CardCommand::link_up, a.link);
}

void RtlCard::on(const LinkDown& a) {
  links_[a.link].up = 0;
  write_link(a.link);
  driver_->command(regs::CardCommand::link_down, a.link);
}

void RtlCard::on(const FaultSlot& a) {
  driver_->command(regs::CardCommand::fault, a.slot, static_cast<regs::Fault>(a.cause));
}

void RtlCard::on(const Reset&) {
  core_->reset();
  driver_->forget_writes();
  driver_->configure(own_endpoint());
  for (const std::uint16_t link : numbers(links_.size())) {
    regs::LinkRow down = links_[link];
    down.up = 0;
    driver_->write_link(link, down);
  }
  for (const std::uint16_t slot : numbers(rows_.size())) {
    if (is_free(rows_[slot])) continue;
    // The kept fields, with no credit: whoever takes over knows nothing of the window (R9).
    regs::SlotRow row = rows_[slot];
    row.flags = 0;
    if (row.state == static_cast<std::uint8_t>(SlotState::bound)) {
      row.backoff = 0;
      row.limit = row.in_head;
    }
    row.in_base = places_[slot].in_base;
    row.out_base = places_[slot].out_base;
    driver_->write_row(slot, row);
  }
  // A slot that still waits for its turn when the link's row says up would send before the command is there.
  if (!driver_->rest()) problem(driver_->error());
  for (const std::uint16_t link : numbers(links_.size())) {
    if (links_[link].up == 0) continue;
    write_link(link);
    driver_->command(regs::CardCommand::link_up, link);
  }
}

void RtlCard::sort_written(Observation& out) {
  if (core_->written_overflow()) problem("the card wrote more lines than it can in one step");
  for (const std::uint32_t line : core_->written_lines()) {
    const std::uint32_t region = line / shape_.region_lines();
    const auto slot = static_cast<std::uint16_t>(region / 2);
    if (slot >= places_.size() || is_free(places_[slot])) {
      out.wrong = "line " + std::to_string(line) + " of slot memory was written, which is nobody's";
      continue;
    }
    const regs::SlotRow& row = places_[slot];
    const bool output = region % 2 != 0;
    const std::uint32_t base = output ? row.out_base : row.in_base;
    const unsigned order = output ? row.out_order : row.in_order;
    if (line - base >= 1U << order) {
      out.wrong = "line " + std::to_string(line) + " of slot memory was written, beside the rings of slot " +
                  std::to_string(slot);
      continue;
    }
    // The host's own writes go to input rings.
    const LineWritten written{slot, line - base};
    if (output && std::find(out.written.begin(), out.written.end(), written) == out.written.end()) {
      out.written.push_back(written);
    }
  }
  core_->clear_written();
}

void RtlCard::observe(Observation& out) {
  std::swap(out, observation_);
  observation_.clear();
  // Rows, and the marks of those that are not free.
  addresses_.clear();
  for (const std::uint16_t slot : numbers(rows_.size())) addresses_.push_back(sim::SimCardDriver::row_address(slot));
  lines_.resize(addresses_.size());
  if (!driver_->read_lines(addresses_, lines_)) problem(driver_->error());
  for (std::size_t slot = 0; slot < rows_.size(); ++slot)
    std::memcpy(&rows_[slot], lines_[slot].data(), sizeof rows_[slot]);
  out.rows = rows_;
  addresses_.clear();
  for (const std::uint16_t slot : numbers(rows_.size())) {
    if (is_free(rows_[slot])) continue;
    addresses_.push_back(sim::SimCardDriver::proxy_page(slot) + static_cast<std::uint32_t>(regs::kOutTail));
    addresses_.push_back(sim::SimCardDriver::proxy_page(slot) + static_cast<std::uint32_t>(regs::kInHead));
  }
  lines_.resize(addresses_.size());
  if (!driver_->read_lines(addresses_, lines_)) problem(driver_->error());
  out.marks.assign(rows_.size(), {});
  std::size_t at = 0;
  for (std::size_t slot = 0; slot < rows_.size(); ++slot) {
    if (is_free(rows_[slot])) continue;
    std::memcpy(&out.marks[slot].out_tail, lines_[at++].data(), sizeof(Position));
    std::memcpy(&out.marks[slot].in_head, lines_[at++].data(), sizeof(Position));
  }
  sort_written(out);
  // What the driver does to look is left out of what is compared.
  const std::uint64_t writes = driver_->writes();
  if (!driver_->read_counters(out.counters, out.card_counters)) problem(driver_->error());
  std::uint64_t& counted = out.card_counters[static_cast<std::size_t>(regs::CardCounter::host_writes)];
  counted -= std::min(counted, writes);
  for (std::size_t n = 0; n <= rows_.size(); ++n) {
    const auto event = driver_->pop_event();
    if (!event) break;
    out.events.push_back(*event);
  }
  for (std::size_t n = 0; n <= rows_.size(); ++n) {
    const auto slot = driver_->pop_moved();
    if (!slot) break;
    out.moved.push_back(*slot);
  }
  if (!problem_.empty()) out.wrong = problem_;
  if (!core_->violation().empty()) out.wrong = core_->violation();
  out.clock = core_->now();
}

void RtlCard::out_line(std::uint16_t slot, std::uint32_t index, std::span<std::byte, regs::kLineBytes> line) {
  const std::uint32_t at = places_[slot].out_base + index;
  if (core_->own_memory()) {
    std::memcpy(line.data(), core_->memory(at).data(), line.size());
    return;
  }
  const auto read = driver_->read_line(sim::SimCardDriver::memory_address(at));
  if (read) std::memcpy(line.data(), read->data(), line.size());
}

}  // namespace slotwire::lockstep
