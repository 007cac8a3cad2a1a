// A simulated card's host port made of variables.
#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "driver/bus/access_port.hpp"

namespace slotwire::test {

inline constexpr std::uint32_t kAddressEnd = std::uint32_t{1} << regs::kCardAddressBits;

/// Takes `room` accesses at a time and answers when clocked.
class ModelPort final : public driver::AccessPort {
 public:
  bool write(std::uint32_t address, const Bytes& data, std::uint64_t strobes) override {
    check(address);
    if (room == 0) return false;
    --room;
    for (std::size_t i = 0; i < data.size(); ++i) {
      if ((strobes >> i & 1) != 0) memory[address][i] = data[i];
    }
    ++writes;
    return true;
  }
  bool read(std::uint32_t address) override {
    check(address);
    if (room == 0) return false;
    --room;
    asked.push_back(address);
    return true;
  }
  bool answered() const override { return !answers.empty(); }
  Reply take_answer() override {
    const Reply reply = answers.front();
    answers.pop_front();
    return reply;
  }
  void clock(std::size_t new_room = 256) {
    room = new_room;
    for (const std::uint32_t address : asked) answers.push_back({memory[address], address >= nothing_from});
    asked.clear();
  }
  std::size_t room = 256, writes = 0;
  std::uint32_t nothing_from = kAddressEnd;
  std::map<std::uint32_t, Bytes> memory;
  std::vector<std::uint32_t> asked;
  std::deque<Reply> answers;

 private:
  static void check(std::uint32_t address) {
    EXPECT_EQ(address % regs::kLineBytes, 0U);
    EXPECT_LT(address, kAddressEnd);
  }
};

}  // namespace slotwire::test
