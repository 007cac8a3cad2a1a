// For tests: a Server in a loop and thread of its own. Its handler answers what is asked for by the path.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "runtime/http/server.hpp"

namespace slotwire::test {

/// Serves "/s". "/s/echo" is answered with its body at once, "/s/hold" by release(), "/s/large" with kLargeBytes.
/// Channels echo their messages.
class Site final : private http::ServerHandler {
 public:
  static constexpr std::size_t kLargeBytes = std::size_t{16} << 20U;

  using Adjust = std::function<void(http::ServerOptions&)>;
  explicit Site(const Adjust& adjust = nullptr);
  ~Site() override;
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;

  std::uint16_t port() const { return port_; }
  /// Waits until `count` requests are held, or were held and have gone. False: not in time.
  bool wait_held(std::size_t count);
  bool wait_gone(std::size_t count);
  bool wait_channels_closed(std::size_t count);
  /// Waits until `what` holds of the counters.
  bool wait_counters(const std::function<bool(const http::ServerCounters&)>& what);
  /// Answers the oldest held request.
  void release(const std::string& body);
  void refuse_held(unsigned status, const std::string& text);
  http::ServerCounters counters();
  /// Of all requests so far.
  std::vector<std::string> sources();
  std::size_t requests();

 private:
  void on_request(http::RequestId id, http::Request&& request) override;
  void on_gone(http::RequestId id) override;
  void on_channel(http::ChannelId id, const http::Peer& peer) override;
  void on_message(http::ChannelId id, std::span<const std::byte> message) override;
  void on_channel_room(http::ChannelId) override {}
  void on_channel_closed(http::ChannelId) override;
  bool wait(const std::function<bool()>& what);
  void in_loop(const std::function<void()>& call);

  http::Loop loop_;
  std::unique_ptr<http::Server> server_;
  std::uint16_t port_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<http::RequestId> held_;
  std::vector<std::string> sources_;
  std::size_t held_ever_ = 0, gone_ = 0, channels_closed_ = 0;
  std::thread thread_;
};

http::Bytes bytes_of(std::string_view text);
std::string text_of(std::span<const std::byte> bytes);

}  // namespace slotwire::test
