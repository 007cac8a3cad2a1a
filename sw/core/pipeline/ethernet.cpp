#include "core/pipeline/ethernet.hpp"

#include <algorithm>
#include <cstring>

namespace slotwire::pipeline {
namespace {

constexpr std::uint16_t kEtherTypeIpv4 = 0x0800;
constexpr std::uint8_t kVersionAndLength = 0x45;  ///< IPv4, five words
constexpr std::uint8_t kProtocolUdp = 17;
constexpr std::uint8_t kTimeToLive = 64;
constexpr std::uint16_t kDoNotFragment = 0x4000;
constexpr std::uint16_t kFragmentBits = 0x3fff;  ///< more fragments, and the offset

// Offsets in the Ethernet frame.
constexpr std::size_t kSourceMac = 6;
constexpr std::size_t kEtherType = 12;
constexpr std::size_t kIp = kEthernetBytes;
constexpr std::size_t kIpLength = kIp + 2;
constexpr std::size_t kIpFragment = kIp + 6;
constexpr std::size_t kIpTtl = kIp + 8;
constexpr std::size_t kIpProtocol = kIp + 9;
constexpr std::size_t kIpSource = kIp + 12;
constexpr std::size_t kIpDestination = kIp + 16;
constexpr std::size_t kUdp = kIp + kIpv4Bytes;
constexpr std::size_t kUdpDestination = kUdp + 2;
constexpr std::size_t kUdpLength = kUdp + 4;

void put(std::span<std::byte> out, std::size_t at, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) {
    out[at + i] = static_cast<std::byte>((value >> (8 * (bytes - 1 - i))) & 0xff);
  }
}
std::uint64_t get(std::span<const std::byte> in, std::size_t at, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) value = (value << 8) | std::to_integer<std::uint64_t>(in[at + i]);
  return value;
}

}  // namespace

std::uint16_t ipv4_checksum(std::span<const std::byte> header) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < kIpv4Bytes; i += 2) sum += static_cast<std::uint32_t>(get(header, i, 2));
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum & 0xffff);
}

void write_headers(const Endpoint& from, const Endpoint& to, std::size_t link_bytes, std::span<std::byte> out) {
  std::fill_n(out.begin(), kCarrierBytes, std::byte{0});
  put(out, 0, to.mac, 6);
  put(out, kSourceMac, from.mac, 6);
  put(out, kEtherType, kEtherTypeIpv4, 2);
  put(out, kIp, kVersionAndLength, 1);
  put(out, kIpLength, kIpv4Bytes + kUdpBytes + link_bytes, 2);
  put(out, kIpFragment, kDoNotFragment, 2);
  put(out, kIpTtl, kTimeToLive, 1);
  put(out, kIpProtocol, kProtocolUdp, 1);
  put(out, kIpSource, from.ip, 4);
  put(out, kIpDestination, to.ip, 4);
  put(out, kIpv4ChecksumAt, ipv4_checksum(out.subspan(kIp, kIpv4Bytes)), 2);
  put(out, kUdp, from.port, 2);
  put(out, kUdpDestination, to.port, 2);
  put(out, kUdpLength, kUdpBytes + link_bytes, 2);
}

std::size_t wrap(const Endpoint& from, const Endpoint& to, std::span<const std::byte> link_frame,
                 std::span<std::byte> out) {
  const std::size_t bytes = kCarrierBytes + link_frame.size();
  const std::size_t padded = std::max(bytes, kMinEthernetBytes);
  write_headers(from, to, link_frame.size(), out);
  if (!link_frame.empty()) std::memcpy(out.data() + kCarrierBytes, link_frame.data(), link_frame.size());
  std::fill(out.begin() + static_cast<std::ptrdiff_t>(bytes), out.begin() + static_cast<std::ptrdiff_t>(padded),
            std::byte{0});
  return padded;
}

std::optional<Datagram> unwrap(const Endpoint& own, std::span<const std::byte> frame, std::uint16_t ports) {
  if (frame.size() < kCarrierBytes) return std::nullopt;
  const std::uint64_t port = get(frame, kUdpDestination, 2);
  const bool ours = get(frame, 0, 6) == own.mac && get(frame, kEtherType, 2) == kEtherTypeIpv4 &&
                    get(frame, kIp, 1) == kVersionAndLength && get(frame, kIpProtocol, 1) == kProtocolUdp &&
                    (get(frame, kIpFragment, 2) & kFragmentBits) == 0 && get(frame, kIpDestination, 4) == own.ip &&
                    port >= own.port && port - own.port < ports;
  if (!ours) return std::nullopt;
  const std::uint64_t length = get(frame, kUdpLength, 2);
  if (length < kUdpBytes || get(frame, kIpLength, 2) != kIpv4Bytes + length) return std::nullopt;
  Datagram datagram;
  datagram.from.mac = get(frame, kSourceMac, 6);
  datagram.from.ip = static_cast<std::uint32_t>(get(frame, kIpSource, 4));
  datagram.from.port = static_cast<std::uint16_t>(get(frame, kUdp, 2));
  datagram.length = static_cast<std::size_t>(length) - kUdpBytes;
  datagram.link_frame = frame.subspan(kCarrierBytes, std::min(datagram.length, frame.size() - kCarrierBytes));
  return datagram;
}

}  // namespace slotwire::pipeline
