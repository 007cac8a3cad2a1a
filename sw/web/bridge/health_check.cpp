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
/// Read at one time.
constexpr std::size_t kReadAtOnce = 4096;

std::string http_request(const BridgeOptions& options) {
  return "GET " + options.health.path +
         " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: slotwire-health\r\nConnection: close\r\n\r\n";
}

/// PHP-FPM compares SCRIPT_NAME with its ping.path; everything else runs the script of that name.
std::string fastcgi_request(const BridgeOptions& options) {
  const std::string_view target = options.health.path;
  const std::size_t question = target.find('?');
  const std::string_view path = target.substr(0, question);
  std::string params;
  const auto add = [&](std::string_view name, std::string_view value) { fastcgi::append_param(params, name, value); };
  add("SCRIPT_FILENAME", options.script.root + std::string(path));
  add("SCRIPT_NAME", path);
  add("QUERY_STRING", question == std::string_view::npos ? std::string_view() : target.substr(question + 1));
  add("REQUEST_METHOD", "GET");
  add("REQUEST_URI", target);
  add("DOCUMENT_URI", path);
  add("DOCUMENT_ROOT", options.script.root);
  add("SERVER_PROTOCOL", "HTTP/1.1");
  add("GATEWAY_INTERFACE", "CGI/1.1");
  add("REMOTE_ADDR", "127.0.0.1");
  add("SERVER_NAME", "localhost");
  add("SERVER_PORT", "80");
  add("REDIRECT_STATUS", "200");
  add("HTTP_USER_AGENT", "slotwire-health");
  std::string request;
  fastcgi::append_begin(request);
  (void)fastcgi::append_params(request, params);  // a path of the command line is shorter than a record
  fastcgi::append_header(request, fastcgi::Type::standard_input, 0);
  return request;
}

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
  request_ = bridge_.options().protocol == Protocol::fastcgi ? fastcgi_request(bridge_.options())
                                                             : http_request(bridge_.options());
  reader_ = {};
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
  std::array<char, kReadAtOnce> piece{};
  while (fd_) {
    const ssize_t n = ::recv(fd_.get(), piece.data(), piece.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n < 0) return over(false, std::strerror(errno));
    if (n == 0) {
      return over(false, reader_.has_head() ? "it closed the connection before the end of its answer"
                                            : "it closed the connection before its answer");
    }
    const std::string_view bytes(piece.data(), static_cast<std::size_t>(n));
    if (bridge_.options().protocol == Protocol::fastcgi) {
      understand_fastcgi(bytes);
    } else {
      understand_http(bytes);
    }
  }
}

void HealthCheck::understand_http(std::string_view bytes) {
  answer_ += bytes.substr(0, kStatusBytes - answer_.size());
  if (answer_.size() < kStatusBytes) return;
  if (!answer_.starts_with("HTTP/1.")) return over(false, "its answer is no HTTP");
  judge(answer_.substr(kVersionBytes));
}

void HealthCheck::understand_fastcgi(std::string_view bytes) {
  switch (reader_.feed(bytes)) {
    case fastcgi::StatusReader::State::incomplete:
      return;
    case fastcgi::StatusReader::State::invalid:
      return over(false, reader_.problem());
    case fastcgi::StatusReader::State::complete:
      return judge(std::to_string(reader_.status()));
  }
}

void HealthCheck::judge(const std::string& status) {
  const std::string expected = std::to_string(bridge_.options().health.status);
  over(status == expected, "status " + status + " instead of " + expected);
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
