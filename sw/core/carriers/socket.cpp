#include "core/carriers/socket.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace slotwire::carriers {
namespace {

struct AddressParts {
  std::string host;
  std::uint16_t port = 0;
  bool bracketed = false;
};

[[noreturn]] void bad_address(std::string_view text, const std::string& why) {
  throw std::runtime_error("address '" + std::string(text) + "': " + why +
                           "; expected \"10.0.0.1:7401\" or \"[::1]:7401\"");
}

AddressParts split(std::string_view text) {
  AddressParts result;
  std::string_view port;
  if (!text.empty() && text.front() == '[') {
    const auto close = text.find(']');
    if (close == std::string_view::npos) bad_address(text, "the closing bracket is missing");
    result.host = text.substr(1, close - 1);
    result.bracketed = true;
    if (close + 1 >= text.size() || text[close + 1] != ':') bad_address(text, "the port is missing");
    port = text.substr(close + 2);
  } else {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) bad_address(text, "the port is missing");
    if (text.find(':', colon + 1) != std::string_view::npos) bad_address(text, "an IPv6 address stands in brackets");
    result.host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  if (result.host.empty()) bad_address(text, "the host is missing");
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), result.port);
  if (port.empty() || error != std::errc{} || end != port.data() + port.size()) {
    bad_address(text, "the port is not a number from 0 to 65535");
  }
  return result;
}

Address lookup(std::string_view text, int flags, int family) {
  const AddressParts parts = split(text);
  addrinfo hints{};
  hints.ai_family = parts.bracketed && family == AF_UNSPEC ? AF_INET6 : family;
  hints.ai_socktype = SOCK_DGRAM;  // one result an address, not one a protocol
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(parts.host.c_str(), nullptr, &hints, &found);
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(error == 0 ? found : nullptr, &freeaddrinfo);
  if (error != 0) {
    bad_address(text, (flags & AI_NUMERICHOST) != 0
                          ? "the host is not a numeric address"
                          : std::string("the host cannot be looked up (") + gai_strerror(error) + ")");
  }
  const auto address = Address::from(found->ai_addr, found->ai_addrlen);
  if (!address) bad_address(text, "neither IPv4 nor IPv6");
  return address->with_port(parts.port);
}

}  // namespace

Address Address::parse(std::string_view text) {
  const AddressParts parts = split(text);
  // inet_pton, not getaddrinfo: the latter also takes "1" and "0x7f.1", which nobody means in a configuration.
  in_addr four{};
  if (!parts.bracketed && inet_pton(AF_INET, parts.host.c_str(), &four) != 1) {
    bad_address(text, "the host is not a numeric address");
  }
  return lookup(text, AI_NUMERICHOST, AF_UNSPEC);
}

Address Address::resolve(std::string_view text, int family) {
  return lookup(text, 0, family);
}

std::optional<Address> Address::from(const sockaddr* address, socklen_t length) {
  if (address == nullptr || length < sizeof(sa_family_t)) return std::nullopt;
  Address result;
  if (address->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in in{};
    std::memcpy(&in, address, sizeof in);
    sockaddr_in clean{};
    clean.sin_family = AF_INET;
    clean.sin_port = in.sin_port;
    clean.sin_addr = in.sin_addr;
    std::memcpy(&result.any_, &clean, sizeof clean);
    return result;
  }
  if (address->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 in{};
    std::memcpy(&in, address, sizeof in);
    result.any_.sin6_family = AF_INET6;
    result.any_.sin6_port = in.sin6_port;
    result.any_.sin6_addr = in.sin6_addr;
    // The flow label is no part of who the peer is; the scope is, for link-local addresses only.
    if (IN6_IS_ADDR_LINKLOCAL(&in.sin6_addr)) result.any_.sin6_scope_id = in.sin6_scope_id;
    return result;
  }
  return std::nullopt;
}

Address Address::bound_to(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) throw_errno("reading a socket's address");
  const auto address = from(reinterpret_cast<const sockaddr*>(&storage), length);
  if (!address) throw std::runtime_error("a socket is bound to an address that is neither IPv4 nor IPv6");
  return *address;
}

