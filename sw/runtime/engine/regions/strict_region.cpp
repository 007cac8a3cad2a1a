#include "runtime/engine/regions/strict_region.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace slotwire::engine {
namespace {

/// Messages that are copied in one turn.
constexpr int kMessagesPerTurn = 64;
/// Until a directory is looked at again that its process has locked.
constexpr std::uint64_t kBusyUs = 2000;
/// Until something is tried again for which memory or descriptors were missing.
constexpr std::uint64_t kShortageUs = 200'000;
constexpr std::uint32_t kMostHistory = 255;
/// What a look at a directory costs, and what opening or closing something in it does beside those that it wakes, in
/// system calls.
constexpr std::size_t kLookCost = 4, kChangeCost = 2;
/// What one turn may cost before others have theirs; one look, opening or closing may go beyond it.
constexpr std::size_t kCostPerTurn = 256;
/// What is slower than its system calls is charged for its time.
constexpr std::uint64_t kSystemCallUs = 4;
/// What a message that is copied may take, and how much of it in a microsecond: copying is what a strict region is for.
constexpr std::uint64_t kMessageUs = 60;
constexpr std::uint64_t kBytesOfAUs = 300;
/// No turn takes longer, but for what one message needs.
constexpr std::uint64_t kLongestTurnUs = 2000;

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

StrictRegion::StrictRegion(const RegionParts& parts, LookBudget& budget, std::string name,
                           std::function<void(std::uint32_t)> cell_gone)
    : parts_(parts), budget_(budget), name_(std::move(name)), cell_gone_(std::move(cell_gone)) {}

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

void StrictRegion::look_soon(std::uint32_t cell) {
  if (const auto found = seats_.find(cell); found != seats_.end()) found->second.due = true;
  look_soon();
}

void StrictRegion::on_tick() {
  for (auto& [index, seat] : seats_) {
    for (const std::string& topic : std::exchange(seat.late, {})) drive_after(index, topic, 0);
  }
  if (std::exchange(put_off_, false)) look_soon();
}

/// An earlier time takes the place of a later one.
void StrictRegion::look_after(std::uint64_t delay_us) {
  const std::uint64_t at_us = parts_.loop.now_us() + delay_us;
  if (look_ && look_at_us_ <= at_us) return;
  if (look_) parts_.loop.cancel(*look_);
  look_at_us_ = at_us;
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

/// What a user's cell has cost since then, at least so many system calls.
void StrictRegion::charge(uid_t uid, std::uint64_t since_us, std::size_t calls) {
  const std::size_t cost =
      std::max(calls, static_cast<std::size_t>((parts_.loop.used_us() - since_us) / kSystemCallUs));
  turn_cost_ += cost;
  budget_.spend(uid, cost);
}

void StrictRegion::set_topics(Seat& seat, std::vector<std::string> offers,
                              std::map<std::string, blocks::Interest> wants) {
  const auto add = [](std::map<std::string, std::size_t>& counts, const std::string& topic) { ++counts[topic]; };
  const auto take = [](std::map<std::string, std::size_t>& counts, const std::string& topic) {
    if (const auto found = counts.find(topic); --found->second == 0) counts.erase(found);
  };
  const uid_t uid = user_of(seat);
  for (const std::string& topic : seat.offers) {
    take(offered_, topic);
    if (std::find(offers.begin(), offers.end(), topic) == offers.end()) changed_by_[topic] = uid;
  }
  for (const std::string& topic : offers) {
    add(offered_, topic);
    if (std::find(seat.offers.begin(), seat.offers.end(), topic) == seat.offers.end()) changed_by_[topic] = uid;
  }
  for (const auto& [topic, interest] : seat.wants) {
    take(wanted_, topic);
    if (!wants.contains(topic)) changed_by_[topic] = uid;
  }
  for (const auto& [topic, interest] : wants) {
    add(wanted_, topic);
    if (!seat.wants.contains(topic)) changed_by_[topic] = uid;
  }
  seat.offers = std::move(offers);
  seat.wants = std::move(wants);
}

/// Whether something may be opened or closed in the cell now. Otherwise that is done later.
bool StrictRegion::may_change(const Seat& seat, const std::string& topic) {
  const auto payer = changed_by_.find(topic);
  if (budget_.is_spent(payer == changed_by_.end() ? user_of(seat) : payer->second)) return put_off_ = true, false;
  if (turn_cost_ >= kCostPerTurn) return more_ = true, false;
  return true;
}

/// Something was opened or closed in the cell.
void StrictRegion::changed(const Seat& seat, const std::string& topic, std::uint64_t since_us) {
  const auto payer = changed_by_.find(topic);
  charge(payer == changed_by_.end() ? user_of(seat) : payer->second, since_us, kChangeCost + seat.cell->wakers());
}

bool StrictRegion::look_at(Seat& seat) {
  Cell& cell = *seat.cell;
  const std::uint64_t since_us = parts_.loop.used_us();
  std::size_t calls = kLookCost;
  bool looked = true;
  try {
    // As long as its process has the lock, the seat is what it was: without its wants, even for a moment, publishers
    // would go on and leave this process out.
    const std::uint64_t generation = cell.directory().generation.load();
    Cell::Topics topics = cell.topics();
    calls += topics.opened;
    const std::size_t most = parts_.config.limits.cell_topics;
    topics.offers.resize(std::min(topics.offers.size(), most));
    std::map<std::string, blocks::Interest> wants;
    for (blocks::Interest& interest : topics.wants) {
      if (!interest.topic.empty() && wants.size() < most) wants.emplace(interest.topic, interest);
    }
    // What it published is there until it is drained; what it subscribed to is of no use to anybody.
    if (cell.ended()) wants.clear();
    set_topics(seat, std::move(topics.offers), std::move(wants));
    seat.looked_at = true;
    seat.busy_since_us = 0;
    seat.due = false;
    seat.generation = generation;
  } catch (const blocks::RegionBusy&) {
    if (seat.busy_since_us == 0) seat.busy_since_us = parts_.loop.now_us();
    seat.due = true;
    looked = false;
  } catch (const std::exception& error) {
    // Its process may write there what it likes.
    seat.damage = error.what();
    set_topics(seat, {}, {});
    seat.due = false;
  }
  charge(user_of(seat), since_us, calls);
  return looked;
}

bool StrictRegion::is_wanted_elsewhere(const Seat& seat, const std::string& topic) const {
  const auto found = wanted_.find(topic);
  return found != wanted_.end() && found->second > (seat.wants.contains(topic) ? 1U : 0U);
}

bool StrictRegion::is_offered_elsewhere(const Seat& seat, const std::string& topic) const {
  const auto found = offered_.find(topic);
  if (found == offered_.end()) return false;
  const bool own = std::find(seat.offers.begin(), seat.offers.end(), topic) != seat.offers.end();
  return found->second > (own ? 1U : 0U);
}

/// Looks at the directories that have changed, as far as their users' budgets go.
void StrictRegion::look_at_seats(bool& again) {
  for (auto& [index, seat] : seats_) {
    if (!seat.damage.empty()) continue;
    if (!seat.due && seat.generation == seat.cell->directory().generation.load()) continue;
    seat.due = true;
    if (budget_.is_spent(user_of(seat))) {
      put_off_ = true;
    } else if (turn_cost_ >= kCostPerTurn) {
      more_ = true;
    } else {
      again = !look_at(seat) || again;
    }
  }
}

/// Outlets first: an inlet that begins finds those that its messages are for.
void StrictRegion::look() {
  bool again = false;
  turn_cost_ = 0;
  more_ = false;
  const std::uint64_t since_us = parts_.loop.used_us();
  look_at_seats(again);
  for (auto& [index, seat] : seats_) tend_outlets(seat, again);
  for (auto& [index, seat] : seats_) join(seat, again);
  if (!again && !more_ && !put_off_) changed_by_.clear();
  if (again) look_after(kBusyUs);
  // Others have most of the time.
  if (more_) look_after(parts_.loop.used_us() - since_us);
  remove_ended();
}

/// Gives to a cell what it wants of others.
void StrictRegion::tend_outlets(Seat& seat, bool& again) {
  if (!seat.damage.empty()) return;
  std::vector<std::string> unwanted;
  for (const auto& [topic, outlet] : seat.outlets) {
    if (!seat.wants.contains(topic)) unwanted.push_back(topic);
  }
  for (const std::string& topic : unwanted) {
    if (!may_change(seat, topic)) continue;
    const std::uint64_t since_us = parts_.loop.used_us();
    close_outlet(seat, topic);
    changed(seat, topic, since_us);
  }
  const auto no_reach = [&](const std::string& topic, const std::string& why) {
    parts_.log.limited("cells", spdlog::level::warn,
                       "region '" + name_ + "': topic '" + printable(topic) + "' does not reach process " +
                           std::to_string(seat.cell->record().pid) + ": " + why);
    look_after(kShortageUs);
  };
  for (const auto& [topic, interest] : seat.wants) {
    if (seat.outlets.contains(topic) || !is_offered_elsewhere(seat, topic) || !may_change(seat, topic)) continue;
    const std::uint64_t since_us = parts_.loop.used_us();
    try {
      open_outlet(seat, topic);
    } catch (const blocks::RegionBusy&) {
      again = true;
    } catch (const control::Refusal& refusal) {
      no_reach(topic, refusal.text);
    } catch (const std::exception& error) {
      no_reach(topic, error.what());
    }
    changed(seat, topic, since_us);
  }
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
  for (const std::string& topic : unwanted) {
    if (!may_change(seat, topic)) continue;
    const std::uint64_t since_us = parts_.loop.used_us();
    close_inlet(seat, topic);
    changed(seat, topic, since_us);
  }
  try {
    const Cell::Resume resume = seat.cell->resume();
    bool complete = seat.looked_at;
    for (const std::string& topic : seat.offers) {
      if (seat.inlets.contains(topic) || !is_wanted_elsewhere(seat, topic)) continue;
      if (!may_change(seat, topic)) {
        complete = false;
        continue;
      }
      const std::uint64_t since_us = parts_.loop.used_us();
      open_inlet(seat, topic, resume);
      changed(seat, topic, since_us);
    }
    if (!complete) return;
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
  if (budget_.is_spent(user_of(seat))) {
    seat.late.insert(topic);
    return;
  }
  const std::uint64_t since_us = parts_.loop.used_us();
  turn_ = {};
  turn_.user = user_of(seat);
  copy(seat, topic);
  // What took longer than copying does was spent on what stands in directories and lists.
  const std::uint64_t fair_us =
      (turn_.messages * kMessageUs) + ((kBytesPerTurn - turn_.bytes_left) / kBytesOfAUs) + kMessageUs;
  if (parts_.loop.used_us() - since_us > fair_us) charge(turn_.user, since_us + fair_us, 0);
}

/// Remembers whose cell took most of a turn: it began at `since_us`, on the clock.
void StrictRegion::took(uid_t uid, std::uint64_t since_us) {
  const std::uint64_t us = parts_.loop.now_us() - since_us;
  if (us <= turn_.slowest_us) return;
  turn_.slowest_us = us;
  turn_.user = uid;
}

void StrictRegion::copy(Seat& seat, const std::string& topic) {
  Inlet& inlet = *seat.inlets.at(topic);
  const std::uint32_t index = seat.cell->index();
  const std::uint64_t begin_us = parts_.loop.now_us();
  try {
    for (int messages = 0; messages < kMessagesPerTurn; ++messages) {
      if (parts_.loop.now_us() - begin_us > kLongestTurnUs) break;
      if (!inlet.view) {
        const std::uint64_t since_us = parts_.loop.now_us();
        const bool taken = take(seat, inlet, topic);
        took(user_of(seat), since_us);
        if (!taken) return;
      }
      switch (give(inlet)) {
        case Step::done:
          inlet.subscriber.release(*inlet.view);
          inlet.view.reset();
          ++turn_.messages;
          break;
        case Step::blocked:
          if (turn_.late) seat.late.insert(topic);
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

StrictRegion::Step StrictRegion::give(Inlet& inlet) {
  bool again = true;
  while (again) {
    again = false;
    for (std::size_t i = 0; i < inlet.targets.size();) {
      const uid_t uid = inlet.targets[i].outlet->cell.record().uid;
      if (budget_.is_spent(uid)) {
        turn_.late = true;
        ++i;
        continue;
      }
      const std::uint64_t since_us = parts_.loop.now_us();
      const Step step = give_to(inlet.targets[i], inlet.view->data);
      took(uid, since_us);
      switch (step) {
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

StrictRegion::Step StrictRegion::give_to(Target& target, std::span<const std::byte> data) {
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
    if (turn_.bytes_left == 0) return Step::budget_spent;
    const std::size_t piece = std::min(turn_.bytes_left, data.size() - target.copied);
    std::memcpy(target.loan->data.data() + target.copied, data.data() + target.copied, piece);
    target.copied += piece;
    turn_.bytes_left -= piece;
  }
  if (publisher.publish(*target.loan, data.size(), at_once()) != blocks::Room::yes) return Step::blocked;
  ++target.outlet->copied;
  ++turn_.messages;
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
    seat.cell->clear();
    set_topics(seat, {}, {});
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
