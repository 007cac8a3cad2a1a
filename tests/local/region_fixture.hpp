// A region of its own for each test, and processes that are attached to it.
#pragma once
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <string>

#include "runtime/blocks/publisher.hpp"
#include "runtime/blocks/subscriber.hpp"

namespace slotwire::blocks::test {

inline Deadline in(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}
/// Longer than anything takes on a machine that is busy with other things.
inline Deadline eventually() {
  return in(std::chrono::seconds(60));
}
inline Deadline at_once() {
  return in(std::chrono::milliseconds(0));
}

/// A process that was forked; killed when it goes. It says things to the test and hears from it by single bytes.
class Process {
 public:
  /// `body` gets functions to say and to hear a byte; the process exits with what it returns, 99 after an exception.
  using Body = std::function<int(Process& self)>;
  explicit Process(const Body& body) {
    std::array<int, 2> there{}, back{};
    if (::pipe(there.data()) != 0 || ::pipe(back.data()) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(there[1]);
      ::close(back[0]);
      in_ = there[0];
      out_ = back[1];
      int status = 99;
      try {
        status = body(*this);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "process: %s\n", error.what());
      }
      ::_exit(status);
    }
    ::close(there[0]);
    ::close(back[1]);
    in_ = back[0];
    out_ = there[1];
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::close(in_);
    ::close(out_);
  }

  void say(char byte = '.') const { EXPECT_EQ(::write(out_, &byte, 1), 1); }
  /// Waits for a byte; 0: the other side has ended.
  char hear() const {
    pollfd ready{in_, POLLIN, 0};
    char byte = 0;
    if (::poll(&ready, 1, 60'000) != 1 || ::read(in_, &byte, 1) != 1) return 0;
    return byte;
  }
  /// Whether hear() would not wait; waits for that at most `wait_ms`.
  bool has_said(int wait_ms) const {
    pollfd ready{in_, POLLIN, 0};
    return ::poll(&ready, 1, wait_ms) == 1;
  }
  /// Kills it at once and waits until it has gone.
  void kill() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  /// Waits for its end; its exit status, or -1 after a signal.
  int wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int in_ = -1, out_ = -1;
};

class RegionTest : public ::testing::Test {
 protected:
  /// A name that no other test uses.
  std::string name_ = "test-" + std::to_string(::getpid());
};

/// Publishes `number` as the content of a message of `bytes`, at least 8.
inline Room publish_number(Publisher& publisher, std::uint64_t number, std::size_t bytes = 8,
                           const Deadline& deadline = eventually()) {
  Publisher::Loan loan;
  if (const Room room = publisher.loan(bytes, deadline, loan); room != Room::yes) return room;
  for (std::size_t i = 0; i + 8 <= bytes; i += 8) std::memcpy(loan.data.data() + i, &number, 8);
  const Room room = publisher.publish(loan, bytes, deadline);
  if (room != Room::yes) publisher.abandon(loan);
  return room;
}

/// The number of a message whose content is whole; ~0: it is damaged.
inline std::uint64_t number_in(const Subscriber::View& view) {
  std::uint64_t number = 0;
  if (view.data.size() < 8) return ~std::uint64_t{0};
  std::memcpy(&number, view.data.data(), 8);
  for (std::size_t i = 0; i + 8 <= view.data.size(); i += 8) {
    if (std::memcmp(view.data.data() + i, &number, 8) != 0) return ~std::uint64_t{0};
  }
  return number;
}

}  // namespace slotwire::blocks::test
