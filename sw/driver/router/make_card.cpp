#include "driver/router/make_card.hpp"

#include <stdexcept>
#include <string>
#include <utility>

#include "driver/relay/hardware_mover.hpp"
#include "driver/router/routed_card.hpp"

namespace slotwire::driver {
namespace {

void add_hardware(RoutedCardParts& made, CardComposition& parts, CardListener& listener) {
  HardwareParts& hardware = *parts.hardware;
  HardwareOptions options;
  options.links = parts.soft.links;
  options.incarnation = hardware.incarnation;
  options.give_up_us = hardware.give_up_us;
  options.frame_lines = hardware.frame_lines;
  options.host_output = hardware.host_output;
  auto mover = std::make_unique<HardwareMover>(made.tables->shared(), options, listener, std::move(hardware.bus),
                                               std::move(hardware.neighbours));
  made.info = mover->info();
  made.capabilities = {"relay", parts.rows.size(), mover->serves_processes()};
  made.keep_files = mover->needs_files();
  made.host_memory = [&mover = *mover] { return mover.host_memory(); };
  for (const int fd : mover->descriptors()) made.descriptors.push_back(fd);
  made.hardware = std::move(mover);
}

void add_workers(RoutedCardParts& made, CardComposition& parts, std::vector<SlotCopy>& copies, CardListener& listener) {
  CardTables& tables = *made.tables;
  tables.inbox = std::make_unique<Inbox>(parts.rows.size(), parts.sessions);
  tables.inboxes = {tables.inbox.get()};
  made.descriptors.push_back(tables.inbox->fd());
  const WorkerOptions options{parts.soft, parts.wait, parts.clock};
  for (WorkerPlace& place : parts.workers) {
    auto worker = std::make_unique<ShardWorker>(std::move(place), static_cast<ThreadNumber>(tables.inboxes.size()),
                                                tables.shared(), copies, tables.inboxes, parts.sessions, options,
                                                listener, tables.spread);
    tables.inboxes.push_back(&worker->inbox());
    made.workers.push_back(std::move(worker));
  }
}

}  // namespace

std::unique_ptr<Card> make_card(CardComposition parts, CardListener& listener) {
  if (parts.workers.size() > RoutedCard::kMaxWorkers) {
    throw std::invalid_argument("a card has at most " + std::to_string(RoutedCard::kMaxWorkers) + " workers");
  }
  if (!parts.workers.empty() && parts.clock == nullptr) throw std::invalid_argument("workers need a clock");
  RoutedCardParts made;
  made.capabilities = {"soft", parts.rows.size(), true};
  made.links = parts.soft.links;
  made.sessions = parts.sessions;
  made.demote_us = parts.soft.demote_us;
  made.tables = std::make_unique<CardTables>(parts.rows, parts.soft.links, parts.workers.size(), listener);
  const auto frames = parts.workers.empty() ? SoftMover::Frames::of_any_slot : SoftMover::Frames::of_open_slots;
  made.soft = std::make_unique<SoftMover>(made.tables->shared(), parts.soft, listener, frames);
  if (parts.hardware) add_hardware(made, parts, listener);
  if (!parts.workers.empty()) {
    made.tables->copies.resize(parts.rows.size());
    add_workers(made, parts, made.tables->copies, listener);
  }
  return std::make_unique<RoutedCard>(std::move(made));
}

}  // namespace slotwire::driver
