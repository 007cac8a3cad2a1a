#include "runtime/engine/regions/strict_region.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace slotwire::engine {
namespace {

/// What is copied in one turn, in bytes and messages.
constexpr std::size_t kBytesPerTurn = std::size_t{256} << 10U;
constexpr int kMessagesPerTurn = 64;
/// Until a directory is looked at again that its process has locked.
constexpr std::uint64_t kBusyUs = 2000;
/// Until something is tried again for which memory or descriptors were missing.
constexpr std::uint64_t kShortageUs = 200'000;
constexpr std::uint32_t kMostHistory = 255;

blocks::Deadline at_once() {
  return std::chrono::steady_clock::time_point{};
}

std::uint64_t file_bytes(const blocks::PublisherOptions& options) {
  return blocks::kListEntries + (options.entries * sizeof(blocks::Entry<>)) + std::bit_ceil(options.block_bytes);
}

}  // namespace

StrictRegion::Outlet::Outlet(Cell& where, const std::string& topic, const blocks::PublisherOptions& options)
    : cell(where), memory(where, file_bytes(options)), publisher(where.region(), topic, options) {}

StrictRegion::Inlet::Inlet(Cell& where, const std::string& topic, const blocks::SubscriberOptions& options)
    : subscriber(where.region(), topic, options) {}

StrictRegion::StrictRegion(const RegionParts& parts, std::string name, std::function<void(std::uint32_t)> cell_gone)
    : parts_(parts), name_(std::move(name)), cell_gone_(std::move(cell_gone)) {}

StrictRegion::~StrictRegion() {
  if (look_) parts_.loop.cancel(*look_);
  for (auto& [index, seat] : seats_) seat.cell->cut();
  for (auto& [index, seat] : seats_) {
    while (!seat.inlets.empty()) close_inlet(seat, seat.inlets.begin()->first);
  }
  for (auto& [index, seat] : seats_) {
    while (!seat.outlets.empty()) close_outlet(seat, seat.outlets.begin()->first);
  }
}

void StrictRegion::add(std::unique_ptr<Cell> cell) {
  const std::uint32_t index = cell->index();
  seats_[index].cell = std::move(cell);
  look_soon();
}

Cell* StrictRegion::find(std::uint32_t index) {
  const auto found = seats_.find(index);
  return found == seats_.end() ? nullptr : found->second.cell.get();
}

void StrictRegion::look_after(std::uint64_t delay_us) {
  if (look_) return;
  look_ = parts_.loop.after(delay_us, [this] {
    look_.reset();
    try {
      look();
    } catch (const std::exception& error) {
      parts_.log.limited("cells", spdlog::level::err, "region '" + name_ + "' is looked at again: " + error.what());
      look_after(kShortageUs);
    }
  });
}

bool StrictRegion::look_at(Seat& seat) {
  Cell& cell = *seat.cell;
  try {
    // As long as its process has the lock, the seat is what it was: without its wants, even for a moment, publishers
    // would go on and leave this process out.
    Cell::Topics topics = cell.topics();
    const std::size_t most = parts_.config.limits.cell_topics;
    seat.offers = std::move(topics.offers);
    seat.offers.resize(std::min(seat.offers.size(), most));
    seat.wants.clear();
    for (blocks::Interest& interest : topics.wants) {
      if (!interest.topic.empty() && seat.wants.size() < most) seat.wants.emplace(interest.topic, interest);
    }
    // What it published is there until it is drained; what it subscribed to is of no use to anybody.
    if (cell.ended()) seat.wants.clear();
    seat.looked_at = true;
    seat.busy_since_us = 0;
    return true;
  } catch (const blocks::RegionBusy&) {
    if (seat.busy_since_us == 0) seat.busy_since_us = parts_.loop.now_us();
    return false;
  } catch (const std::exception& error) {
    // Its process may write there what it likes.
    seat.damage = error.what();
    seat.offers.clear();
    seat.wants.clear();
    return true;
  }
}

