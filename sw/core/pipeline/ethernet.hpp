// Link frames in Ethernet, IPv4 and UDP, as a port carries them: a card's, and that of the DPDK carrier.
// docs/protocol.md, "The frame".
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace slotwire::pipeline {

inline constexpr std::size_t kEthernetBytes = 14;
inline constexpr std::size_t kIpv4Bytes = 20;
inline constexpr std::size_t kUdpBytes = 8;
/// Ethernet, IPv4 and UDP header; with the link header they make one line.
inline constexpr std::size_t kCarrierBytes = kEthernetBytes + kIpv4Bytes + kUdpBytes;
/// The shortest frame on a wire, without its check sequence; shorter ones are padded by their sender.
inline constexpr std::size_t kMinEthernetBytes = 60;

/// One end of a link.
struct Endpoint {
  std::uint64_t mac = 0;  ///< 48 bits; the first byte on the wire is the most significant
  std::uint32_t ip = 0;   ///< the first byte on the wire is the most significant
  std::uint16_t port = 0;

  bool operator==(const Endpoint&) const = default;
};

/// What a frame that is ours carries. `link_frame` points into the frame.
struct Datagram {
  Endpoint from;
  std::span<const std::byte> link_frame;  ///< as long as the UDP length says, or shorter if the frame is cut
  std::size_t length = 0;                 ///< of the link frame as the UDP length says
};

/// Writes the kCarrierBytes before a link frame of `link_bytes` (at most 65507) bytes: what wrap() puts there, for
/// those who put the link frame behind it themselves (the Ethernet frame is padded where that is below
/// kMinEthernetBytes).
void write_headers(const Endpoint& from, const Endpoint& to, std::size_t link_bytes, std::span<std::byte> out);

/// Writes the Ethernet frame that carries `link_frame` (at most 65507 bytes) from one endpoint to another, padded to
/// kMinEthernetBytes; identification 0, do not fragment, time to live 64, UDP checksum 0. `out` has at least
/// kCarrierBytes + link_frame.size() and kMinEthernetBytes bytes. Returns the bytes written.
std::size_t wrap(const Endpoint& from, const Endpoint& to, std::span<const std::byte> link_frame,
                 std::span<std::byte> out);

/// The datagram in `frame` if it is addressed to `own`: nothing for every other frame, which is the host's. `ports`: to
/// any of so many UDP ports, from that of `own` on.
std::optional<Datagram> unwrap(const Endpoint& own, std::span<const std::byte> frame, std::uint16_t ports = 1);

/// Where the checksum of the IPv4 header (two bytes) stands in the Ethernet frame.
inline constexpr std::size_t kIpv4ChecksumAt = kEthernetBytes + 10;

/// The Internet checksum of an IPv4 header of kIpv4Bytes bytes: 0 for a header whose checksum is right.
std::uint16_t ipv4_checksum(std::span<const std::byte> header);

}  // namespace slotwire::pipeline
