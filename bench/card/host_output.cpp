#include "host_output.hpp"

#include <array>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "sim/pci/pcie_shell.hpp"
#include "sim/random.hpp"

namespace slotwire::bench {
namespace {

using sim::PciePort;
using sim::PcieShell;

constexpr std::uint16_t kSlot = 5, kLink = 2;
constexpr std::uint8_t kOrder = 6;
constexpr std::uint32_t kInBase = 64;  ///< a line of slot memory
constexpr std::uint64_t kRingAt = 0x10'0000'0000, kMarksAt = 0x20'0000'0000;
constexpr std::uint64_t kPatience = 100'000;  ///< clocks
constexpr std::uint32_t kNever = 1'000'000;   ///< microseconds

std::uint32_t ip(unsigned number) {
  return 0x0a630000U + number;
}

class Host {
 public:
  Host(unsigned number, unsigned peer, std::uint64_t seed, std::uint64_t answer_clocks)
      : shell({.seed = seed, .answer_clocks = answer_clocks, .least_answer_clocks = answer_clocks}), port_(shell) {
    write32(regs::kCardControl + regs::kCtlOwnIp, ip(number));
    write32(regs::kCardControl + regs::kCtlOwnPort, regs::kUdpPort);
    write32(regs::kCardControl + regs::kCtlOwnMacHigh, 0x02000000);
    write32(regs::kCardControl + regs::kCtlOwnMacLow, number);
    regs::LinkRow link{};
    link.up = 1;
    link.lines_per_frame = 20;
    link.rto_us = link.rto_max_us = link.ack_delay_us = kNever;
    link.peer_ip = ip(peer);
    link.peer_port = regs::kUdpPort;
    link.peer_mac_high = 0x02000000;
    link.peer_mac_low = static_cast<std::uint16_t>(peer);
    write_row(regs::kCardLinkRows + kLink * regs::kLineBytes, link);
    shell.memory().map(kRingAt, std::size_t{regs::kLineBytes} << kOrder);
    shell.memory().map(kMarksAt, regs::kPageBytes);
    regs::DmaRow dma{};
    dma.valid = 1;
    dma.order = kOrder;
    dma.ring_low = static_cast<std::uint32_t>(kRingAt);
    dma.ring_high = static_cast<std::uint32_t>(kRingAt >> 32);
    dma.marks_low = static_cast<std::uint32_t>(kMarksAt);
    dma.marks_high = static_cast<std::uint32_t>(kMarksAt >> 32);
    write_row(regs::kCardDmaRows + kSlot * regs::kLineBytes, dma);
    regs::SlotRow row{};
    row.state = static_cast<std::uint8_t>(regs::SlotState::bound);
    row.in_order = row.out_order = kOrder;
    row.link = kLink;
    row.peer_slot = kSlot;
    row.epoch = 77;
    row.limit = 1U << kOrder;
    row.in_base = kInBase;
    row.out_base = regs::kRowBaseDma;
    write_row(regs::kCardSlotRows + kSlot * regs::kLineBytes, row);
    write32(regs::kCardControl + regs::kCtlCommand,
            static_cast<std::uint32_t>(regs::CardCommand::link_up) | std::uint32_t{kLink} << 16);
  }
  void write32(std::size_t address, std::uint32_t value) {
    driver::AccessPort::Bytes line{};
    std::memcpy(line.data() + address % regs::kLineBytes, &value, sizeof value);
    port_.write(static_cast<std::uint32_t>(address / regs::kLineBytes * regs::kLineBytes), line,
                std::uint64_t{0xf} << address % regs::kLineBytes);
  }
  void doorbell(std::size_t mark, std::uint32_t value) {
    write32(regs::kCardProcessPages + kSlot * regs::kPageBytes + mark, value);
  }
  void produce(std::uint32_t lines) {
    for (; lines != 0; --lines, ++produced_) {
      driver::AccessPort::Bytes line{};
      line[0] = static_cast<std::byte>(produced_);
      const std::uint32_t at = kInBase + (produced_ & ((1U << kOrder) - 1));
      port_.write(static_cast<std::uint32_t>(regs::kCardMemory + at * regs::kLineBytes), line, ~std::uint64_t{0});
    }
    doorbell(regs::kInTail, produced_);
  }
  std::uint32_t out_tail() { return shell.memory().word(kMarksAt + regs::kMarkTail); }
  bool has_line(std::uint32_t line) {
    const auto at = kRingAt + (line & ((1U << kOrder) - 1)) * std::uint64_t{regs::kLineBytes};
    return shell.memory().line(at)[0] == static_cast<std::byte>(line);
  }

  PcieShell shell;

 private:
  template <typename Row>
  void write_row(std::size_t address, const Row& row) {
    driver::AccessPort::Bytes line{};
    std::memcpy(line.data(), &row, sizeof row);
    port_.write(static_cast<std::uint32_t>(address), line, ~std::uint64_t{0});
  }

  PciePort port_;
  std::uint32_t produced_ = 0;
};

void step(Host& a, Host& b) {
  a.shell.clock(1);
  b.shell.clock(1);
  for (auto [from, to] : {std::pair{&a, &b}, {&b, &a}}) {
    for (; !from->shell.wire_out.empty(); from->shell.wire_out.pop()) {
      to->shell.wire_in.push(from->shell.wire_out.front().bytes);
    }
  }
}

double ns(std::uint64_t from_ps, std::uint64_t to_ps) {
  return static_cast<double>(to_ps - from_ps) / 1000;
}

}  // namespace

HostOutputTimes measure_host_output(std::uint64_t seed, std::uint32_t lines, unsigned messages,
                                    std::uint64_t answer_clocks) {
  Host a(1, 2, seed, answer_clocks), b(2, 1, seed + 1000, answer_clocks);
  sim::Random random(seed);
  HostOutputTimes times;
  std::uint32_t delivered = 0;
  for (std::uint64_t i = 0; i < 5000; ++i) step(a, b);
  for (unsigned message = 0; message < messages; ++message) {
    // The two clocks of a card at any distance.
    for (std::uint64_t rest = random.between(500, 700); rest != 0; --rest) step(a, b);
    a.produce(lines);
    for (std::uint64_t i = 0; b.out_tail() != delivered + lines; ++i) {
      if (i == kPatience) throw std::runtime_error("host output: a mark does not arrive");
      step(a, b);
    }
    for (; lines != 0 && delivered != b.out_tail(); ++delivered) {
      if (!b.has_line(delivered)) throw std::runtime_error("host output: a line is not there when its mark is");
    }
    times.doorbell_to_wire_ns += ns(a.shell.seen().host_write, a.shell.seen().wire_out) / messages;
    times.wire_to_mark_ns += ns(b.shell.seen().wire_in, b.shell.seen().memory_write) / messages;
    b.doorbell(regs::kOutHead, delivered);
  }
  for (const auto& violation : {a.shell.violation(), b.shell.violation()}) {
    if (!violation.empty()) throw std::runtime_error("host output: " + violation);
  }
  return times;
}

}  // namespace slotwire::bench
