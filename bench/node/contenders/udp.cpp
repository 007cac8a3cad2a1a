// Bare UDP: nothing is sent again. A call that loses its request or answer ends the benchmark; of one-way messages the
// benchmark says how many were lost.
#include <array>
#include <deque>
#include <stdexcept>
#include <system_error>

#include "bare.hpp"
#include "cluster.hpp"
#include "contender.hpp"

namespace slotwire::bench {
namespace {

constexpr std::size_t kLargest = 65507;
constexpr int kEnds = 16;  ///< empty datagrams after the last message, of which one has to arrive

class UdpEnd final : public CallEnd {
 public:
  explicit UdpEnd(const std::string& port) : fd_(bare_connection(SOCK_DGRAM, port)) {
    const timeval patience{.tv_sec = kWaitMs / 1000, .tv_usec = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  void start(std::size_t number) override {
    under_way_.push_back(number);
    if (::send(fd_.get(), data_.data(), data_.size(), 0) < 0)
      throw std::system_error(errno, std::generic_category(), "cannot send a datagram");
  }
  void finish(const std::function<void(std::size_t)>& done) override {
    if (::recv(fd_.get(), data_.data(), data_.size(), 0) != static_cast<ssize_t>(data_.size()))
      throw std::runtime_error("a datagram of bare UDP was lost: measure once more");
    const std::size_t number = under_way_.front();
    under_way_.pop_front();
    done(number);
  }

 private:
  slot::Fd fd_;
  std::deque<std::size_t> under_way_;
  std::array<std::byte, kCallBytes> data_{};
};

void serve_echo(const Ready& ready) {
  const slot::Fd fd = bare_listener(SOCK_DGRAM);
  ready(bare_port(fd.get()));
  std::array<std::byte, kCallBytes> data{};
  while (true) {
    sockaddr_in from{};
    socklen_t length = sizeof from;
    auto* const address = reinterpret_cast<sockaddr*>(&from);
    const ssize_t n = ::recvfrom(fd.get(), data.data(), data.size(), 0, address, &length);
    if (n > 0) ::sendto(fd.get(), data.data(), static_cast<std::size_t>(n), 0, address, length);
  }
}

class UdpSource final : public Source {
 public:
  explicit UdpSource(const std::string& port) : fd_(bare_connection(SOCK_DGRAM, port)) {}
  void send(Bytes message) override { ::send(fd_.get(), message.data(), message.size(), 0); }
  void finish() override {
    for (int i = 0; i < kEnds; ++i) {
      fault::pause_ms();
      ::send(fd_.get(), nullptr, 0, 0);
    }
  }

 private:
  slot::Fd fd_;
};

void receive_all(const Ready& ready, Tally& tally) {
  const slot::Fd fd = bare_listener(SOCK_DGRAM);
  ready(bare_port(fd.get()));
  std::vector<std::byte> buffer(kLargest);
  while (true) {
    const ssize_t n = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (n <= 0) return tally.end();
    if (tally.take(Bytes(buffer.data(), static_cast<std::size_t>(n)))) return;
  }
}

}  // namespace

Contender bare_udp() {
  return {.name = "bare udp",
          .echo = [](const Ready& ready, std::size_t) { serve_echo(ready); },
          .call = [](const std::string& port) { return std::make_unique<UdpEnd>(port); },
          .sink = receive_all,
          .source = [](const std::string& port) { return std::make_unique<UdpSource>(port); },
          .largest = kLargest};
}

}  // namespace slotwire::bench
