// Two hosts with a PCIe card each and the wire between them, for the tests of the shell.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "card_host.hpp"
#include "sim/pci/pcie_shell.hpp"

namespace slotwire::sim {

using Bridge = PcieShell::Bridge;
inline constexpr std::uint64_t kPatience = 400'000;  ///< clocks for everything in a test to arrive
inline constexpr std::uint64_t kMessageAt = 0xfee0'0000;

inline std::vector<std::byte> pattern(std::size_t bytes, unsigned seed) {
  std::vector<std::byte> data(bytes);
  for (std::size_t i = 0; i < bytes; ++i) data[i] = static_cast<std::byte>(i * 13 + i / 64 * 7 + seed);
  return data;
}

class Host {
 public:
  Host(unsigned number, const PcieShellOptions& options)
      : shell(options), card(number, std::make_unique<PciePort>(shell)) {}

  /// The completion of a read that was made.
  Bridge::Completion wait(std::uint64_t tag) {
    for (std::uint64_t i = 0; !shell.bridge().completed(tag) && i < kPatience; ++i) shell.clock(1);
    const auto completion = shell.bridge().take(tag);
    if (!completion) ADD_FAILURE() << "no completion";
    return completion.value_or(Bridge::Completion{Bridge::Status::timed_out, {}});
  }
  Bridge::Completion read(unsigned bar, std::uint64_t offset, std::size_t bytes) {
    return wait(shell.bridge().read(bar, offset, bytes));
  }
  std::uint64_t counter(regs::CardCounter counter) {
    return card.read32(regs::kCardCapabilities + regs::kCapCardCounters + 8 * static_cast<std::size_t>(counter));
  }
  regs::SlotRow row(std::uint16_t slot) {
    const auto completion =
        read(regs::kPciRegistersBar, regs::kCardSlotRows + slot * regs::kLineBytes, sizeof(regs::SlotRow));
    regs::SlotRow row{};
    std::memcpy(&row, completion.data.data(), sizeof row);
    return row;
  }

  /// A frame of the host's own, which is remembered as the wire shows it.
  void send(const std::vector<std::byte>& frame) {
    ASSERT_TRUE(shell.from_host.push(frame));
    own_frames.push_back(frame);
    own_frames.back().resize(std::max(frame.size(), PcieShell::kLeastFrame));
  }
  bool sent(std::span<const std::byte> frame) const {
    return std::any_of(own_frames.begin(), own_frames.end(),
                       [&](const auto& own) { return std::equal(own.begin(), own.end(), frame.begin(), frame.end()); });
  }

  PcieShell shell;
  CardHost card;
  std::vector<std::vector<std::byte>> own_frames;
};

/// A frame of the card that is as long as its IPv4 header says.
inline bool is_link_frame(std::span<const std::byte> frame) {
  const auto word = [&](std::size_t at) {
    return std::to_integer<std::size_t>(frame[at]) << 8 | std::to_integer<std::size_t>(frame[at + 1]);
  };
  return frame.size() >= regs::kLineBytes && word(12) == 0x0800 && frame[23] == std::byte{17} &&
         word(16) + 14 == frame.size();
}

struct Wire {
  void carry(Host& from, Host& to) const {
    while (!from.shell.wire_out.empty()) {
      const auto frame = from.shell.wire_out.front().bytes;
      EXPECT_TRUE(is_link_frame(frame) || from.sent(frame)) << "a frame of " << frame.size() << " bytes on the wire";
      ++count;
      if (lose_every == 0 || count % lose_every != 0) to.shell.wire_in.push(from.shell.wire_out.front().bytes);
      from.shell.wire_out.pop();
    }
  }
  unsigned lose_every = 0;
  mutable unsigned count = 0;
};

/// Lets both run, and their frames pass, for so many clocks.
inline void run(Host& a, Host& b, std::uint64_t clocks, const Wire& there = {}, const Wire& back = {}) {
  for (std::uint64_t i = 0; i < clocks; i += 10) {
    a.shell.clock(10);
    b.shell.clock(10);
    there.carry(a, b);
    back.carry(b, a);
  }
}

}  // namespace slotwire::sim
