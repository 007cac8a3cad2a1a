#include "raw_http.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <stdexcept>

namespace slotwire::test {
namespace {

sockaddr_in loopback(std::uint16_t port, const char* host = "127.0.0.1") {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  ::inet_pton(AF_INET, host, &address.sin_addr);
  return address;
}

void set_waits(int fd) {
  const timeval limit{RawClient::kWaitSeconds, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

}  // namespace

std::string RawResponse::field(const std::string& name) const {
  const std::size_t at = head.find("\r\n" + name + ": ");
  if (at == std::string::npos) return {};
  const std::size_t start = at + name.size() + 4;
  return head.substr(start, head.find("\r\n", start) - start);
}

RawClient::RawClient(std::uint16_t port, const std::string& from)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  set_waits(fd_.get());
  if (!from.empty()) {
    const sockaddr_in source = loopback(0, from.c_str());
    if (::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&source), sizeof source) != 0) {
      throw std::runtime_error("cannot bind to " + from);
    }
  }
  const sockaddr_in address = loopback(port);
  if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error("cannot connect");
  }
}

RawClient::RawClient(slot::Fd connected) : fd_(std::move(connected)) {
  set_waits(fd_.get());
}

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) throw std::runtime_error("the other end reads nothing");
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool RawClient::more() {
  std::array<char, 65536> piece;
  const ssize_t n = ::recv(fd_.get(), piece.data(), piece.size(), 0);
  if (n < 0 && errno == EAGAIN) throw std::runtime_error("the other end sends nothing; so far: " + got_);
  if (n <= 0) return false;
  got_.append(piece.data(), static_cast<std::size_t>(n));
  return true;
}

std::string RawClient::head() {
  while (got_.find("\r\n\r\n") == std::string::npos) {
    if (!more()) return {};
  }
  const std::size_t end = got_.find("\r\n\r\n") + 4;
  std::string head = got_.substr(0, end);
  got_.erase(0, end);
  return head;
}

std::string RawClient::read(std::size_t bytes) {
  while (got_.size() < bytes && more()) {
  }
  std::string piece = got_.substr(0, bytes);
  got_.erase(0, bytes);
  return piece;
}

RawResponse RawClient::response() {
  RawResponse response;
  response.head = head();
  if (response.head.size() < 12) return response;
  response.status = static_cast<unsigned>(std::strtoul(response.head.c_str() + 9, nullptr, 10));
  response.body = read(std::strtoul(response.field("Content-Length").c_str(), nullptr, 10));
  return response;
}

std::string RawClient::to_end() {
  while (more()) {
  }
  return std::exchange(got_, {});
}

void RawClient::half_close() {
  ::shutdown(fd_.get(), SHUT_WR);
}

std::string post(const std::string& path, std::string_view body, const std::string& more_fields) {
  return "POST " + path + " HTTP/1.1\r\nHost: test\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         more_fields + "\r\n" + std::string(body);
}

std::string get(const std::string& path, const std::string& more_fields) {
  return "GET " + path + " HTTP/1.1\r\nHost: test\r\n" + more_fields + "\r\n";
}

RawListener::RawListener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  if (::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0 || ::listen(fd_.get(), 16) != 0 ||
      ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    throw std::runtime_error("cannot listen");
  }
  set_waits(fd_.get());
  port_ = ntohs(address.sin_port);
}

RawClient RawListener::accept() {
  slot::Fd fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!fd) throw std::runtime_error("nobody connects");
  return RawClient(std::move(fd));
}

}  // namespace slotwire::test
