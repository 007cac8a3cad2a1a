// Which closed slots are kept for the next connections of their processes. Knows numbers alone: SlotTable has the
// slots.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

namespace slotwire::engine {

/// A spare slot. One of a direct pair goes together with its partner, since each process has both rings mapped.
struct SpareSlot {
  std::uint16_t slot = 0;
  std::uint32_t session = 0;  ///< whose process has it mapped
  std::uint8_t in_order = 0, out_order = 0;
  std::uint64_t since_us = 0;
  std::optional<std::uint16_t> partner{};  ///< of a direct pair
  bool partner_open = false;               ///< the partner is not spare yet
};

/// One thread. The table that uses it bounds how many there are. Of those that fit, the one that was added last is
/// taken first, so that those which are not needed grow old.
class SpareSlots {
 public:
  std::size_t size() const { return session_of_.size(); }
  std::size_t of_session(std::uint32_t session) const;
  bool has(std::uint16_t slot) const { return session_of_.contains(slot); }

  /// `spare.slot` is not spare yet. A partner that is spare is complete with it from now on.
  void add(const SpareSlot& spare);
  /// One without a partner, with rings of these sizes; it is no longer spare.
  std::optional<SpareSlot> take(std::uint32_t session, unsigned in_order, unsigned out_order);
  /// The first slot of a direct pair of `session` with `partner_session`, both spare; neither is any longer.
  std::optional<SpareSlot> take_pair(std::uint32_t session, std::uint32_t partner_session, unsigned in_order,
                                     unsigned out_order);
  /// It is no longer spare. None: it was not.
  std::optional<SpareSlot> remove(std::uint16_t slot);
  /// Those for which `which` says so, in no order.
  std::vector<std::uint16_t> find(const std::function<bool(const SpareSlot&)>& which) const;

 private:
  std::optional<SpareSlot> take_last(std::uint32_t session, const std::function<bool(const SpareSlot&)>& fits);

  std::unordered_map<std::uint32_t, std::vector<SpareSlot>> by_session_;  ///< the newest last; none is empty
  std::unordered_map<std::uint16_t, std::uint32_t> session_of_;
};

}  // namespace slotwire::engine
