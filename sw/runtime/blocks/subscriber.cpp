#include "runtime/blocks/subscriber.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <optional>
#include <stdexcept>
#include <system_error>

#include "core/slot/barrier.hpp"

namespace slotwire::blocks {
namespace {

/// Looks without waiting between two looks at who has ended, so that a process that only polls learns of it.
constexpr std::uint32_t kLooksPerDrain = 64;
/// Sleeps that stay short after the kernel took the barrier back: the first may come before publishers know.
constexpr int kShortSleeps = 4;

/// What a list's file says of itself, read once and checked against its size.
struct ListShape {
  std::size_t entries = 0;
  std::size_t block_offset = 0;
  std::size_t block_bytes = 0;
};

std::optional<ListShape> shape_of(const slot::Mapping& mapping, std::uint64_t serial) {
  if (mapping.size() < kListEntries) return std::nullopt;
  const auto& header = *reinterpret_cast<const volatile ListHeader*>(mapping.data());
  const ListShape shape{header.entries, header.block_offset, header.block_bytes};
  if (header.magic != kListMagic || header.version != kRegionVersion || header.serial != serial) return std::nullopt;
  if (!std::has_single_bit(shape.entries) || shape.entries < 2) return std::nullopt;
  if (shape.block_offset > mapping.size() || shape.block_offset < kListEntries ||
      (shape.block_offset - kListEntries) / sizeof(Entry<>) < shape.entries ||
      mapping.size() - shape.block_offset < shape.block_bytes || shape.block_offset % kPlaceBytes != 0)
    return std::nullopt;
  return shape;
}

}  // namespace

struct Subscriber::Source {
  std::uint32_t publication = 0;
  std::uint64_t serial = 0;
  std::uint32_t member = 0, pid = 0;
  SocketAddress address;
  slot::Mapping mapping;
  ListShape shape;
  CursorEntry* entry = nullptr;
  ListReader<> reader;
  std::size_t held = 0;  ///< views that are out
  bool gone = false;     ///< the publisher will publish nothing more
  bool broken = false;
  bool copies = false;      ///< of slotwired, in a cell: one life's come before the next one's
  std::uint32_t woken = 0;  ///< the publisher's WAIT that was answered last

