// Taking up what an earlier life of the engine left in the keeper: admin memory, sessions, slots.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "core/slot/memory.hpp"
#include "runtime/engine/admin/admin.hpp"
#include "runtime/engine/config/config.hpp"
#include "runtime/engine/host/node_log.hpp"
#include "runtime/engine/recovery/descriptor_store.hpp"
#include "runtime/engine/sessions/session_table.hpp"
#include "runtime/engine/slots/slot_table.hpp"

namespace slotwire::engine {

/// Descriptors by tag, as the keeper has them; none: still to be fetched from the store.
using KeptDescriptors = std::map<std::uint64_t, std::vector<slot::Fd>>;
/// Takes up what lies under the tag of a region. Throws std::exception when that cannot be.
using TakeRegion = std::function<void(const KeptTag& tag, std::vector<slot::Fd> fds)>;

/// For one start of the engine.
class Recovery {
 public:
  Recovery(const Config& config, DescriptorStore& store, NodeLog& log, KeptDescriptors kept)
      : config_(config), store_(store), log_(log), kept_(std::move(kept)) {}

  /// Admin memory of the earlier life; else what was kept is dropped, and new memory is made and kept. Throws
  /// std::exception.
  std::unique_ptr<Admin> take_admin();
  /// Whether take_admin() took up an earlier life.
  bool recovered() const { return recovered_; }
  /// Takes up sessions, then slots, then regions; does nothing without an earlier life. `has_link`: which links are
  /// configured.
  void take_slots(SessionTable& sessions, SlotTable& slots, const std::function<bool(std::uint16_t)>& has_link,
                  const TakeRegion& take_region);

 private:
  std::vector<slot::Fd> take(std::uint64_t tag);

  const Config& config_;
  DescriptorStore& store_;
  NodeLog& log_;
  KeptDescriptors kept_;
  bool recovered_ = false;
};

}  // namespace slotwire::engine