bool StrictRegion::is_wanted_elsewhere(const Seat& seat, const std::string& topic) const {
  return std::any_of(seats_.begin(), seats_.end(),
                     [&](const auto& other) { return &other.second != &seat && other.second.wants.contains(topic); });
}

bool StrictRegion::is_offered_elsewhere(const Seat& seat, const std::string& topic) const {
  return std::any_of(seats_.begin(), seats_.end(), [&](const auto& other) {
    const auto& offers = other.second.offers;
    return &other.second != &seat && std::find(offers.begin(), offers.end(), topic) != offers.end();
  });
}

/// Outlets first: an inlet that begins finds those that its messages are for.
void StrictRegion::look() {
  bool again = false;
  for (auto& [index, seat] : seats_) again = !look_at(seat) || again;
  for (auto& [index, seat] : seats_) {
    std::vector<std::string> unwanted;
    for (const auto& [topic, outlet] : seat.outlets) {
      if (!seat.wants.contains(topic)) unwanted.push_back(topic);
    }
    for (const std::string& topic : unwanted) close_outlet(seat, topic);
    for (const auto& [topic, interest] : seat.wants) {
      if (seat.outlets.contains(topic) || !is_offered_elsewhere(seat, topic)) continue;
      try {
        open_outlet(seat, topic);
      } catch (const blocks::RegionBusy&) {
        again = true;
      } catch (const control::Refusal& refusal) {
        parts_.log.limited("cells", spdlog::level::warn,
                           "region '" + name_ + "': topic '" + printable(topic) + "' does not reach process " +
                               std::to_string(seat.cell->record().pid) + ": " + refusal.text);
        look_after(kShortageUs);
      } catch (const std::exception& error) {
        parts_.log.limited("cells", spdlog::level::warn,
                           "region '" + name_ + "': topic '" + printable(topic) + "' does not reach process " +
                               std::to_string(seat.cell->record().pid) + ": " + error.what());
        look_after(kShortageUs);
      }
    }
  }
  for (auto& [index, seat] : seats_) join(seat, again);
  if (again) look_after(kBusyUs);
  remove_ended();
}

/// Whether nobody knows yet what a process of an earlier life subscribes to.
bool StrictRegion::awaits_look() const {
  return std::any_of(seats_.begin(), seats_.end(), [](const auto& other) {
    return other.second.cell->taken_over() && !other.second.looked_at && other.second.damage.empty();
  });
}

/// Takes from a cell what others want of it.
void StrictRegion::join(Seat& seat, bool& again) {
  if (!seat.damage.empty()) return;
  // What an earlier life of the engine had not taken waits for all who had subscribed in it, known by now or not.
  if (seat.cell->recovered() && awaits_look()) {
    again = true;
    return;
  }
  std::vector<std::string> unwanted;
  for (const auto& [topic, inlet] : seat.inlets) {
    if (!is_wanted_elsewhere(seat, topic)) unwanted.push_back(topic);
  }
  for (const std::string& topic : unwanted) close_inlet(seat, topic);
  try {
    const Cell::Resume resume = seat.cell->resume();
    for (const std::string& topic : seat.offers) {
      if (!seat.inlets.contains(topic) && is_wanted_elsewhere(seat, topic)) open_inlet(seat, topic, resume);
    }
    // Only now: until the new subscription was there, the old one kept what it had not taken.
    seat.cell->forget_earlier_lives();
    if (seat.cell->ended() && !seat.process_removed) {
      seat.cell->remove_process();
      seat.process_removed = true;
      for (const auto& [topic, inlet] : seat.inlets) drive_after(seat.cell->index(), topic, 0);
    }
  } catch (const blocks::RegionBusy&) {
    if (seat.busy_since_us == 0) seat.busy_since_us = parts_.loop.now_us();
    again = true;
  } catch (const std::exception& error) {
    parts_.log.limited("cells", spdlog::level::warn,
                       "region '" + name_ + "': what process " + std::to_string(seat.cell->record().pid) +
                           " publishes waits: " + error.what());
    look_after(kShortageUs);
  }
}

