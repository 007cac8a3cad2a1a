// A keeper in a directory of the test's, and what is stored in it.
#pragma once
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <string>

#include "core/slot/memory.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/reactor.hpp"
#include "runtime/engine/recovery/keeper.hpp"
#include "runtime/engine/sessions/credentials.hpp"
#include "temporary_directory.hpp"

namespace slotwire::engine {

using slot::Fd;

inline constexpr int kDeadlineMs = 20'000;
inline constexpr const char* kNode = "node-1";

inline bool readable(int fd, int timeout_ms = kDeadlineMs) {
  pollfd wait{fd, POLLIN, 0};
  return poll(&wait, 1, timeout_ms) == 1;
}

inline Fd memory_with(const std::string& text) {
  Fd fd(memfd_create("keeper-test", MFD_CLOEXEC));
  EXPECT_EQ(write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  return fd;
}

inline std::string content(const Fd& fd) {
  std::array<char, 256> buffer{};
  const ssize_t size = pread(fd.get(), buffer.data(), buffer.size(), 0);
  return size < 0 ? "" : std::string(buffer.data(), static_cast<std::size_t>(size));
}

inline Result<void> store(Keeper& keeper, std::uint64_t tag, const Fd& fd) {
  const std::array<int, 1> fds{fd.get()};
  return keeper.store(tag, fds);
}

class EngineKeeper : public testing::Test {
 protected:
  void TearDown() override {
    // Whatever a test left is told to go; its process must not outlive the test.
    if (!std::filesystem::exists(socket_path())) return;
    auto keeper = Keeper::attach(dir_.path(), kNode);
    const auto watch = PidFd::open(keeper.pid());
    EXPECT_TRUE(keeper.quit().ok());
    EXPECT_TRUE(!watch.ok() || readable(watch.value().fd()));
  }
  Keeper attach(const KeeperOptions& options = {}) { return Keeper::attach(dir_.path(), kNode, options); }
  std::filesystem::path socket_path() const { return keeper_socket_path(dir_.path(), kNode); }
  std::filesystem::path lock_path() const { return keeper_lock_path(dir_.path(), kNode); }

  test::TemporaryDirectory dir_;
};

class SlowKeeper : public EngineKeeper {
 protected:
  /// Takes what the keeper has to say until `done`.
  void run_until(const std::function<bool()>& done) {
    const std::uint64_t end = monotonic_us() + std::uint64_t{kDeadlineMs} * 1000;
    while (!done()) {
      ASSERT_LT(monotonic_us(), end) << "it never came";
      loop_.run(10'000);
    }
  }
  /// Stores, whether the answer comes at once or not.
  void store_in_the_end(Keeper& keeper, std::uint64_t tag, const Fd& fd) {
    while (true) {
      const Result<void> stored = store(keeper, tag, fd);
      if (stored.ok()) return;
      ASSERT_FALSE(keeper.ready()) << stored.error().text;
      run_until([&] { return keeper.ready(); });
    }
  }
  std::string fetched(Keeper& keeper, std::uint64_t tag) {
    auto fds = keeper.fetch(tag);
    while (!fds.ok() && !keeper.ready()) {
      run_until([&] { return keeper.ready(); });
      fds = keeper.fetch(tag);
    }
    return fds.ok() ? content(fds.value().at(0)) : fds.error().text;
  }
  Reactor loop_;
};

}  // namespace slotwire::engine
