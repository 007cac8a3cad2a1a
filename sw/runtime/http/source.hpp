// Where a request comes from, as places are counted and as proxies report it.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/carriers/socket.hpp"

namespace slotwire::http {

/// "10.0.0.0/8", "192.0.2.7", "2001:db8::/32": an IPv4 or IPv6 network.
class Network {
 public:
  /// Throws std::runtime_error that says what is wrong.
  static Network parse(const std::string& text);
  bool has(const carriers::Address& address) const;

 private:
  std::array<std::uint8_t, 16> bytes_{};  ///< IPv4 as a mapped address
  unsigned bits_ = 0;
};

/// An address as its places are counted: of IPv6 the /64, which is what one host has for itself.
using Source = std::array<std::uint8_t, 16>;
Source source_of(const carriers::Address& address);

/// The client's address that the proxies of `trusted` report: the last one of the X-Forwarded-For `fields` (in the
/// order of the request) that is no proxy of the list. `peer` when it is no such proxy itself, or none is reported.
carriers::Address forwarded_source(const carriers::Address& peer, std::span<const std::string_view> fields,
                                   std::span<const Network> trusted);

}  // namespace slotwire::http
