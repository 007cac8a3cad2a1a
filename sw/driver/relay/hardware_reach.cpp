// How the hardware mover reaches its card, loses it, and gives it up.
#include <sys/epoll.h>

#include <algorithm>
#include <stdexcept>

#include "driver/relay/hardware_mover.hpp"

namespace slotwire::driver {

using regs::SlotState;

HardwareMover::HardwareMover(const SlotTables& tables, const HardwareOptions& options, CardListener& listener,
                             std::unique_ptr<HostBus> bus, std::unique_ptr<CardNeighbours> neighbours)
    : rows_(tables.rows),
      mappings_(tables.mappings),
      options_(options),
      listener_(listener),
      bus_(std::move(bus)),
      neighbours_(std::move(neighbours)),
      card_(*bus_),
      relay_(*bus_),
      host_(*bus_, card_, tables.rows.size(), options.host_output),
      places_(tables.rows.size()),
      links_(options.links),
      stats_(tables.rows.size()),
      watch_(epoll_create1(EPOLL_CLOEXEC)) {
  if (!watch_) carriers::throw_errno("the card: an epoll descriptor cannot be had");
  // A bus may come connected.
  if (!(bus_->broken().empty() ? watch_bus() : connect())) throw std::runtime_error(card_.why());
  info_ = card_.read_info(rows_.size());
  lines_ = std::make_unique<LineAllocator>(info_.memory_lines, CardRegisters::kReservedLines);
  reach();
  if (!reached_) throw std::runtime_error(card_.why());
}

bool HardwareMover::connect() {
  for (Place& place : places_) place.shared = false;  // the end of the connection ended that
  return bus_->reconnect() && watch_bus();
}

bool HardwareMover::watch_bus() {
  epoll_event event{};
  event.events = EPOLLIN;
  // The old descriptor left the set when it was closed.
  return epoll_ctl(watch_.get(), EPOLL_CTL_ADD, bus_->fd(), &event) == 0;
}

/// Takes up the card as it stands: a new one, one that goes on from an earlier engine, or one that was reset.
void HardwareMover::reach() {
  const std::optional<std::uint64_t> found = card_.read_incarnation();
  if (!found) return;
  const bool kept = *found == options_.incarnation;
  reached_ = true;
  look_once_ = true;  // an interrupt may have been raised for an engine that is gone
  host_.reached(info_.dma);
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const auto slot = static_cast<std::uint16_t>(i);
    if (places_[i].placed && in_host(slot)) place_output_anew(slot);
  }
  card_.set_stuck(false);
  if (kept) {
    free_strangers();
  } else {
    // Nothing in it is ours: no slot of another life may go on.
    for (std::uint32_t slot = 0; slot < info_.slots; ++slot) card_.write_row(static_cast<std::uint16_t>(slot), {});
    card_.write_incarnation(options_.incarnation);
  }
  card_.enable_interrupts();
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const auto slot = static_cast<std::uint16_t>(i);
    if (!carried(slot)) continue;
    if (kept) {
      recover(slot);
    } else {
      stopped(slot, regs::Fault::memory);
    }
  }
  for (std::size_t link = 0; link < links_.size(); ++link) {
    if (links_[link].up) on_neighbour(static_cast<std::uint16_t>(link), true, "the card is back");
  }
  bus_->flush();
}

/// Slots that the card kept and nobody here knows as bound any more: they were closed while the card was away.
void HardwareMover::free_strangers() {
  for (std::uint32_t i = 0; i < info_.slots; ++i) {
    const auto slot = static_cast<std::uint16_t>(i);
    const bool known = slot < rows_.size() && static_cast<SlotState>(rows_[slot].state) != SlotState::free && had(slot);
    if (!known) card_.write_row(slot, {});
  }
}

/// Tries to reach a card that went away. It must be the one that it was.
bool HardwareMover::try_again() {
  next_try_us_ = now_us_ + kRetryUs;
  if (!connect()) return false;
  try {
    if (card_.read_info(rows_.size()) == info_) {
      if (routed_) card_.write_own(neighbours_->own());
      reach();
    }
  } catch (const std::runtime_error&) {  // what is there is no card, or does not answer
  }
  if (reached_) {
    retry_us_ = kRetryUs;
    return true;
  }
  // It may have held up everything until the bus's time-out: not again soon.
  retry_us_ = std::min(2 * retry_us_, kMostRetryUs);
  next_try_us_ = now_us_ + retry_us_;
  return false;
}

/// Moves the links of a card that stays away to software. Nobody but the card knew what it took from the peers and
/// acknowledged, so what it carried ends; new pairings are in software.
bool HardwareMover::give_up() {
  if (options_.give_up_us == 0 || now_us_ - lost_at_us_ < options_.give_up_us) return false;
  if (!listener_.on_card_gone(card_.why())) return false;
  given_up_ = true;
  for (std::size_t slot = 0; slot < places_.size(); ++slot) {
    if (carried(static_cast<std::uint16_t>(slot))) stopped(static_cast<std::uint16_t>(slot), regs::Fault::memory);
  }
  return true;
}

void HardwareMover::lose() {
  reached_ = false;
  lost_at_us_ = now_us_;
  next_try_us_ = now_us_ + kRetryUs;
  for (std::size_t slot = 0; slot < places_.size(); ++slot) {
    if (places_[slot].shared) see_pages(static_cast<std::uint16_t>(slot));
  }
  for (std::size_t link = 0; link < links_.size(); ++link) {
    if (links_[link].up) listener_.on_link(static_cast<std::uint16_t>(link), false, card_.why());
  }
}

}  // namespace slotwire::driver
