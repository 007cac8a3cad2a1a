// A card behind a unix socket, in a process of its own: a simulated one, or one that slotwire-xrt-host or
// slotwire-opennic-host serves.
#pragma once
#include <string>
#include <vector>

#include "driver/bus/host_bus.hpp"
#include "driver/bus/timed_socket.hpp"

namespace slotwire::driver {

class SocketBus final : public HostBus {
 public:
  /// A read that is not answered in full for so long, or a write that is not taken, ends the connection.
  static constexpr int kAnswerTimeoutMs = 5000;
  /// Writes that are kept until the next flush or read, at most.
  static constexpr std::size_t kKeptBytes = std::size_t{256} << 10;

  /// Interrupt messages taken in one call of take_interrupts(), and while one read is answered, at most.
  static constexpr std::size_t kMostInterrupts = 1024;

  /// Does not connect yet: see reconnect(). `answer_timeout_ms`: see kAnswerTimeoutMs. `program` serves the card and is
  /// named in errors. Throws std::invalid_argument when the path is too long.
  explicit SocketBus(std::string path, int answer_timeout_ms = kAnswerTimeoutMs,
                     std::string program = TimedSocket::kSimulatedCard);

  void write(std::size_t address, std::span<const std::byte> data) override;
  bool read(std::size_t address, std::span<std::byte> data) override;
  void flush() override;
  std::uint32_t take_interrupts() override;
  int fd() const override { return socket_.fd(); }
  const std::string& broken() const override { return socket_.error(); }
  bool reconnect() override;

 private:
  bool receive_answer(std::span<std::byte> data, bool& there);
  void lost(const std::string& what);

  TimedSocket socket_;
  std::vector<std::byte> kept_;
  std::uint32_t interrupts_ = 0;
};

}  // namespace slotwire::driver
