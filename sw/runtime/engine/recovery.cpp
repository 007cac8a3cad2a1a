#include "runtime/engine/recovery.hpp"

#include <array>
#include <exception>
#include <stdexcept>

namespace slotwire::engine {
namespace {

bool is_of_regions(KeptKind kind) {
  return kind == KeptKind::region || kind == KeptKind::cell || kind == KeptKind::list;
}

}  // namespace

/// The descriptors under a tag that is kept; none, and a line in the log, when they cannot be had.
std::vector<slot::Fd> Recovery::take(std::uint64_t tag) {
  if (std::vector<slot::Fd>& had = kept_.at(tag); !had.empty()) return std::move(had);
  auto fetched = store_.fetch(tag);
  if (fetched) return std::move(fetched).value();
  log_.note(fetched.error());
  return {};
}

std::unique_ptr<Admin> Recovery::take_admin() {
  const auto& limits = config_.limits;
  const std::uint64_t admin_tag = KeptTag::of_admin().number();
  if (kept_.contains(admin_tag) && config_.node.recover) {
    try {
      auto taken = std::make_unique<Admin>(std::move(take(admin_tag).at(0)), config_.node.name, limits.slots,
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

void Recovery::take_slots(SessionTable& sessions, SlotTable& slots, const std::function<bool(std::uint16_t)>& has_link,
                          const TakeRegion& take_region) {
  if (!recovered_) return;
  std::size_t session_count = 0, slot_count = 0;
  for (const auto& [number, kept] : kept_) {
    const KeptTag tag = KeptTag::from_number(number);
    if (tag.kind != KeptKind::session) continue;
    try {
      std::vector<slot::Fd> fds = take(number);
      sessions.recover(tag.index, fds);
      ++session_count;
    } catch (const std::exception& error) {
      log_->warn("session number {}: not taken over: {}", tag.index, error.what());
      log_.note(store_.remove(number));
    }
  }
  sessions.forget_unrecovered();
  for (const auto& [number, kept] : kept_) {
    const KeptTag tag = KeptTag::from_number(number);
    if (tag.kind != KeptKind::slot) continue;
    std::vector<slot::Fd> fds = take(number);
    if (tag.index < slots.count() && slots.recover(static_cast<std::uint16_t>(tag.index), fds, has_link)) {
      ++slot_count;
    } else {
      log_.note(store_.remove(number));
    }
  }
  for (const auto& [number, kept] : kept_) {
    const KeptTag tag = KeptTag::from_number(number);
    if (!is_of_regions(tag.kind)) continue;
    try {
      take_region(tag, take(number));
    } catch (const std::exception& error) {
      log_->warn("region number {:x}: not taken over: {}", number, error.what());
      log_.note(store_.remove(number));
    }
  }
  // Nobody will ask for what lies under a tag of no known kind.
  for (const auto& [number, kept] : kept_) {
    const KeptTag tag = KeptTag::from_number(number);
    if (tag.kind == KeptKind::session || tag.kind == KeptKind::slot || is_of_regions(tag.kind)) continue;
    if (number != KeptTag::of_admin().number()) log_.note(store_.remove(number));
  }
  kept_.clear();
  slots.finish_recovery();
  log_->info("taken over from an earlier slotwired: {} sessions, {} slots; lines go on where they stopped",
             session_count, slot_count);
}

}  // namespace slotwire::engine