  const ListMarks<>& marks() const { return reinterpret_cast<const ListHeader*>(mapping.data())->marks; }
};

Subscriber::Subscriber(Region& region, const std::string& topic, const SubscriberOptions& options)
    : region_(region), options_(options), topic_(topic), sleeper_(region) {
  if (topic.empty() || topic.size() > kMaxTopic)
    throw std::invalid_argument("a topic's name has 1 to " + std::to_string(kMaxTopic) + " bytes");
  ordered_ = slot::can_be_ordered();
  barrier_ = slot::heavy_barrier();
  {
    const Region::Lock lock(region);
    auto& all = region.memory().subscriptions;
    const auto free = std::find_if(all.begin(), all.end(), [](const Subscription& s) { return s.state.load() == 0; });
    if (free == all.end()) {
      throw std::runtime_error("region '" + region.name() + "' has " + std::to_string(kMaxSubscriptions) +
                               " subscribers, the most there can be: close one or use another region");
    }
    index_ = static_cast<std::uint32_t>(free - all.begin());
    free->member = region.self();
    free->waker = sleeper_.waker();
    free->overflow = static_cast<std::uint32_t>(options.overflow);
    free->barrier = barrier_ ? 1 : 0;
    free->for_link = options.for_link ? 1 : 0;
    free->history = options.history;
    free->topic = make_name(topic);
    free->state.store(1);
    // Whoever takes messages to and from other nodes has to know, even if nobody publishes here.
    region.changed();
    region.wake_others();
  }
  try {
    refresh();
  } catch (...) {
    leave();
    throw;
  }
}

Subscriber::~Subscriber() {
  leave();
}

void Subscriber::leave() noexcept {
  try {
    if (!region_.is_attached()) return;
    const Region::Lock lock(region_);
    for (const auto& source : sources_) detach(*source);
    region_.memory().subscriptions[index_].state.store(0);
    region_.changed();
    region_.wake_others();
  } catch (const std::exception&) {
    // The others find that it has gone when the process ends.
  }
}

void Subscriber::detach(Source& source) {
  dropped_before_ += source.reader.dropped();
  source.entry->cursor.overflow.store(static_cast<std::uint32_t>(Overflow::none));
  source.entry->state.store(0);
}

std::unique_ptr<Subscriber::Source> Subscriber::attach(std::uint32_t publication, std::uint64_t generation) {
  RegionMemory& region = region_.memory();
  const Publication& entry = region.publications[publication];
  auto source = std::make_unique<Source>();
  source->publication = publication;
  source->serial = entry.serial;
  source->copies = entry.for_link != 0 && !region_.means().sweeps();
  source->member = entry.member % kMaxMembers;
  source->pid = region.members[source->member].pid;
  source->address = region_.address_of(source->member, entry.waker);
  const slot::Fd file = region_.open_from(source->member, entry.list_fd);
  if (!file && (errno == EMFILE || errno == ENFILE)) {
    throw std::system_error(errno, std::generic_category(),
                            "cannot open a publisher's memory (raise the open-file limit, LimitNOFILE or ulimit -n)");
  }
  if (!file || !slot::check_sealed_file(file.get(), entry.list_bytes).empty()) return nullptr;
  source->mapping = slot::map_file(file.get(), entry.list_bytes, slot::Access::read_only);
  const std::optional<ListShape> shape = shape_of(source->mapping, entry.serial);
  if (!shape) return nullptr;
  source->shape = *shape;
  const std::span<const Entry<>> entries(reinterpret_cast<const Entry<>*>(source->mapping.data() + kListEntries),
                                         shape->entries);
  const auto made = std::find_if(region.cursors.begin(), region.cursors.end(), [&](const CursorEntry& c) {
    return c.state.load() != 0 && c.subscription == index_ && c.publication == publication &&
           c.publication_serial == entry.serial;
  });
  if (made != region.cursors.end()) {
    made->adopted.store(1);
    source->entry = &*made;
    source->reader = ListReader<>(source->marks(), entries, made->cursor, options_.overflow, entry.serial);
    return source;
  }
  CursorEntry& fresh = region_.make_cursor(index_, publication);
  source->entry = &fresh;
  const auto resumed = options_.resume.find({publication, entry.serial});
  source->reader =
      ListReader<>(source->marks(), entries, fresh.cursor, options_.overflow, options_.history, generation,
                   resumed == options_.resume.end() ? std::nullopt : std::optional<Position>(resumed->second));
  fresh.adopted.store(1);
  fresh.state.store(1);
  return source;
}

void Subscriber::refresh() {
  sleeper_.sweep_if_ended();
  const Region::Lock lock(region_);
  RegionMemory& region = region_.memory();
  const Name topic = make_name(topic_);
  const std::uint64_t next = region_.generation() + 1;
  bool attached = false;
  for (std::uint32_t i = 0; i < kMaxPublications; ++i) {
    const Publication& entry = region.publications[i];
    const bool ours = entry.state.load() != 0 && entry.topic == topic && (!options_.for_link || entry.for_link == 0);
    const auto known = std::find_if(sources_.begin(), sources_.end(),
                                    [&](const auto& source) { return source->publication == i && !source->gone; });
    if (known != sources_.end() && (!ours || (*known)->serial != entry.serial)) (*known)->gone = true;
    if (!ours || (known != sources_.end() && !(*known)->gone)) continue;
    if (auto source = attach(i, next)) {
      sources_.push_back(std::move(source));
      attached = true;
    }
  }
  // The publishers learn of it when they publish next, or now if they wait for subscribers.
  if (attached) {
    region_.changed();
    region_.wake_others();
  }
  std::vector<std::uint32_t> members;
  for (const auto& source : sources_) {
    if (!source->gone) members.push_back(source->member);
  }
  sleeper_.watch(members);
  generation_ = region_.generation();
}

/// `source`, or an earlier life's source of the same copies that has something left. That one is looked at after
/// `source` is seen to have something: by then nobody adds to it any more.
Subscriber::Source& Subscriber::earliest_with_message(Source& source) const {
  if (!source.copies || !source.reader.ready()) return source;
  Source* earliest = &source;
  for (const auto& other : sources_) {
    if (other->copies && !other->broken && other->serial < earliest->serial && other->reader.ready())
      earliest = other.get();
  }
  return *earliest;
}

Subscriber::Look Subscriber::look(View& out) {
  look_for_publishers();
  bool holds_too_many = false;
  for (std::size_t left = sources_.size(); left != 0; --left) {
    if (++turn_ >= sources_.size()) turn_ = 0;
    if (sources_[turn_]->broken) continue;
    Source& source = earliest_with_message(*sources_[turn_]);
    Taken taken;
    const auto found = source.reader.take(taken);
    if (found == ListReader<>::Look::taken) {
      const std::uint64_t offset = std::uint64_t{taken.place} * kPlaceBytes;
      if (offset > source.shape.block_bytes || taken.length > source.shape.block_bytes - offset) {
        source.broken = true;
        ++broken_;
        continue;
      }
      out.data = {source.mapping.data() + source.shape.block_offset + offset, taken.length};
      out.publisher = source.pid;
      out.source = &source;
      out.taken = taken;
      ++source.held;
      held_bytes_ += out.data.size();
      ++taken_;
      return Look::taken;
    }
    holds_too_many = holds_too_many || found == ListReader<>::Look::holds_too_many;
    if (source.gone && source.held == 0 && found == ListReader<>::Look::nothing_there) {
      const Region::Lock lock(region_);
      detach(source);
      std::erase_if(sources_, [&](const auto& one) { return one.get() == &source; });
      region_.changed();
      // All of those that are left: some have had no look yet.
      turn_ = 0;
      left = sources_.size() + 1;
    }
  }
  return holds_too_many ? Look::holds_too_many : Look::nothing_there;
}

void Subscriber::ask_to_be_woken() {
  wait_number_ += 2;
  for (const auto& source : sources_) source->entry->cursor.wait.store(wait_number_ | 1U, std::memory_order_seq_cst);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!barrier_ || slot::heavy_barrier()) return;
  // The kernel refuses it by now. Publishers rely on it until they have looked at the directory again.
  barrier_ = false;
  short_sleeps_ = kShortSleeps;
  const Region::Lock lock(region_);
  region_.memory().subscriptions[index_].barrier = 0;
  for (const auto& source : sources_) source->entry->cursor.barrier.store(0);
  region_.changed();
}