std::uint16_t Address::port() const noexcept {
  return ntohs(any_.sin6_port);
}

Address Address::with_port(std::uint16_t port) const noexcept {
  Address result = *this;
  result.any_.sin6_port = htons(port);  // sin_port and sin6_port stand at the same place
  return result;
}

std::string Address::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (family() == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &any_, sizeof in);
    inet_ntop(AF_INET, &in.sin_addr, text.data(), text.size());
    return std::string(text.data()) + ":" + std::to_string(port());
  }
  if (family() == AF_INET6) {
    inet_ntop(AF_INET6, &any_.sin6_addr, text.data(), text.size());
    std::string scope;
    if (any_.sin6_scope_id != 0) {
      std::array<char, IF_NAMESIZE> name{};
      scope = if_indextoname(any_.sin6_scope_id, name.data()) != nullptr ? std::string("%") + name.data()
                                                                         : "%" + std::to_string(any_.sin6_scope_id);
    }
    return "[" + std::string(text.data()) + scope + "]:" + std::to_string(port());
  }
  return "none";
}

socklen_t Address::size() const noexcept {
  return family() == AF_INET ? socklen_t{sizeof(sockaddr_in)}
                             : (family() == AF_INET6 ? socklen_t{sizeof(sockaddr_in6)} : socklen_t{0});
}

std::size_t Address::hash() const noexcept {
  // All 28 bytes are defined (unused ones are zero), so they are mixed as words.
  std::array<std::uint32_t, sizeof(sockaddr_in6) / 4> words{};
  std::memcpy(words.data(), &any_, sizeof any_);
  std::uint64_t value = 0x9E3779B97F4A7C15U;
  for (const std::uint32_t word : words) {
    value ^= word;
    value *= 0xFF51AFD7ED558CCDU;
    value ^= value >> 32;
  }
  return static_cast<std::size_t>(value);
}

bool Address::operator==(const Address& other) const noexcept {
  return std::memcmp(&any_, &other.any_, sizeof any_) == 0;
}

void throw_errno(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

std::string errno_text(int error) {
  return std::generic_category().message(error);
}

Fd bound_socket(const Address& address, int type) {
  if (!address.valid()) throw std::runtime_error("a socket needs an address to bind to; set the listen address");
  Fd fd(::socket(address.family(), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) throw_errno("making a socket for " + address.to_string() + " (is the address family enabled on this host?)");
  if (type == SOCK_STREAM && !set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1)) throw_errno("setting SO_REUSEADDR");
  if (address.family() == AF_INET6 && !set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1)) {
    throw_errno("setting IPV6_V6ONLY");
  }
  if (::bind(fd.get(), address.data(), address.size()) != 0) {
    throw_errno("binding to " + address.to_string() +
                " (the address must be one of this host's, the port free and above 1023 or permitted)");
  }
  return fd;
}

Fd connected_beside(int first, const Address& peer) noexcept {
  sockaddr_in6 own{};
  socklen_t size = sizeof own;
  if (::getsockname(first, reinterpret_cast<sockaddr*>(&own), &size) != 0) return Fd();
  Fd second(::socket(own.sin6_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!second || (own.sin6_family == AF_INET6 && !set_option(second.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1)) ||
      !set_option(second.get(), SOL_SOCKET, SO_REUSEADDR, 1) || !set_option(first, SOL_SOCKET, SO_REUSEADDR, 1)) {
    return Fd();
  }
  const bool bound = ::bind(second.get(), reinterpret_cast<const sockaddr*>(&own), size) == 0;
  const int error = errno;
  // The second one keeps the option, for the next such socket; what keeps the port from others is that the first has
  // not.
  set_option(first, SOL_SOCKET, SO_REUSEADDR, 0);
  errno = error;
  if (!bound || ::connect(second.get(), peer.data(), peer.size()) != 0) return Fd();
  return second;
}

bool set_option(int fd, int level, int option, int value) noexcept {
  return ::setsockopt(fd, level, option, &value, sizeof value) == 0;
}

}  // namespace slotwire::carriers
