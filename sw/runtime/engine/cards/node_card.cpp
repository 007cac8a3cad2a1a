#include "runtime/engine/cards/node_card.hpp"

#include <stdexcept>

#include "driver/bus/choose_card.hpp"
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
  const std::size_t links = std::size_t{parts.config.limits.links} + 1;
  driver::CardComposition made;
  made.rows = parts.admin.rows();
  made.soft.links = links;
  made.soft.sweep_us = static_cast<std::uint32_t>(parts.config.protocol.sweep.count());
  made.soft.clock = monotonic_us;
  made.sessions = parts.config.limits.sessions;
  made.wait = {parts.config.wait.proxy_spin, parts.config.wait.proxy_yield};
  made.clock = monotonic_us;
  made.workers = std::move(parts.workers);
  const driver::CardWish wish = wish_of(parts.config.card);
  try {
    driver::ChosenCard chosen = driver::choose_card(wish);
    chosen_ = {std::string(driver::card_kind_name(chosen.kind)), chosen.name, chosen.why};
    parts.log->info("card: {} ({})", chosen.name, chosen.why);
    if (chosen.bus) {
      driver::HardwareParts& hardware = made.hardware.emplace();
      hardware.bus = std::move(chosen.bus);
      hardware.neighbours = std::make_unique<driver::CardNeighbours>(
          carriers::Address::parse(to_string(*parts.config.card.address)), links);
      hardware.incarnation = parts.admin.header().incarnation;
      hardware.give_up_us = static_cast<std::uint64_t>(parts.config.card.give_up.count());
      hardware.frame_lines = lines_in_mtu(parts.config.listen.mtu);
      hardware.host_output = parts.config.card.host_output;
    }
    card_ = driver::make_card(std::move(made), parts.listener);
  } catch (const std::exception& error) {
    throw std::runtime_error("the card (card.kind = \"" + std::string(driver::card_kind_name(wish.kind)) +
                             "\") cannot be used: " + error.what());
  }
  // They only wake the loop: poll() looks.
  for (const int fd : card_->descriptors()) parts.loop.add_waker(fd);
  if (card_->info() != nullptr) log_hardware(parts.log);
  if (workers() != 0) parts.log->info("slots are divided among {} threads of their own", workers());
}

void NodeCard::log_hardware(NodeLog& log) const {
  const driver::CardInfo& info = *card_->info();
  log->info("card has {} slots, {} links, {} KiB of slot memory, up to {} lines a frame", info.slots, info.links,
            std::size_t{info.memory_lines} * regs::kLineBytes >> 10U, info.max_frame_lines);
  log->info("card: {}", card_->capabilities().direct_map ? "it serves the slots of processes itself"
                                                         : "slotwired relays between it and the processes");
  const std::optional<driver::HostMemoryReport> host = card_->host_memory();
  if (!host) return;
  if (host->obstacle.empty()) {
    log->info("card: it writes output rings and marks into memory of this host");
  } else {
    log->info("card: output rings are on the card: {}", host->obstacle);
  }
}

void NodeCard::replaced_by_software(std::string_view why) {
  chosen_ = {std::string(driver::card_kind_name(driver::CardKind::software)), "software",
             "the card went away: " + std::string(why)};
}

}  // namespace slotwire::engine
