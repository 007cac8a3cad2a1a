// A card behind a unix socket: a simulated card in a process of its own.
#pragma once
#include <chrono>
#include <string>
#include <vector>

#include "driver/host_bus.hpp"
#include "slot/memory.hpp"

namespace slotwire::driver {

class SocketBus final : public HostBus {
 public:
  /// A read that is not answered in full for so long, or a write that is not taken, ends the connection.
  static constexpr int kAnswerTimeoutMs = 5000;
  /// Writes that are kept until the next flush or read, at most.
  static constexpr std::size_t kKeptBytes = std::size_t{256} << 10;

  /// Interrupt messages taken in one call of take_interrupts(), and while one read is answered, at most.
  static constexpr std::size_t kMostInterrupts = 1024;

  /// Does not connect yet: see reconnect(). `answer_timeout_ms`: see kAnswerTimeoutMs. Throws std::invalid_argument
  /// when the path is too long.
  explicit SocketBus(std::string path, int answer_timeout_ms = kAnswerTimeoutMs);

  void write(std::size_t address, std::span<const std::byte> data) override;
  bool read(std::size_t address, std::span<std::byte> data) override;
  void flush() override;
  std::uint32_t take_interrupts() override;
  int fd() const override { return socket_.get(); }
  const std::string& broken() const override { return broken_; }
  bool reconnect() override;

 private:
  using Clock = std::chrono::steady_clock;

  Clock::time_point deadline() const { return Clock::now() + std::chrono::milliseconds(answer_timeout_ms_); }
  bool wait_for(short events, Clock::time_point until, const char* what);
  bool send_all(std::span<const std::byte> bytes);
  bool receive_all(std::span<std::byte> bytes, Clock::time_point until);
  bool receive_answer(std::span<std::byte> data, bool& there);
  void lost(const std::string& what);

  std::string path_;
  int answer_timeout_ms_;
  slot::Fd socket_;
  std::string broken_;
  std::vector<std::byte> kept_;
  std::uint32_t interrupts_ = 0;
};

}  // namespace slotwire::driver
