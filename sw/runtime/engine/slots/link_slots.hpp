// The slots of each link, so that what concerns one link looks at its slots alone.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace slotwire::engine {

/// Adding and removing take the same time however many there are. The order of slots has no meaning.
class LinkSlots {
 public:
  explicit LinkSlots(std::size_t slots) : entries_(slots) {}

  /// The slot belongs to no link before the call.
  void add(std::uint16_t link, std::uint16_t slot) {
    if (link >= by_link_.size()) by_link_.resize(std::size_t{link} + 1);
    entries_[slot] = {link, static_cast<std::uint32_t>(by_link_[link].size()), true};
    by_link_[link].push_back(slot);
  }
  /// Does nothing when the slot belongs to no link.
  void remove(std::uint16_t slot) {
    Entry& entry = entries_[slot];
    if (!entry.known) return;
    std::vector<std::uint16_t>& list = by_link_[entry.link];
    const std::uint16_t last = list.back();
    list[entry.position] = last;
    entries_[last].position = entry.position;
    list.pop_back();
    entry = {};
  }
  /// Valid until the next change; copy it where slots may be freed while it is walked through.
  std::span<const std::uint16_t> of(std::uint16_t link) const {
    return link < by_link_.size() ? std::span<const std::uint16_t>(by_link_[link]) : std::span<const std::uint16_t>();
  }

 private:
  struct Entry {
    std::uint16_t link = 0;
    std::uint32_t position = 0;
    bool known = false;
  };
  std::vector<Entry> entries_;  ///< by slot
  std::vector<std::vector<std::uint16_t>> by_link_;
};

}  // namespace slotwire::engine
