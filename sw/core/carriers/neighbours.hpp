// Who has which MAC address on the network of a port that the kernel does not serve: ARP, asked and answered.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/pipeline/ethernet.hpp"

namespace slotwire::carriers {

/// An ARP packet for IPv4 in its Ethernet frame, padded.
inline constexpr std::size_t kArpFrameBytes = pipeline::kMinEthernetBytes;
using ArpFrame = std::array<std::byte, kArpFrameBytes>;

/// The node's own place on the network. Addresses: the first byte on the wire is the most significant.
struct NetworkPlace {
  std::uint64_t mac = 0;
  std::uint32_t ip = 0;
  unsigned prefix = 24;       ///< bits of the network's address, 1 to 32
  std::uint32_t gateway = 0;  ///< for addresses outside the network; 0: none
};

/// One thread, no clock and no sockets of its own: frames and times in (microseconds), frames out. Only addresses that
/// were asked for with watch() are remembered, so strangers cannot fill it. ARP proves nothing: whoever is on the
/// network can claim an address, as on any Ethernet; what a link's frames say is checked elsewhere.
class Neighbours {
 public:
  /// How often an address is asked for until it answers, and once it has.
  static constexpr std::uint64_t kAskUs = 250'000;
  static constexpr std::uint64_t kRefreshUs = 30'000'000;
  /// Requests without an answer after which silent() says so.
  static constexpr unsigned kSilentAfter = 4;

  /// At most `limit` addresses are watched.
  Neighbours(const NetworkPlace& place, std::size_t limit);

  /// The address whose MAC frames to `ip` need: `ip` itself or the gateway. Nothing where `ip` cannot be reached:
  /// outside the network without a gateway, or no address of one host.
  std::optional<std::uint32_t> next_hop(std::uint32_t ip) const;

  /// Begins to watch a next hop; its number stays until as many calls of unwatch(). Nothing above the limit.
  std::optional<std::size_t> watch(std::uint32_t hop);
  void unwatch(std::size_t entry);

  /// 0 as long as it is not known.
  std::uint64_t mac(std::size_t entry) const { return entries_[entry].mac; }
  bool silent(std::size_t entry) const { return entries_[entry].asked >= kSilentAfter; }

  enum class Taken : std::uint8_t {
    not_arp,    ///< no ARP frame, or none that this host must understand
    malformed,  ///< an ARP frame that cannot be right
    nothing,    ///< nothing to do
    learnt,     ///< a watched address has a MAC, or another one than before
    answer,     ///< `answer` is to be sent
    conflict,   ///< another host says that it has this node's address
  };
  /// Takes any Ethernet frame of any length. Fills `answer` for Taken::answer.
  Taken take(std::span<const std::byte> frame, std::uint64_t now_us, ArpFrame& answer);

  /// The wire may be another one than before: what is known is forgotten, and ask() begins anew.
  void forget(std::uint64_t now_us);
  /// The next request that is due: call until it says no.
  bool ask(std::uint64_t now_us, ArpFrame& request);
  /// When ask() has something to do next.
  std::optional<std::uint64_t> deadline_us() const { return deadline_us_; }

 private:
  struct Entry {
    std::uint32_t ip = 0;
    std::uint32_t users = 0;  ///< 0: free
    std::uint64_t mac = 0;
    std::uint64_t ask_us = 0;
    unsigned asked = 0;  ///< since the last answer
  };
  void set_deadline();

  NetworkPlace place_;
  std::vector<Entry> entries_;
  std::optional<std::uint64_t> deadline_us_;  ///< the earliest of all entries: asked for far more often than it changes
};

}  // namespace slotwire::carriers
