#include "runtime/engine/recovery.hpp"

#include <array>
#include <exception>
#include <stdexcept>

namespace slotwire::engine {

std::unique_ptr<Admin> Recovery::take_admin() {
  const auto& limits = config_.limits;
  if (const auto admin = kept_.find(KeptTag::of_admin().number());
      admin != kept_.end() && !admin->second.empty() && config_.node.recover) {
    try {
      auto taken = std::make_unique<Admin>(std::move(admin->second[0]), config_.node.name, limits.slots,
                                           limits.sessions, config_.memory.slot_memory);
      recovered_ = true;
      return taken;
    } catch (const std::exception& error) {
      log_->warn("what an earlier slotwired left cannot be taken over: {}; its connections are lost", error.what());
    }
  }
  for (const auto& [tag, fds] : kept_) log_.note(store_.remove(tag));
  kept_.clear();
  auto made = std::make_unique<Admin>(config_.node.name, limits.slots, limits.sessions, config_.memory.slot_memory);
  const std::array<int, 1> file{made->file().get()};
  if (const auto stored = store_.store(KeptTag::of_admin().number(), file); !stored.ok()) {
    throw std::runtime_error(stored.error().text);
  }
  return made;
}

void Recovery::take_slots(SessionTable& sessions, SlotTable& slots,
                          const std::function<bool(std::uint16_t)>& has_link) {
  if (!recovered_) return;
  std::size_t session_count = 0, slot_count = 0;
  for (auto& [number, fds] : kept_) {
    const KeptTag tag = KeptTag::from_number(number);
    if (tag.kind != KeptKind::session) continue;
    try {
      sessions.recover(tag.index, fds);
      ++session_count;
    } catch (const std::exception& error) {
      log_->warn("session number {}: not taken over: {}", tag.index, error.what());
      log_.note(store_.remove(number));
    }
  }
  sessions.forget_unrecovered();
  for (auto& [number, fds] : kept_) {
    const KeptTag tag = KeptTag::from_number(number);
    if (tag.kind != KeptKind::slot) continue;
    if (tag.index < slots.count() && slots.recover(static_cast<std::uint16_t>(tag.index), fds, has_link)) {
      ++slot_count;
    } else {
      log_.note(store_.remove(number));
    }
  }
  kept_.clear();
  slots.finish_recovery();
  log_->info("taken over from an earlier slotwired: {} sessions, {} slots; lines go on where they stopped",
             session_count, slot_count);
}

}  // namespace slotwire::engine
