#include "web/bridge/address.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "web/http/head.hpp"

namespace slotwire::web::bridge {
namespace {

constexpr std::string_view kUnix = "unix:";
constexpr std::string_view kNumber = "{n}";

Address unix_address(const std::string& path) {
  Address address;
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  if (path.empty())
    throw std::runtime_error("'" + std::string(kUnix) +
                             "' has no path; expected unix:PATH, such as unix:/run/app.sock");
  if (path.size() >= sizeof un.sun_path)
    throw std::runtime_error("'" + path + "' is too long for a socket; at most " +
                             std::to_string(sizeof un.sun_path - 1) + " bytes");
  std::memcpy(un.sun_path, path.c_str(), path.size() + 1);
  std::memcpy(&address.storage, &un, sizeof un);
  address.length = sizeof un;
  address.text = std::string(kUnix) + path;
  return address;
}

}  // namespace

Address parse_address(const std::string& text) {
  if (text.starts_with(kUnix)) return unix_address(text.substr(kUnix.size()));
  if (text.starts_with('/')) return unix_address(text);
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon + 1 == text.size()) {
    throw std::runtime_error(
        "'" + text + "' is taken for HOST:PORT, since it begins neither with '/' nor with 'unix:', " +
        "and has no port; for a socket give its absolute path or unix:PATH, for a host a port, such "
        "as 127.0.0.1:8000");
  }
  std::string host = text.substr(0, colon);
  const std::string port = text.substr(colon + 1);
  // The library takes larger numbers, too, and cuts them.
  constexpr std::uint64_t kMost = 65535;
  std::uint64_t number = 0;
  if (!http::parse_number(port, kMost, number) || number == 0) {
    throw std::runtime_error("'" + text + "' is no address: '" + port +
                             "' is no port from 1 to 65535; expected HOST:PORT, "
                             "such as 127.0.0.1:8000, or unix:PATH");
  }
  if (text.find("//") != std::string::npos)
    throw std::runtime_error("'" + text + "' is a URL; expected HOST:PORT, such as 127.0.0.1:8000, or unix:PATH");
  if (host.size() > 1 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) throw std::runtime_error("'" + text + "': " + ::gai_strerror(error));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(found, ::freeaddrinfo);
  Address address;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.length = found->ai_addrlen;
  address.text = text;
  return address;
}

std::string numbered(const std::string& text, unsigned number) {
  if (const std::size_t at = text.find(kNumber); at != std::string::npos)
    return text.substr(0, at) + std::to_string(number) + text.substr(at + kNumber.size());
  if (number == 0) return text;
  const std::size_t colon = text.rfind(':');
  if (text.starts_with(kUnix) || text.starts_with('/') || colon == std::string::npos)
    throw std::runtime_error("several processes cannot share '" + text + "': write {n} where their numbers belong");
  constexpr unsigned long kMostPort = 65535;
  const unsigned long port = std::stoul(text.substr(colon + 1)) + number;
  if (port > kMostPort) throw std::runtime_error("there is no port " + std::to_string(port));
  return text.substr(0, colon + 1) + std::to_string(port);
}

slot::Fd start_connecting(const Address& address) {
  slot::Fd fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fd;
  if (address.storage.ss_family != AF_UNIX) {
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0 &&
      errno != EINPROGRESS) {
    const int error = errno;
    fd = slot::Fd();
    errno = error;
  }
  return fd;
}

int pending_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

}  // namespace slotwire::web::bridge
