#include "runtime/blocks/publisher.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <fstream>
#include <limits>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "core/slot/barrier.hpp"

namespace slotwire::blocks {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::uint32_t kMaxEntries = 65536;
/// Messages after which released blocks are taken back though there is room: so the next loan is a block that the
/// caches still know, at one look at every subscriber for so many messages.
constexpr std::uint32_t kRetireEvery = 64;

const PublisherOptions& checked(const PublisherOptions& options) {
  if (options.entries < 2 || options.entries > kMaxEntries || !std::has_single_bit(options.entries)) {
    throw std::invalid_argument("a list of " + std::to_string(options.entries) +
                                " entries: a power of two from 2 to 65536 is possible");
  }
  if (options.history >= options.entries) {
    throw std::invalid_argument("a history of " + std::to_string(options.history) +
                                " messages needs a list of more than " + std::to_string(options.history) + " entries");
  }
  if (options.block_bytes > BlockPool::kMaxBytes)
    throw std::invalid_argument("block memory of more than 32 GiB is not possible");
  return options;
}

/// Bytes that the kernel could give now without taking them from somebody. 0: it does not say.
std::uint64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  for (std::string key; file >> key;) {
    std::uint64_t kib = 0;
    if (key == "MemAvailable:" && file >> kib) return kib << 10;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return 0;
}

/// Shared memory that is reserved is given whether it is there or not, and some process is killed for it.
std::size_t pool_bytes(const PublisherOptions& options) {
  const std::size_t bytes = std::bit_ceil(std::max(options.block_bytes, kPage));
  const std::uint64_t available = available_memory();
  if (available != 0 && bytes + (bytes / 8) > available) {
    throw std::system_error(
        ENOMEM, std::generic_category(),
        "block memory of " + std::to_string(bytes) + " bytes, where " + std::to_string(available) + " are available");
  }
  return bytes;
}

std::size_t block_offset(const PublisherOptions& options) {
  const std::size_t list = kListEntries + (options.entries * sizeof(Entry<>));
  return (list + kPage - 1) / kPage * kPage;
}

void check_topic(const std::string& topic) {
  if (topic.empty() || topic.size() > kMaxTopic)
    throw std::invalid_argument("a topic's name has 1 to " + std::to_string(kMaxTopic) + " bytes");
}

}  // namespace

Publisher::Publisher(Region& region, const std::string& topic, const PublisherOptions& options)
    : region_(region), options_(checked(options)), pool_(pool_bytes(options)), sleeper_(region) {
  check_topic(topic);
  on_loan_.resize(pool_.bytes() / BlockPool::kUnitBytes);
  const std::size_t offset = block_offset(options);
  const std::size_t bytes = offset + pool_.bytes();
  try {
    MadeList made = region.means().make_list(bytes);
    file_ = std::move(made.file);
    mapping_ = std::move(made.mapping);
    number_ = made.number;
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::too_many_files_open) throw;
    throw std::runtime_error(std::string(error.what()) + "; or give the publisher less memory for its blocks");
  }
  blocks_ = mapping_.data() + offset;
  barrier_ = slot::heavy_barrier();
  ListHeader& list = header();
  list.magic = kListMagic;
  list.version = kRegionVersion;
  list.entries = options.entries;
  list.block_offset = offset;
  list.block_bytes = pool_.bytes();
  list.marks.barrier.store(barrier_ ? 1 : 0);
  list_ = ListWriter<>(list.marks, {reinterpret_cast<Entry<>*>(mapping_.data() + kListEntries), options.entries});

  const Region::Lock lock(region);
  auto& publications = region.memory().publications;
  const auto free =
      std::find_if(publications.begin(), publications.end(), [](const Publication& p) { return p.state.load() == 0; });
  if (free == publications.end()) {
    throw std::runtime_error("region '" + region.name() + "' has " + std::to_string(kMaxPublications) +
                             " publishers, the most there can be: close one or use another region");
  }
  index_ = static_cast<std::size_t>(free - publications.begin());
  serial_ = region.generation() + 1;
  list.serial = serial_;
  free->member = region.self();
  free->list_fd = number_;
  free->list_bytes = bytes;
  free->waker = sleeper_.waker();
  free->serial = serial_;
  free->for_link = options.for_link ? 1 : 0;
  free->topic = make_name(topic);
  free->state.store(1);
  // Those who wait for a publisher have not to come back before they are counted.
  try {
    for (std::uint32_t i = 0; i < kMaxSubscriptions; ++i) {
      const Subscription& who = region.memory().subscriptions[i];
      if (who.state.load() != 0 && who.topic == free->topic && (free->for_link == 0 || who.for_link == 0))
        region.make_cursor(i, static_cast<std::uint32_t>(index_)).state.store(1);
    }
  } catch (const std::exception&) {
    remove_publication(region.memory(), static_cast<std::uint32_t>(index_));
    throw;
  }
  region.changed();
  region.wake_others();
}