Subscriber::Look Subscriber::take(const Deadline& deadline, View& out) {
  Look found = look(out);
  if (found != Look::nothing_there) return found;
  slot::Waiter waiter(options_.wait);
  while (true) {
    sleeper_.sweep_if_ended();
    region_.means().check();
    if (deadline && *deadline <= std::chrono::steady_clock::now()) {
      if (++idle_looks_ % kLooksPerDrain == 0) sleeper_.drain();
      return Look::nothing_there;
    }
    if (waiter.next() == slot::Waiter::Step::sleep) {
      look_for_publishers();
      ask_to_be_woken();
      const std::uint64_t generation = generation_;
      found = look(out);
      if (found == Look::nothing_there && generation == generation_) {
        sleeper_.sleep(short_sleeps_ > 0 ? earlier(deadline, kTakenBackSleep) : deadline);
        short_sleeps_ = std::max(0, short_sleeps_ - 1);
      }
      for (const auto& source : sources_) source->entry->cursor.wait.store(0, std::memory_order_relaxed);
      if (found != Look::nothing_there) return found;
      waiter.reset();
    }
    found = look(out);
    if (found != Look::nothing_there) return found;
  }
}

std::uint64_t Subscriber::publication_serial(const View& view) {
  return view.source->serial;
}

Subscriber::Views Subscriber::views() const {
  Views found;
  found.bytes = held_bytes_;
  for (const auto& source : sources_) {
    found.messages += source->held;
    const std::optional<Position> oldest = source->reader.oldest_held();
    if (!oldest) continue;
    const Position tail = source->marks().tail.load(std::memory_order_relaxed);
    const std::uint64_t behind = tail - std::min(tail, *oldest + 1);
    if (found.publisher != 0 && behind <= found.behind) continue;
    found.behind = behind;
    found.publisher = source->pid;
  }
  return found;
}

void Subscriber::release(const View& view) {
  Source& source = *view.source;
  --source.held;
  held_bytes_ -= view.data.size();
  if (!source.reader.release(view.taken) || source.gone) return;
  if (ordered_ && source.marks().barrier.load(std::memory_order_relaxed) == 1) {
    std::atomic_signal_fence(std::memory_order_seq_cst);
  } else {
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  const std::uint32_t wait = source.marks().wait.load(std::memory_order_relaxed);
  if (wait == 0 || wait == source.woken) return;
  source.woken = wait;
  region_.wake(source.address);
}

bool Subscriber::arm() {
  look_for_publishers();
  ask_to_be_woken();
  const bool ready =
      short_sleeps_ > 0 || region_.generation() != generation_ || sleeper_.somebody_ended() ||
      std::any_of(sources_.begin(), sources_.end(), [](const auto& source) { return source->reader.ready(); });
  short_sleeps_ = std::max(0, short_sleeps_ - 1);
  if (ready) disarm();
  return !ready;
}

void Subscriber::disarm() {
  for (const auto& source : sources_) source->entry->cursor.wait.store(0, std::memory_order_relaxed);
  sleeper_.drain();
}

std::size_t Subscriber::publishers() {
  sleeper_.drain();
  sleeper_.sweep_if_ended();
  look_for_publishers();
  return static_cast<std::size_t>(
      std::count_if(sources_.begin(), sources_.end(), [](const auto& source) { return !source->gone; }));
}

std::uint64_t Subscriber::dropped() const {
  std::uint64_t dropped = dropped_before_;
  for (const auto& source : sources_) dropped += source->reader.dropped();
  return dropped;
}

}  // namespace slotwire::blocks
