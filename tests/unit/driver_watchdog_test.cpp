// The watchdog of calls into XRT: it ends the process when one does not return, and leaves it alone else.
#include "driver/bus/xrt/watchdog.hpp"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

namespace slotwire::driver {
namespace {

using std::chrono::milliseconds;

/// A call that does not return in any time that a test waits.
void never() {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable nothing;
  nothing.wait_for(lock, std::chrono::minutes(10), [] { return false; });
}

TEST(WatchdogDeathTest, ACallThatDoesNotReturnEndsTheProcessWithItsNameAndARemedy) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        Watchdog dog("0000:3b:00.1", milliseconds(40));
        const Watchdog::Call call(dog, "reading a register");
        never();
      },
      testing::ExitedWithCode(Watchdog::kExitStatus),
      "device 0000:3b:00.1: reading a register did not return in 40 ms; .* slotwired goes on in software.*xbutil "
      "reset");
}

TEST(WatchdogDeathTest, ACallThatMayTakeLongerIsGivenItsTime) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        Watchdog dog("0", milliseconds(20));
        const Watchdog::Call call(dog, "loading the xclbin", 5);
        never();
      },
      testing::ExitedWithCode(Watchdog::kExitStatus), "loading the xclbin did not return in 100 ms");
}

TEST(Watchdog, CallsThatReturnAndNoCallsAtAllAreLeftAlone) {
  Watchdog dog("0", milliseconds(2000));
  const auto end = std::chrono::steady_clock::now() + milliseconds(50);
  while (std::chrono::steady_clock::now() < end) {
    const Watchdog::Call call(dog, "reading a register");
  }
}

}  // namespace
}  // namespace slotwire::driver