Publisher::~Publisher() {
  try {
    if (!region_.is_attached()) return;
    const Region::Lock lock(region_);
    remove_publication(region_.memory(), static_cast<std::uint32_t>(index_));
    region_.changed();
    region_.wake_others();
    region_.means().drop_list(number_);
  } catch (const std::exception&) {
    // The others find that it has gone when the process ends.
  }
}

void Publisher::refresh() {
  sleeper_.sweep_if_ended();
  region_.means().drain();  // the last change that it makes may be that it goes
  const Region::Lock lock(region_);
  generation_ = region_.generation();
  known_.clear();
  std::vector<Cursor<>*> cursors;
  std::vector<std::uint32_t> members;
  ordered_ = slot::can_be_ordered();
  for (CursorEntry& entry : region_.memory().cursors) {
    if (entry.state.load() == 0 || entry.publication != index_ || entry.publication_serial != serial_) continue;
    const std::uint32_t waker = region_.memory().subscriptions.at(entry.subscription % kMaxSubscriptions).waker;
    const Member& member = region_.memory().members.at(entry.member % kMaxMembers);
    known_.push_back({&entry, region_.address_of(entry.member % kMaxMembers, waker), member.pid, 0});
    cursors.push_back(&entry.cursor);
    members.push_back(entry.member % kMaxMembers);
    ordered_ = ordered_ && entry.cursor.barrier.load() == 1;
  }
  sleeper_.watch(members);
  list_.admit(std::move(cursors), generation_);
}

std::size_t Publisher::subscribers() {
  sleeper_.drain();
  sleeper_.sweep_if_ended();
  look_for_subscribers();
  return static_cast<std::size_t>(
      std::count_if(known_.begin(), known_.end(), [](const Known& known) { return known.entry->adopted.load() != 0; }));
}

bool Publisher::wait_for_subscribers(std::size_t count, const Deadline& deadline) {
  while (true) {
    if (subscribers() >= count) return true;
    if (!sleeper_.sleep(deadline)) return false;
  }
}

std::uint32_t Publisher::slow_subscriber() const {
  const Known* slowest = nullptr;
  Position first = list_.tail();
  for (const Known& known : known_) {
    const auto overflow = known.entry->cursor.overflow.load();
    if (overflow != static_cast<std::uint32_t>(Overflow::block) &&
        overflow != static_cast<std::uint32_t>(Overflow::fail))
      continue;
    const Position released = known.entry->cursor.released.load();
    if (released >= first) continue;
    first = released;
    slowest = &known;
  }
  return slowest == nullptr ? 0 : slowest->pid;
}

void Publisher::retire(Position limit) {
  since_retired_ = 0;
  list_.retire(
      limit, [&] { look_for_subscribers(); }, [&](BlockPlace place) { pool_.free(place); });
}

bool Publisher::make_room() {
  look_for_subscribers();
  const Position kept = list_.tail() - std::min<Position>(list_.tail(), options_.history);
  const std::size_t used = pool_.allocated_blocks();
  const Position oldest = list_.oldest();
  const Position released = std::max(oldest, std::min(list_.needed(true), kept));
  if (released == oldest) {
    // Those that may be overtaken are: by an eighth of the list, so that they are not overtaken at every message.
    const Position step = std::max<Position>(1, options_.entries / 8);
    retire(std::max(oldest, std::min({list_.needed(false), kept, oldest + step})));
  } else {
    retire(released);
  }
  return list_.oldest() != oldest || pool_.allocated_blocks() != used;
}

bool Publisher::refuses() const {
  const Position first = list_.oldest();
  return std::any_of(known_.begin(), known_.end(), [&](const Known& known) {
    return known.entry->cursor.overflow.load() == static_cast<std::uint32_t>(Overflow::fail) &&
           known.entry->cursor.released.load() <= first;
  });
}

