#include "relay.hpp"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace slotwire::test {
namespace {

constexpr std::uint16_t kUdpPort = 7401;
/// docs/protocol.md, "Encrypted frames".
constexpr std::byte kForm{0xe1};
constexpr std::size_t kKeyAt = 4, kSequenceEnd = 16, kLineBytes = 64;

sockaddr_in address_of(const std::string& host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) throw std::invalid_argument("no address: " + host);
  return address;
}

}  // namespace

Relay::Relay(const std::string& left, const std::string& right) {
  nodes_[0] = address_of(left, kUdpPort);
  nodes_[1] = address_of(right, kUdpPort);
  for (int side = 0; side < 2; ++side) {
    sockets_[side] = slot::Fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int buffer = 16 << 20;
    ::setsockopt(sockets_[side].get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    sockaddr_in own = address_of("127.0.0.1", 0);
    socklen_t length = sizeof own;
    if (::bind(sockets_[side].get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0 ||
        ::getsockname(sockets_[side].get(), reinterpret_cast<sockaddr*>(&own), &length) != 0) {
      throw std::system_error(errno, std::generic_category(), "relay");
    }
    addresses_[side] = "127.0.0.1:" + std::to_string(ntohs(own.sin_port));
  }
  stop_ = slot::Fd(::eventfd(0, EFD_CLOEXEC));
  thread_ = std::thread([this] { run(); });
}

Relay::~Relay() {
  const std::uint64_t one = 1;
  if (::write(stop_.get(), &one, sizeof one) != sizeof one) std::terminate();
  thread_.join();
}

std::size_t Relay::keys() const {
  const std::lock_guard lock(mutex_);
  return keys_.size();
}

std::vector<Relay::Bytes> Relay::kept(int side) const {
  const std::lock_guard lock(mutex_);
  return kept_[side];
}

void Relay::inject(int side, const Bytes& datagram) const {
  // A full socket loses it, as networks do.
  ::sendto(sockets_[side].get(), datagram.data(), datagram.size(), 0, reinterpret_cast<const sockaddr*>(&nodes_[side]),
           sizeof nodes_[side]);
}

void Relay::run() {
  std::array<std::byte, 65536> buffer{};
  while (true) {
    std::array<pollfd, 3> wait{
        {{sockets_[0].get(), POLLIN, 0}, {sockets_[1].get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
    if (::poll(wait.data(), wait.size(), -1) < 0 && errno != EINTR) return;
    if (wait[2].revents != 0) return;
    for (int side = 0; side < 2; ++side) {
      if (wait[static_cast<std::size_t>(side)].revents == 0) continue;
      for (int budget = 0; budget < 64; ++budget) {
        const ssize_t n = ::recv(sockets_[side].get(), buffer.data(), buffer.size(), 0);
        if (n < 0) break;
        carry(side, Bytes(buffer.begin(), buffer.begin() + n));
      }
    }
  }
}

void Relay::carry(int from, const Bytes& datagram) {
  const int to = 1 - from;
  if (datagram.size() < kLineBytes || datagram[0] != kForm) {
    ++clear_;
  } else {
    const std::lock_guard lock(mutex_);
    Bytes number{static_cast<std::byte>(from)};
    number.insert(number.end(), datagram.begin() + kKeyAt, datagram.begin() + kSequenceEnd);
    if (!seen_.insert(number).second) ++repeated_;
    ++keys_[Bytes(number.begin(), number.begin() + 5)];
    if (kept_[to].size() < kKept) kept_[to].push_back(datagram);
  }
  if (random_() % 1000 < lose) {
    ++lost_;
    return;
  }
  ++forwarded_[to];
  if (random_() % 1000 < change) {
    ++changed_;
    Bytes other = datagram;
    const std::size_t bit = random_() % (8 * other.size());
    other[bit / 8] ^= std::byte{1} << (bit % 8);
    return inject(to, other);
  }
  inject(to, datagram);
  if (random_() % 1000 < twice) {
    ++doubled_;
    inject(to, datagram);
  }
}

}  // namespace slotwire::test
