// What the first queue of a port tells the others of its links.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/carriers/dpdk/dpdk.hpp"
#include "core/carriers/dpdk/spsc_ring.hpp"
#include "core/pipeline/ethernet.hpp"

namespace slotwire::carriers {

/// The UDP ports that the other end of a link asks for.
struct LinkPorts {
  std::array<std::uint16_t, kMaxDpdkQueues> port{};
  std::size_t count = 0;

  std::uint16_t of_slot(std::uint16_t slot) const noexcept { return count == 1 ? port[0] : port[slot % count]; }
};

/// All there is to know of a link at one time: what was before does not matter.
struct LinkNews {
  enum class State : std::uint8_t { none, down, up };
  State state = State::none;
  bool told = false;         ///< down: tell it, with the reason
  std::uint32_t serial = 0;  ///< of add_link(): another one is another link, whatever its number
  std::uint32_t ups = 0;     ///< times that it came up: more than before means that it was down in between
  pipeline::Endpoint peer;   ///< its MAC address where the link is up
  LinkPorts ports;
  std::string name, reason;  ///< the carrier and its peer, and why it is down, for people
};

/// One thread posts, one other for each queue takes; none waits and nothing is lost. Of several news of one link only
/// the last is taken, so there is room for all: one a link.
class LinkBoard {
 public:
  /// `queues` that take, numbered from 0.
  LinkBoard(std::size_t queues, std::size_t max_links);
  ~LinkBoard();
  LinkBoard(const LinkBoard&) = delete;
  LinkBoard& operator=(const LinkBoard&) = delete;

  void post(std::size_t queue, std::uint16_t link, LinkNews news);

  struct Item {
    std::uint16_t link = 0;
    std::unique_ptr<const LinkNews> news;
  };
  std::optional<Item> take(std::size_t queue) noexcept;
  bool empty(std::size_t queue) const noexcept { return rings_[queue]->empty(); }

 private:
  std::atomic<const LinkNews*>& box(std::size_t queue, std::uint16_t link) noexcept {
    return boxes_[queue * max_links_ + link];
  }

  std::size_t max_links_;
  std::vector<std::atomic<const LinkNews*>> boxes_;              ///< each owns what is in it
  std::vector<std::unique_ptr<SpscRing<std::uint16_t>>> rings_;  ///< the links with something in their box
};

}  // namespace slotwire::carriers