void Publisher::ask_to_be_woken() {
  header().marks.wait.store((wait_number_ += 2) | 1U, std::memory_order_seq_cst);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!barrier_ || slot::heavy_barrier()) return;
  barrier_ = false;
  barrier_lost_ = true;
  header().marks.barrier.store(0);
}

bool Publisher::arm() {
  ask_to_be_woken();
  // A barrier that was taken back may cost this wake-up; the next arm() is sure.
  const bool changed = make_room() || sleeper_.somebody_ended() || std::exchange(barrier_lost_, false);
  if (changed) disarm();
  return !changed;
}

void Publisher::disarm() {
  header().marks.wait.store(0, std::memory_order_relaxed);
  sleeper_.drain();
}

template <typename Enough>
Room Publisher::wait_for_room(const Deadline& deadline, Enough&& enough) {
  slot::Waiter waiter(options_.wait);
  const auto found = [&] {
    while (!enough()) {
      if (!make_room()) return false;
    }
    return true;
  };
  while (true) {
    if (found()) return Room::yes;
    sleeper_.drain();
    if (sleeper_.sweep_if_ended()) continue;
    region_.means().check();
    if (refuses()) return Room::refused;
    if (deadline && *deadline <= std::chrono::steady_clock::now()) return Room::not_now;
    if (waiter.next() == slot::Waiter::Step::again) continue;
    ask_to_be_woken();
    const bool there = found();
    if (!there) sleeper_.sleep(std::exchange(barrier_lost_, false) ? earlier(deadline, kTakenBackSleep) : deadline);
    header().marks.wait.store(0, std::memory_order_relaxed);
    if (there) return Room::yes;
    waiter.reset();
  }
}

Room Publisher::loan(std::size_t bytes, const Deadline& deadline, Loan& out) {
  if (bytes > pool_.largest()) return Room::too_large;
  std::optional<BlockPlace> place = pool_.allocate(bytes);
  if (!place) {
    const Room room = wait_for_room(deadline, [&] { return (place = pool_.allocate(bytes)).has_value(); });
    if (room != Room::yes) return room;
  }
  on_loan_[*place / kUnitPlaces] = true;
  ++loans_;
  out = {{blocks_ + (std::size_t{*place} * kPlaceBytes), bytes}, *place};
  return Room::yes;
}

Publisher::Loans Publisher::loans() const {
  Loans found;
  for (std::size_t unit = 0; found.blocks != loans_; ++unit) {
    if (!on_loan_[unit]) continue;
    ++found.blocks;
    found.bytes += pool_.size_of(static_cast<BlockPlace>(unit * kUnitPlaces));
  }
  return found;
}

bool Publisher::abandon(const Loan& loan) {
  if (!is_on_loan(loan.place)) return false;
  on_loan_[loan.place / kUnitPlaces] = false;
  --loans_;
  pool_.free(loan.place);
  return true;
}

Room Publisher::publish(const Loan& loan, std::size_t bytes, const Deadline& deadline) {
  if (!is_on_loan(loan.place)) return Room::no_loan;
  if (bytes > loan.data.size() || bytes > pool_.size_of(loan.place)) return Room::too_large;
  look_for_subscribers();
  region_.means().check();
  if (list_.full()) {
    const Room room = wait_for_room(deadline, [&] { return !list_.full(); });
    if (room != Room::yes) return room;
  }
  on_loan_[loan.place / kUnitPlaces] = false;
  --loans_;
  list_.append(loan.place, bytes);
  wake_subscribers();
  if (++since_retired_ >= std::min(kRetireEvery, options_.entries / 4)) {
    region_.means().drain();  // a slotwired that was killed has changed nothing
    const Position kept = list_.tail() - std::min<Position>(list_.tail(), options_.history);
    retire(std::max(list_.oldest(), std::min(list_.needed(true), kept)));
  }
  return Room::yes;
}

void Publisher::wake_subscribers() {
  if (ordered_) {
    std::atomic_signal_fence(std::memory_order_seq_cst);
  } else {
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  for (Known& known : known_) {
    const std::uint32_t wait = known.entry->cursor.wait.load(std::memory_order_relaxed);
    if (wait == 0 || wait == known.woken) continue;
    known.woken = wait;
    region_.wake(known.address);
  }
}

}  // namespace slotwire::blocks