void StrictRegion::open_outlet(Seat& seat, const std::string& topic) {
  blocks::PublisherOptions options;
  options.block_bytes = parts_.config.limits.cell_memory;
  options.history = std::min(seat.wants.at(topic).history, kMostHistory);
  options.for_link = true;
  seat.cell->check_memory(file_bytes(options));
  auto outlet = std::make_unique<Outlet>(*seat.cell, topic, options);
  outlet->waits = seat.wants.at(topic).overflow != blocks::Overflow::drop_oldest;
  parts_.loop.add(outlet->publisher.fd(), EPOLLIN, [this, publisher = &outlet->publisher, topic](std::uint32_t) {
    publisher->disarm();
    drive_topic(std::string(topic));
  });
  seat.outlets.emplace(topic, std::move(outlet));
}

void StrictRegion::open_inlet(Seat& seat, const std::string& topic, const Cell::Resume& resume) {
  blocks::SubscriberOptions options;
  options.overflow = blocks::Overflow::block;
  options.for_link = true;
  options.resume = resume;
  for (const auto& [index, other] : seats_) {
    if (&other == &seat || !other.wants.contains(topic)) continue;
    options.history = std::max(options.history, std::min(other.wants.at(topic).history, kMostHistory));
  }
  auto inlet = std::make_unique<Inlet>(*seat.cell, topic, options);
  const std::uint32_t index = seat.cell->index();
  parts_.loop.add(inlet->subscriber.fd(), EPOLLIN,
                  [this, subscriber = &inlet->subscriber, index, topic](std::uint32_t) {
                    subscriber->disarm();
                    drive_after(index, topic, 0);
                  });
  seat.inlets.emplace(topic, std::move(inlet));
  drive_after(index, topic, 0);
}

void StrictRegion::close_outlet(Seat& seat, const std::string& topic) {
  const auto found = seat.outlets.find(topic);
  parts_.loop.remove(found->second->publisher.fd());
  for (auto& [index, other] : seats_) {
    const auto inlet = other.inlets.find(topic);
    if (inlet == other.inlets.end()) continue;
    std::erase_if(inlet->second->targets, [&](const Target& target) { return target.outlet == found->second.get(); });
    drive_after(index, topic, 0);
  }
  seat.outlets.erase(found);
}

void StrictRegion::close_inlet(Seat& seat, const std::string& topic) {
  const auto found = seat.inlets.find(topic);
  Inlet& inlet = *found->second;
  parts_.loop.remove(inlet.subscriber.fd());
  if (inlet.turn) parts_.loop.cancel(*inlet.turn);
  for (const Target& target : inlet.targets) {
    if (target.loan) target.outlet->publisher.abandon(*target.loan);
  }
  if (inlet.view) inlet.subscriber.release(*inlet.view);
  seat.inlets.erase(found);
}

void StrictRegion::drive_topic(const std::string& topic) {
  for (auto& [index, seat] : seats_) {
    if (seat.inlets.contains(topic)) drive_after(index, topic, 0);
  }
}

/// Each inlet has its turn, however much others have to copy.
void StrictRegion::drive_after(std::uint32_t cell, const std::string& topic, std::uint64_t delay_us) {
  const auto seat = seats_.find(cell);
  if (seat == seats_.end()) return;
  const auto inlet = seat->second.inlets.find(topic);
  if (inlet == seat->second.inlets.end() || inlet->second->turn) return;
  inlet->second->turn = parts_.loop.after(delay_us, [this, cell, topic] {
    const auto at = seats_.find(cell);
    if (at == seats_.end()) return;
    const auto there = at->second.inlets.find(topic);
    if (there == at->second.inlets.end()) return;
    there->second->turn.reset();
    drive(at->second, std::string(topic));
  });
}

