// The port of a card as a carrier: where the links go that the card itself carries. Frames never pass through here; it
// knows the peers' addresses and finds out the MAC address that leads to each.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "core/carriers/carrier.hpp"
#include "core/carriers/socket.hpp"
#include "core/slot/memory.hpp"

namespace slotwire::driver {

using MacAddress = std::array<std::uint8_t, 6>;

/// Where frames of a link go.
struct CardRoute {
  std::uint32_t ip = 0;  ///< IPv4, first byte most significant
  std::uint16_t port = 0;
  MacAddress mac{};
};

/// The kernel's table of neighbours.
inline constexpr const char* kNeighbours = "/proc/net/arp";

/// What the kernel knows of an IPv4 address of its own: the MAC address of the interface that has it. Throws
/// std::runtime_error that says what to do.
MacAddress mac_of_own(std::uint32_t ip);
/// The MAC address of a neighbour on an Ethernet, from a table in the kernel's format; none when it is not there, not
/// complete, or no address of a single host.
std::optional<MacAddress> mac_of_neighbour(std::uint32_t ip, const std::string& table = kNeighbours);

class CardPort final : public carriers::Carrier {
 public:
  /// Between two looks for a MAC address that is not known yet.
  static constexpr std::uint64_t kLookUs = 100'000;

  /// `own`: the card's IPv4 address and UDP port; `lines`: most lines in a frame. Throws std::invalid_argument or
  /// std::system_error.
  CardPort(const carriers::Address& own, std::size_t lines, std::size_t max_links);
  /// The same with a MAC address and a table of neighbours that are not the kernel's.
  CardPort(const carriers::Address& own, const MacAddress& mac, std::string neighbours, std::size_t lines,
           std::size_t max_links);

  /// The link is up once the MAC address towards the peer is known. Throws std::invalid_argument when the link or the
  /// address is taken, or the address is no IPv4 address, has no port or is the card's own.
  void add_link(std::uint16_t link, const carriers::Address& peer);
  void remove_link(std::uint16_t link);

  CardRoute own() const { return own_; }
  /// Of a link that is up.
  const CardRoute& route(std::uint16_t link) const { return links_[link].route; }

  std::string_view name() const override { return "card"; }
  std::size_t lines_per_frame() const override { return lines_; }
  std::size_t room(std::uint16_t) const override { return 0; }
  void send(std::span<const pipeline::TxFrame> frames) override { counters_.tx_dropped += frames.size(); }
  std::size_t poll(std::uint64_t now_us, std::size_t max_frames, carriers::FrameSink& sink) override;
  int fd() const override { return timer_.get(); }
  const carriers::CarrierCounters& counters() const override { return counters_; }

 private:
  enum class State : std::uint8_t { none, looking, up };
  struct Link {
    State state = State::none;
    bool told = false;  ///< why it is not up
    CardRoute route;
  };

  void ask(const CardRoute& route) const;
  void set_timer(bool on);

  CardRoute own_;
  std::string neighbours_;
  std::size_t lines_;
  std::vector<Link> links_;
  std::size_t looking_ = 0;
  std::uint64_t next_look_us_ = 0;
  slot::Fd timer_;  ///< runs while a MAC address is looked for
  slot::Fd socket_;
  carriers::CarrierCounters counters_;
};

}  // namespace slotwire::driver
