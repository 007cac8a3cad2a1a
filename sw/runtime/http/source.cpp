#include "runtime/http/source.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <exception>
#include <optional>
#include <stdexcept>

namespace slotwire::http {
namespace {

using carriers::Address;

constexpr std::size_t kAddressBytes = 16;
constexpr unsigned kAddressBits = 128, kMappedBits = 96;
constexpr std::size_t kHostBytesOfIpv6 = 8;
/// Of addresses that one request reports.
constexpr int kMaxForwarded = 16;

bool is_mapped(const std::array<std::uint8_t, kAddressBytes>& bytes) {
  return std::all_of(bytes.begin(), bytes.begin() + 10, [](std::uint8_t b) { return b == 0; }) && bytes[10] == 0xff &&
         bytes[11] == 0xff;
}

std::array<std::uint8_t, kAddressBytes> bytes_of(const Address& address) {
  std::array<std::uint8_t, kAddressBytes> bytes{};
  if (address.family() == AF_INET) {
    const auto* const ip = reinterpret_cast<const sockaddr_in*>(address.data());
    bytes[10] = bytes[11] = 0xff;
    std::memcpy(bytes.data() + 12, &ip->sin_addr, 4);
  } else if (address.family() == AF_INET6) {
    const auto* const ip = reinterpret_cast<const sockaddr_in6*>(address.data());
    std::memcpy(bytes.data(), &ip->sin6_addr, kAddressBytes);
  }
  return bytes;
}

/// "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80".
std::optional<Address> parse_host(std::string_view text) {
  const auto colons = std::count(text.begin(), text.end(), ':');
  std::string full(text);
  if (text.starts_with('[')) {
    if (text.ends_with(']')) full += ":0";
  } else if (colons > 1) {
    full = "[" + full + "]:0";
  } else if (colons == 0) {
    full += ":0";
  }
  try {
    return Address::parse(full);
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

Network Network::parse(const std::string& text) {
  const std::size_t slash = text.find('/');
  const std::optional<Address> address = parse_host(std::string_view(text).substr(0, slash));
  if (!address)
    throw std::runtime_error("'" + text + "' is no network; expected 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32");
  const unsigned offset = address->family() == AF_INET ? kMappedBits : 0;
  Network network;
  network.bytes_ = bytes_of(*address);
  network.bits_ = kAddressBits;
  if (slash != std::string::npos) {
    const char* const end = text.data() + text.size();
    unsigned bits = 0;
    const auto [last, error] = std::from_chars(text.data() + slash + 1, end, bits);
    if (error != std::errc{} || last != end || bits > kAddressBits - offset) {
      throw std::runtime_error("'" + text + "': the number of bits of a network is 0 to " +
                               std::to_string(kAddressBits - offset));
    }
    network.bits_ = bits + offset;
  }
  return network;
}

bool Network::has(const Address& address) const {
  const auto other = bytes_of(address);
  for (unsigned bit = 0; bit < bits_; bit += 8) {
    const unsigned left = std::min(8U, bits_ - bit);
    const auto mask = static_cast<std::uint8_t>(0xff00U >> left);
    if (((bytes_[bit / 8] ^ other[bit / 8]) & mask) != 0) return false;
  }
  return true;
}

Source source_of(const Address& address) {
  Source source = bytes_of(address);
  if (!is_mapped(source)) std::fill(source.begin() + kHostBytesOfIpv6, source.end(), std::uint8_t{0});
  return source;
}

Address forwarded_source(const Address& peer, std::span<const std::string_view> fields,
                         std::span<const Network> trusted) {
  const auto is_trusted = [&](const Address& address) {
    return std::any_of(trusted.begin(), trusted.end(), [&](const Network& network) { return network.has(address); });
  };
  Address source = peer;
  int left = kMaxForwarded;
  for (auto field = fields.rbegin(); field != fields.rend(); ++field) {
    std::string_view rest = *field;
    while (is_trusted(source)) {
      const std::size_t comma = rest.rfind(',');
      const std::string_view item = trim(comma == std::string_view::npos ? rest : rest.substr(comma + 1));
      const std::optional<Address> reported = parse_host(item);
      if (!reported || left-- == 0) return source;
      source = reported->with_port(0);
      if (comma == std::string_view::npos) break;
      rest = rest.substr(0, comma);
    }
  }
  return source;
}

}  // namespace slotwire::http