void StrictRegion::drive(Seat& seat, const std::string& topic) {
  Inlet& inlet = *seat.inlets.at(topic);
  const std::uint32_t index = seat.cell->index();
  try {
    std::size_t budget = kBytesPerTurn;
    for (int messages = 0; messages < kMessagesPerTurn; ++messages) {
      if (!inlet.view && !take(seat, inlet, topic)) return;
      switch (give(inlet, budget)) {
        case Step::done:
          inlet.subscriber.release(*inlet.view);
          inlet.view.reset();
          break;
        case Step::blocked:
          return;
        case Step::budget_spent:
          return drive_after(index, topic, 0);
      }
    }
    drive_after(index, topic, 0);
  } catch (const blocks::RegionBusy&) {
    drive_after(index, topic, kBusyUs);
  } catch (const std::exception& error) {
    parts_.log.limited("cells", spdlog::level::warn,
                       "region '" + name_ + "': topic '" + printable(topic) + "' waits: " + error.what());
    drive_after(index, topic, kShortageUs);
  }
}

/// Whether a process that is to lose nothing of the topic has no memory for it yet.
bool StrictRegion::misses_outlet(const Seat& seat, const std::string& topic) const {
  // What a publisher that has ended left is for those that were there.
  if (std::find(seat.offers.begin(), seat.offers.end(), topic) == seat.offers.end()) return false;
  return std::any_of(seats_.begin(), seats_.end(), [&](const auto& other) {
    const auto interest = other.second.wants.find(topic);
    return &other.second != &seat && interest != other.second.wants.end() &&
           interest->second.overflow != blocks::Overflow::drop_oldest && !other.second.outlets.contains(topic);
  });
}

/// False: there is no message, and the subscriber's descriptor says when there is.
bool StrictRegion::take(Seat& seat, Inlet& inlet, const std::string& topic) {
  if (misses_outlet(seat, topic)) {
    drive_after(seat.cell->index(), topic, kShortageUs);
    return false;
  }
  blocks::Subscriber::View view;
  inlet.drained = false;
  if (inlet.subscriber.take(at_once(), view) != blocks::Subscriber::Look::taken) {
    if (seat.process_removed) {
      inlet.drained = true;
      look_soon();
    } else if (!inlet.subscriber.arm()) {
      drive_after(seat.cell->index(), topic, 0);
    }
    return false;
  }
  inlet.view = view;
  inlet.targets.clear();
  for (auto& [index, other] : seats_) {
    const auto outlet = other.outlets.find(topic);
    if (&other != &seat && outlet != other.outlets.end()) inlet.targets.push_back({outlet->second.get()});
  }
  return true;
}

StrictRegion::Step StrictRegion::give(Inlet& inlet, std::size_t& budget) {
  bool again = true;
  while (again) {
    again = false;
    for (std::size_t i = 0; i < inlet.targets.size();) {
      switch (give_to(inlet.targets[i], inlet.view->data, budget)) {
        case Step::done:
          inlet.targets.erase(inlet.targets.begin() + static_cast<std::ptrdiff_t>(i));
          break;
        case Step::budget_spent:
          return Step::budget_spent;
        case Step::blocked:
          // False: there is room by now.
          again = !inlet.targets[i].outlet->publisher.arm() || again;
          ++i;
          break;
      }
    }
    if (again) return Step::budget_spent;
  }
  return inlet.targets.empty() ? Step::done : Step::blocked;
}

