// What the tests of the shells share: a driver of a card behind a window or another port, with one slot over one link,
// and lines that both ends know.
#pragma once
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "driver/bus/window_port.hpp"

namespace slotwire::sim {

class CardHost {
 public:
  static constexpr std::uint32_t kInBase = 64, kOutBase = 128;  ///< lines of slot memory
  static constexpr std::uint8_t kOrder = 4;
  static constexpr std::uint32_t kRing = 1U << kOrder;
  static constexpr std::uint16_t kSlot = 5, kLink = 2;

  CardHost(unsigned number, driver::WindowDevice& window, std::uint32_t memory_lines)
      : CardHost(number, std::make_unique<driver::WindowPort>(window, memory_lines)) {}
  CardHost(unsigned number, std::unique_ptr<driver::AccessPort> port)
      : number_(number), owned_(std::move(port)), port_(*owned_) {}

  void write32(std::size_t address, std::uint32_t value) {
    driver::AccessPort::Bytes line{};
    std::memcpy(line.data() + address % regs::kLineBytes, &value, sizeof value);
    port_.write(static_cast<std::uint32_t>(address / regs::kLineBytes * regs::kLineBytes), line,
                std::uint64_t{0xf} << address % regs::kLineBytes);
  }
  std::uint32_t read32(std::size_t address) {
    port_.read_words(static_cast<std::uint32_t>(address / regs::kLineBytes * regs::kLineBytes),
                     static_cast<std::uint16_t>(1U << address % regs::kLineBytes / 4));
    const driver::AccessPort::Reply reply = port_.take_answer();
    std::uint32_t value = 0;
    std::memcpy(&value, reply.data.data() + address % regs::kLineBytes, sizeof value);
    return reply.error ? 0xdeadbeef : value;
  }
  template <typename Row>
  void write_row(std::size_t address, const Row& row) {
    driver::AccessPort::Bytes line{};
    std::memcpy(line.data(), &row, sizeof row);
    port_.write(static_cast<std::uint32_t>(address), line, ~std::uint64_t{0});
  }
  static std::uint32_t ip(unsigned n) { return 0x0a630000U + n; }

  /// Own address, the link to `peer` and one slot over it.
  void configure(unsigned peer) {
    write32(regs::kCardControl + regs::kCtlOwnIp, ip(number_));
    write32(regs::kCardControl + regs::kCtlOwnPort, regs::kUdpPort);
    write32(regs::kCardControl + regs::kCtlOwnMacHigh, 0x02000000);
    write32(regs::kCardControl + regs::kCtlOwnMacLow, number_);
    write32(regs::kCardControl + regs::kCtlEnabled, 1);
    regs::LinkRow link{};
    link.up = 1;
    link.lines_per_frame = 20;
    link.rto_us = 3000;
    link.rto_max_us = 20000;
    link.ack_delay_us = 300;
    link.peer_ip = ip(peer);
    link.peer_port = regs::kUdpPort;
    link.peer_mac_high = 0x02000000;
    link.peer_mac_low = static_cast<std::uint16_t>(peer);
    write_row(regs::kCardLinkRows + kLink * regs::kLineBytes, link);
    regs::SlotRow row{};
    row.state = static_cast<std::uint8_t>(regs::SlotState::bound);
    row.in_order = row.out_order = kOrder;
    row.link = kLink;
    row.peer_slot = kSlot;
    row.epoch = 77;
    row.limit = kRing;
    row.in_base = kInBase;
    row.out_base = out_base;
    write_row(regs::kCardSlotRows + kSlot * regs::kLineBytes, row);
    write32(regs::kCardControl + regs::kCtlCommand,
            static_cast<std::uint32_t>(regs::CardCommand::link_up) | std::uint32_t{kLink} << 16);
  }
  /// Produces as many lines as there is room for, of a count that both ends know.
  void produce(std::uint32_t end) {
    const std::uint32_t released = read32(regs::kCardProxyPages + kSlot * regs::kPageBytes + regs::kInHead);
    while (produced != end && produced - released < kRing) {
      driver::AccessPort::Bytes line{};
      for (std::size_t i = 0; i < line.size(); ++i) line[i] = byte(number_, produced, i);
      port_.write(static_cast<std::uint32_t>(regs::kCardMemory + (kInBase + produced % kRing) * regs::kLineBytes), line,
                  ~std::uint64_t{0});
      ++produced;
    }
    write32(regs::kCardProcessPages + kSlot * regs::kPageBytes + regs::kInTail, produced);
  }
  /// Takes what was delivered; false: a line is not what the peer wrote.
  bool consume(unsigned peer) {
    const std::uint32_t delivered = read32(regs::kCardProxyPages + kSlot * regs::kPageBytes + regs::kOutTail);
    for (; consumed != delivered; ++consumed) {
      port_.read(static_cast<std::uint32_t>(regs::kCardMemory + (kOutBase + consumed % kRing) * regs::kLineBytes));
      const driver::AccessPort::Reply reply = port_.take_answer();
      for (std::size_t i = 0; i < reply.data.size(); ++i) {
        if (reply.data[i] != byte(peer, consumed, i)) return false;
      }
    }
    write32(regs::kCardProcessPages + kSlot * regs::kPageBytes + regs::kOutHead, consumed);
    return true;
  }
  static std::byte byte(unsigned host, std::uint32_t line, std::size_t i) {
    return static_cast<std::byte>(host * 101 + line * 31 + i * 7);
  }

  std::uint32_t produced = 0, consumed = 0;
  std::uint32_t out_base = kOutBase;  ///< of the slot that configure() binds

 private:
  unsigned number_;
  std::unique_ptr<driver::AccessPort> owned_;
  driver::AccessPort& port_;
};

}  // namespace slotwire::sim
