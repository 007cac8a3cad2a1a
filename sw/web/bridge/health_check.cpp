#include "web/bridge/health_check.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace slotwire::web::bridge {
namespace {

/// "HTTP/1.1 200": what is read of an answer.
constexpr std::size_t kVersionBytes = 9;
constexpr std::size_t kStatusBytes = kVersionBytes + 3;

}  // namespace

HealthCheck::HealthCheck(Bridge& bridge, const Application& application)
    : bridge_(bridge), application_(application), timer_(bridge.loop()) {}

HealthCheck::~HealthCheck() {
  if (fd_) bridge_.loop().remove(fd_.get(), *this);
}

void HealthCheck::start() {
  timer_.set(bridge_.options().health.interval, [this] { ask(); });
}

void HealthCheck::ask() {
  if (!application_.ready) return start();
  request_ = "GET " + bridge_.options().health.path +
             " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: slotwire-health\r\nConnection: close\r\n\r\n";
  sent_ = 0;
  answer_.clear();
  fd_ = start_connecting(application_.address);
  if (!fd_ || !bridge_.loop().add(fd_.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, *this)) {
    const int error = errno;
    fd_ = slot::Fd();
    return over(false, std::strerror(error));
  }
  timer_.set(bridge_.options().health.timeout, [this] { over(false, "no answer in time"); });
}

void HealthCheck::on_events(std::uint32_t events) {
  if (const int error = pending_error(fd_.get()); error != 0) return over(false, std::strerror(error));
  if ((events & EPOLLOUT) != 0) send();
  if (fd_ && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) != 0) receive();
}

void HealthCheck::send() {
  while (sent_ < request_.size()) {
    const ssize_t n = ::send(fd_.get(), request_.data() + sent_, request_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n < 0) return over(false, std::strerror(errno));
    sent_ += static_cast<std::size_t>(n);
  }
}

void HealthCheck::receive() {
  std::array<char, kStatusBytes> piece{};
  while (answer_.size() < kStatusBytes) {
    const ssize_t n = ::recv(fd_.get(), piece.data(), kStatusBytes - answer_.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n <= 0) return over(false, n == 0 ? "it closed the connection before its answer" : std::strerror(errno));
    answer_.append(piece.data(), static_cast<std::size_t>(n));
  }
  const std::string status = answer_.substr(kVersionBytes);
  if (!answer_.starts_with("HTTP/1.")) return over(false, "its answer is no HTTP");
  over(status == std::to_string(bridge_.options().health.status),
       "status " + status + " instead of " + std::to_string(bridge_.options().health.status));
}

void HealthCheck::over(bool good, const std::string& why) {
  if (fd_) bridge_.loop().remove(fd_.get(), *this);
  fd_ = slot::Fd();
  start();
  if (good == application_.healthy) {
    against_ = 0;
    return;
  }
  const HealthOptions& options = bridge_.options().health;
  if (++against_ < (good ? options.rise : options.fall)) return;
  against_ = 0;
  bridge_.set_healthy(application_.number, good, why);
}

}  // namespace slotwire::web::bridge
