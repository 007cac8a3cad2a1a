// Descriptors and addresses: what every carrier and the control connection stand on.
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/slot/memory.hpp"

namespace slotwire::carriers {

using slot::Fd;

/// An IPv4 or IPv6 address with a port, or none. A plain value: compared and hashed by what a peer is told apart by.
class Address {
 public:
  Address() = default;
  /// Reads "10.0.0.1:7401" or "[::1]:7401" (also "[fe80::1%eth0]:7401"). Numbers only, so it never blocks.
  /// Throws std::runtime_error that says what is wrong and what is expected.
  static Address parse(std::string_view text);
  /// Like parse(), and host names are looked up: may block for as long as the resolver does. Set-up only.
  /// `family`: AF_INET or AF_INET6 to take addresses of that family only (that of the socket that will send there).
  static Address resolve(std::string_view text, int family = AF_UNSPEC);
  /// None for a family other than IPv4 and IPv6, or a length too short for it.
  static std::optional<Address> from(const sockaddr* address, socklen_t length);
  /// The address that the socket `fd` is bound to. Throws std::system_error.
  static Address bound_to(int fd);

  bool valid() const noexcept { return family() != AF_UNSPEC; }
  /// AF_UNSPEC, AF_INET or AF_INET6.
  int family() const noexcept { return any_.sin6_family; }
  std::uint16_t port() const noexcept;
  Address with_port(std::uint16_t port) const noexcept;
  /// The form that parse() reads; "none" when there is no address.
  std::string to_string() const;

  const sockaddr* data() const noexcept { return reinterpret_cast<const sockaddr*>(&any_); }
  socklen_t size() const noexcept;
  std::size_t hash() const noexcept;
  bool operator==(const Address& other) const noexcept;

 private:
  sockaddr_in6 any_{};  ///< holds a sockaddr_in when the family is IPv4; bytes not used are zero
};

struct AddressHash {
  std::size_t operator()(const Address& address) const noexcept { return address.hash(); }
};

/// Throws std::system_error with the present errno and `what` (what was tried, and what to do about it).
[[noreturn]] void throw_errno(const std::string& what);
/// Text of an errno value, safe for threads.
std::string errno_text(int error);

/// A non-blocking, close-on-exec socket of `type` (SOCK_STREAM or SOCK_DGRAM) bound to `address`. A stream socket gets
/// SO_REUSEADDR (a restarted node takes its port back); an IPv6 socket takes IPv6 only. Throws std::system_error.
Fd bound_socket(const Address& address, int type);

/// A second datagram socket at the address of `first`, connected to `peer`: the kernel gives it what comes from there,
/// and `first` all else. None with errno set when the kernel refuses. Nobody else can bind to the address meanwhile but
/// a process of the same user that asks for SO_REUSEADDR in that instant.
Fd connected_beside(int first, const Address& peer) noexcept;

/// Sets an integer socket option; false with errno set when the kernel refuses.
bool set_option(int fd, int level, int option, int value) noexcept;

}  // namespace slotwire::carriers