StrictRegion::Step StrictRegion::give_to(Target& target, std::span<const std::byte> data, std::size_t& budget) {
  blocks::Publisher& publisher = target.outlet->publisher;
  Outlet& outlet = *target.outlet;
  if (!outlet.adopted) outlet.adopted = publisher.subscribers() > 0;
  // The process maps it when it looks next, and says so.
  if (!outlet.adopted && outlet.waits) return Step::blocked;
  if (!target.loan) {
    blocks::Publisher::Loan loan;
    const blocks::Room room = publisher.loan(std::max<std::size_t>(data.size(), 1), at_once(), loan);
    if (room == blocks::Room::too_large) {
      ++target.outlet->too_large;
      parts_.log.limited("cells", spdlog::level::warn,
                         "region '" + name_ + "': a message of " + std::to_string(data.size()) +
                             " bytes is not delivered to process " + std::to_string(target.outlet->cell.record().pid) +
                             ": it is larger than limits.cell_memory");
      return Step::done;
    }
    if (room != blocks::Room::yes) return Step::blocked;
    target.loan = loan;
  }
  while (target.copied < data.size()) {
    if (budget == 0) return Step::budget_spent;
    const std::size_t piece = std::min(budget, data.size() - target.copied);
    std::memcpy(target.loan->data.data() + target.copied, data.data() + target.copied, piece);
    target.copied += piece;
    budget -= piece;
  }
  if (publisher.publish(*target.loan, data.size(), at_once()) != blocks::Room::yes) return Step::blocked;
  ++target.outlet->copied;
  target.loan.reset();
  return Step::done;
}

void StrictRegion::remove_ended() {
  std::vector<std::uint32_t> gone;
  for (auto& [index, seat] : seats_) {
    const std::uint64_t patience = static_cast<std::uint64_t>(parts_.config.limits.handshake.count());
    const bool stuck = seat.busy_since_us != 0 && parts_.loop.now_us() - seat.busy_since_us > patience;
    if (stuck) {
      parts_.log.limited("cells", spdlog::level::warn,
                         "region '" + name_ + "': process " + std::to_string(seat.cell->record().pid) +
                             " has had its directory locked for too long, and is shut out");
    }
    if (!seat.damage.empty()) {
      parts_.log.limited("cells", spdlog::level::warn,
                         "region '" + name_ + "': process " + std::to_string(seat.cell->record().pid) +
                             " has damaged its directory, and is shut out: " + seat.damage);
    }
    const bool drained =
        std::all_of(seat.inlets.begin(), seat.inlets.end(), [](const auto& inlet) { return inlet.second->drained; });
    if (stuck || !seat.damage.empty() || (seat.cell->ended() && seat.process_removed && drained)) gone.push_back(index);
  }
  for (const std::uint32_t index : gone) {
    Seat& seat = seats_.at(index);
    seat.cell->cut();
    while (!seat.inlets.empty()) close_inlet(seat, seat.inlets.begin()->first);
    while (!seat.outlets.empty()) close_outlet(seat, seat.outlets.begin()->first);
    seat.cell->forget_kept();
    seats_.erase(index);
    look_soon();
  }
  if (gone.empty()) return;
  // This object may go with the last of them.
  const auto cell_gone = cell_gone_;
  for (const std::uint32_t index : gone) cell_gone(index);
}

std::size_t StrictRegion::kept() const {
  std::size_t tags = 0;
  for (const auto& [index, seat] : seats_) tags += 1 + seat.cell->lists();
  return tags;
}

control::Json StrictRegion::report() const {
  control::Json rows = control::Json::array();
  for (const auto& [index, seat] : seats_) {
    const RegionFigures figures = seat.cell->figures();
    std::uint64_t copied = 0, too_large = 0, bytes = figures.bytes;
    for (const auto& [topic, outlet] : seat.outlets) {
      copied += outlet->copied;
      too_large += outlet->too_large;
      bytes += outlet->memory.bytes();
    }
    rows.push_back({{"region", name_},
                    {"uid", seat.cell->record().uid},
                    {"isolation", "strict"},
                    {"origin", seat.cell->taken_over() ? "kept" : "made"},
                    {"pid", seat.cell->record().pid},
                    {"cell", index},
                    {"processes", figures.processes},
                    {"publishers", figures.publishers},
                    {"subscribers", figures.subscribers},
                    {"memory", bytes},
                    {"copied", copied},
                    {"too_large", too_large}});
  }
  return rows;
}

}  // namespace slotwire::engine
