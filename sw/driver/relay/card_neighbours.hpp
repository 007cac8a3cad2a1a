// Who the links lead to that a card itself carries: the neighbours' addresses, and the MAC address that leads to each,
// which the kernel's table of neighbours has once the kernel was made to look for it.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/carriers/socket.hpp"
#include "core/slot/memory.hpp"

namespace slotwire::driver {

using MacAddress = std::array<std::uint8_t, 6>;

/// Where frames go: to a neighbour, or to the card itself.
struct CardAddress {
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

/// What is heard of the neighbours; called from within CardNeighbours::poll().
class NeighbourListener {
 public:
  virtual ~NeighbourListener() = default;
  /// The MAC address towards the neighbour of `link` is known from now on, or why it is not; the latter once.
  virtual void on_neighbour(std::uint16_t link, bool known, std::string_view why) = 0;
};

/// Belongs to one thread.
class CardNeighbours {
 public:
  /// Between two looks for a MAC address that is not known yet, microseconds.
  static constexpr std::uint64_t kLookUs = 100'000;

  /// `own`: the card's IPv4 address and UDP port, whose MAC address is that of the kernel's interface with the address;
  /// links are 0..max_links-1. Throws std::invalid_argument, or std::runtime_error that says what to do.
  CardNeighbours(const carriers::Address& own, std::size_t max_links);
  /// The same with a MAC address and a table of neighbours that are not the kernel's.
  CardNeighbours(const carriers::Address& own, const MacAddress& mac, std::string table, std::size_t max_links);

  /// `link` leads to `neighbour` from now on; the listener hears of it once the MAC address is known. Throws
  /// std::invalid_argument when the link is out of range or taken, or the address is another link's, no IPv4 address,
  /// has no port or is the card's own.
  void add(std::uint16_t link, const carriers::Address& neighbour);
  /// Removing a link that leads nowhere is not an error.
  void remove(std::uint16_t link);

  CardAddress own() const { return own_; }
  /// Of a link that was added; `mac` is all zero until the listener heard that it is known.
  const CardAddress& neighbour(std::uint16_t link) const { return links_[link].address; }

  /// Looks for MAC addresses that are not known. Never waits.
  void poll(std::uint64_t now_us, NeighbourListener& listener);
  /// Readable (epoll) when poll() has something to do, which empties it.
  int fd() const { return timer_.get(); }

 private:
  enum class State : std::uint8_t { none, looking, known };
  struct Link {
    State state = State::none;
    bool told = false;  ///< why it is not known
    CardAddress address;
  };

  void ask(const CardAddress& address) const;
  void set_timer(bool on);

  CardAddress own_;
  std::string table_;
  std::vector<Link> links_;
  std::size_t looking_ = 0;
  std::uint64_t next_look_us_ = 0;
  slot::Fd timer_;  ///< runs while a MAC address is looked for
  slot::Fd socket_;
};

}  // namespace slotwire::driver
