// How often a card that tells nothing by itself is looked at, and what slotwired hears of it.
#include "driver/bus/window_host.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "driver/bus/socket_bus.hpp"
#include "temporary_directory.hpp"

namespace slotwire::driver {
namespace {

using std::chrono::microseconds;
using Clock = std::chrono::steady_clock;

TEST(PollPace, LooksWithoutAPauseWhileSomethingGoesOnAndRarerAndRarerElse) {
  PollPace pace;
  const Clock::time_point start{};
  EXPECT_EQ(pace.next(true, start), microseconds(0));
  EXPECT_EQ(pace.next(false, start + PollPace::kBusy - microseconds(1)), microseconds(0));
  Clock::time_point now = start + PollPace::kBusy;
  microseconds expected = PollPace::kFirst;
  for (int i = 0; i < 10; ++i) {
    const microseconds pause = pace.next(false, now);
    EXPECT_EQ(pause, expected);
    now += pause;
    expected = std::min(2 * expected, PollPace::kLast);
  }
  EXPECT_EQ(pace.next(false, now), PollPace::kLast);
  EXPECT_EQ(pace.next(true, now), microseconds(0));
  EXPECT_EQ(pace.next(false, now + PollPace::kBusy), PollPace::kFirst);
}

/// A card with the pending register and some memory.
class ModelWindow final : public WindowDevice {
 public:
  void write(std::uint32_t offset, std::uint32_t value) override {
    if (offset == kPending) {
      pending.fetch_and(~value);
    } else {
      registers[offset] = value;
    }
  }
  std::uint32_t read(std::uint32_t offset) override {
    if (offset != kPending) return registers[offset];
    ++looks;
    return pending;
  }
  void write_memory(std::size_t, std::span<const std::byte>) override {}
  void read_memory(std::size_t, std::span<std::byte>) override {}

  static constexpr auto kPending = static_cast<std::uint32_t>(regs::kWindowControl + regs::kCtlPending);
  std::map<std::uint32_t, std::uint32_t> registers;
  std::atomic<std::uint32_t> pending = 0;
  std::atomic<int> looks = 0;
};

TEST(WindowHost, ServesADriverAndTellsItOfInterrupts) {
  const test::TemporaryDirectory directory;
  const std::string path = (directory.path() / "bus").string();
  ModelWindow window;
  window.registers[static_cast<std::uint32_t>(regs::kWindowCapabilities)] = regs::kCapMagicValue;
  WindowHost host(window, 64, path, "");
  struct Serving {
    explicit Serving(WindowHost& host) : thread([this, &host] { host.run(stopping); }) {}
    ~Serving() {
      stopping = true;
      thread.join();
    }
    std::atomic<bool> stopping{false};
    std::thread thread;
  };
  {
    const Serving serving(host);
    SocketBus bus(path);
    ASSERT_TRUE(bus.reconnect()) << bus.broken();
    std::uint32_t magic = 0;
    ASSERT_TRUE(bus.read(regs::kCardCapabilities, std::as_writable_bytes(std::span(&magic, 1))));
    EXPECT_EQ(magic, regs::kCapMagicValue);
    window.pending = 5;
    std::uint32_t raised = 0;
    for (const auto end = Clock::now() + std::chrono::seconds(20); raised == 0 && Clock::now() < end;) {
      raised = bus.take_interrupts();
      std::this_thread::yield();
    }
    EXPECT_EQ(raised, 5U);
    bus.write32(regs::kCardControl + regs::kCtlPending, ~std::uint32_t{0});
    ASSERT_TRUE(bus.read(regs::kCardCapabilities, std::as_writable_bytes(std::span(&magic, 1))));
    EXPECT_EQ(window.pending, 0U);
  }
  EXPECT_GT(window.looks, 0);
}

}  // namespace
}  // namespace slotwire::driver
