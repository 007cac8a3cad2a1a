#include "runtime/engine/cards/node_card.hpp"

#include <stdexcept>

#include "driver/bus/choose_card.hpp"
#include "driver/soft/soft_card.hpp"
#include "runtime/engine/host/reactor.hpp"

namespace slotwire::engine {
namespace {

driver::CardWish wish_of(const CardConfig& config) {
  driver::CardWish wish;
  wish.kind = config.kind();
  wish.xrt = config.xrt;
  wish.socket = config.socket;
  wish.vfio_user = config.vfio_user;
  wish.pci = config.pci;
  wish.sysfs_access = config.sysfs;
  wish.without_iommu = config.allow_no_iommu;
  return wish;
}

}  // namespace

NodeCard::NodeCard(CardParts parts) {
  driver::SoftCardOptions options;
  options.links = std::size_t{parts.config.limits.links} + 1;
  options.sweep_us = static_cast<std::uint32_t>(parts.config.protocol.sweep.count());
  const driver::CardWish wish = wish_of(parts.config.card);
  try {
    driver::ChosenCard chosen = driver::choose_card(wish);
    chosen_ = {std::string(driver::card_kind_name(chosen.kind)), chosen.name, chosen.why};
    parts.log->info("card: {} ({})", chosen.name, chosen.why);
    if (!parts.workers.empty()) {
      open_sharded(parts, options);
    } else if (chosen.bus) {
      open_relay(parts, options, std::move(chosen.bus));
    } else {
      card_ = std::make_unique<driver::SoftCard>(parts.admin.rows(), options, parts.listener);
    }
  } catch (const std::exception& error) {
    throw std::runtime_error("the card (card.kind = \"" + std::string(driver::card_kind_name(wish.kind)) +
                             "\") cannot be used: " + error.what());
  }
}

void NodeCard::open_relay(const CardParts& parts, const driver::SoftCardOptions& options,
                          std::unique_ptr<driver::HostBus> bus) {
  auto relay = std::make_unique<driver::RelayCard>(parts.admin.rows(), options, parts.listener, std::move(bus),
                                                   parts.admin.header().incarnation,
                                                   static_cast<std::uint64_t>(parts.config.card.give_up.count()));
  const driver::CardInfo& info = relay->info();
  parts.log->info("card has {} slots, {} links, {} KiB of slot memory, up to {} lines a frame", info.slots, info.links,
                  std::size_t{info.memory_lines} * regs::kLineBytes >> 10U, info.max_frame_lines);
  parts.log->info("card: {}", relay->capabilities().direct_map ? "it serves the slots of processes itself"
                                                               : "slotwired relays between it and the processes");
  parts.loop.add(relay->fd(), EPOLLIN, [](std::uint32_t) {});  // only wakes the loop, poll() looks
  relay_ = relay.get();
  card_ = std::move(relay);
}

/// Software, with a thread for each pair of queues of the port.
void NodeCard::open_sharded(CardParts& parts, const driver::SoftCardOptions& options) {
  driver::ShardedCardOptions sharded;
  sharded.card = options;
  sharded.sessions = parts.config.limits.sessions;
  sharded.wait = {parts.config.wait.spin, parts.config.wait.yield};
  sharded.clock = monotonic_us;
  auto card =
      std::make_unique<driver::ShardedCard>(parts.admin.rows(), sharded, parts.listener, std::move(parts.workers));
  parts.log->info("slots are divided among {} threads of their own", card->workers());
  parts.loop.add(card->fd(), EPOLLIN, [raw = card.get()](std::uint32_t) { raw->woken(); });
  shards_ = card.get();
  card_ = std::move(card);
}

void NodeCard::replaced_by_software(std::string_view why) {
  chosen_ = {std::string(driver::card_kind_name(driver::CardKind::software)), "software",
             "the card went away: " + std::string(why)};
}

}  // namespace slotwire::engine
