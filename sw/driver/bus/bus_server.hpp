// A card's host bus on a unix socket (driver/socket_bus_protocol.hpp), for a card that another process serves: a
// simulated card, or one behind XRT. One driver at a time.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "core/slot/memory.hpp"
#include "driver/bus/access_port.hpp"

namespace slotwire::driver {

class BusServer {
 public:
  /// Bytes of the driver that wait for the card, at most; beyond it nothing is read. And bytes that wait for the
  /// driver: beyond it no access is taken; what was taken may add kMaxAccess bytes and the answers that the card has
  /// room for.
  static constexpr std::size_t kKeptBytes = std::size_t{1} << 20;

  /// Listens on `path` (an old socket there is replaced, anything else is left). Throws std::runtime_error.
  BusServer(std::string path, AccessPort& card);
  ~BusServer();
  BusServer(const BusServer&) = delete;
  BusServer& operator=(const BusServer&) = delete;

  /// Takes a driver, its accesses and the card's answers as far as they go now. True: something moved.
  bool poll();
  /// Tells the driver of interrupts.
  void interrupt(std::uint32_t vectors);
  /// To wait on for reading; the listening socket while there is no driver.
  int fd() const { return driver_ ? driver_.get() : listener_.get(); }
  bool has_driver() const { return static_cast<bool>(driver_); }
  /// Bytes that wait for the driver.
  std::size_t waiting() const { return out_.size(); }
  /// Accesses are under way: the card must be clocked.
  bool busy() const { return !reads_.empty() || in_.size() - taken_ != 0 || !out_.empty(); }

 private:
  struct Read {
    std::size_t lines = 0;     ///< of the access
    std::size_t asked = 0;     ///< that the card was asked for
    std::size_t answered = 0;  ///< that came
    std::size_t offset = 0;    ///< of the first byte that was asked for, in the first line
    std::size_t bytes = 0;
    bool error = false;
    std::vector<std::byte> data;
  };

  bool receive();
  bool take_access();
  bool take_answers();
  bool flush();
  void drop(const char* why);

  std::string path_;
  AccessPort& card_;
  slot::Fd listener_, driver_;
  std::vector<std::byte> in_, out_;
  std::size_t taken_ = 0;       ///< bytes of in_ that the card has
  std::size_t lines_done_ = 0;  ///< of the access at its front
  bool started_ = false;        ///< the access at its front is a read that stands in reads_
  std::deque<Read> reads_;
  std::uint32_t vectors_ = 0;      ///< interrupts that the driver was not told of
  std::size_t stale_answers_ = 0;  ///< of a driver that is gone
};

}  // namespace slotwire::driver
