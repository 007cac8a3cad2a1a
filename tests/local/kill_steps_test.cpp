// A process that attaches, publishes, subscribes and leaves may die at any of its steps. At every point a copy of the
// region is cleaned as if it had died there, and looked through. Then it is really killed at each of them, and others
// go on.
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <sstream>
#include <vector>

#include "region_fixture.hpp"
#if defined(__x86_64__)
#include "stepped_process.hpp"
#endif

namespace slotwire::blocks::test {
namespace {

#if defined(__x86_64__)
using Look = Subscriber::Look;
using Point = SteppedProcess::Point;

constexpr slot::WaitPolicy kSleepsAtOnce{.spin = std::chrono::nanoseconds(0), .yield = std::chrono::nanoseconds(0)};
constexpr std::uint32_t kEntries = 4;
constexpr std::uint64_t kMessages = 12;

/// Each message has another length than the one before it in its entry of the list.
std::size_t length_of(Position position) {
  return 8 + (8 * (position % 7));
}

/// The process that dies. The others get a turn where it calls this, and where it sleeps.
void turn() {
  ::syscall(SYS_getppid);
}

int life(const std::string& name) {
  Region region(name);
  turn();
  Subscriber waited_for(region, "down", {.overflow = Overflow::block, .history = 2, .wait = kSleepsAtOnce});
  Publisher publisher(region, "up", {.block_bytes = 4096, .entries = kEntries, .wait = kSleepsAtOnce});
  Subscriber overtaken(region, "down", {.overflow = Overflow::drop_oldest, .history = 2, .wait = kSleepsAtOnce});
  turn();
  std::vector<Subscriber::View> held;
  std::uint64_t next = 0;
  for (std::uint64_t i = 0; i < kMessages; ++i) {
    if (publish_number(publisher, i, length_of(i)) != Room::yes) return 1;
    Publisher::Loan unused;
    if (publisher.loan(64, at_once(), unused) == Room::yes) publisher.abandon(unused);
    if (i % 3 != 0) continue;
    for (int n = 0; n < 2; ++n) {
      Subscriber::View view;
      if (waited_for.take(eventually(), view) != Look::taken) return 2;
      if (next != 0 && view.taken.position != next) return 3;
      next = view.taken.position + 1;
      held.push_back(view);
    }
    Subscriber::View early;
    if (overtaken.take(eventually(), early) != Look::taken) return 4;
    turn();
    if (number_in(early) != early.taken.position) return 5;
    overtaken.release(early);
    for (; held.size() > 1; held.pop_back()) {
      if (number_in(held.back()) != held.back().taken.position) return 6;
      waited_for.release(held.back());
    }
  }
  for (const auto& view : held) waited_for.release(view);
  return 0;
}

/// Those who live: a publisher, two subscribers to it or to the process that dies, in the process of the test.
struct Others {
  explicit Others(const std::string& name)
      : region(name),
        publisher(region, "down", {.block_bytes = 8192, .entries = 8, .history = 2, .wait = kSleepsAtOnce}),
        own(region, "down", {}),
        up(region, "up", {}) {
    publisher.subscribers();
    for (int i = 0; i < 2; ++i) publish();
    take();
  }
  void publish() {
    Publisher::Loan loan;
    ASSERT_EQ(publisher.loan(16, eventually(), loan), Room::yes);
    const Position position = publisher.published();
    for (std::size_t i = 0; i < 16; i += 8) std::memcpy(loan.data.data() + i, &position, 8);
    ASSERT_EQ(publisher.publish(loan, 16, eventually()), Room::yes);
  }
  /// Takes what there is. The last message of the process that dies is held until the next one comes.
  void take() {
    Subscriber::View view;
    while (own.take(at_once(), view) == Look::taken) {
      ASSERT_EQ(view.taken.position, own_next++);
      ASSERT_EQ(number_in(view), view.taken.position);
      own.release(view);
    }
    while (up.take(at_once(), view) == Look::taken) {
      ASSERT_EQ(view.taken.position, up_next++);
      ASSERT_EQ(number_in(view), view.taken.position);
      ASSERT_EQ(view.data.size(), length_of(view.taken.position));
      let_go();
      held = view;
    }
  }
  void let_go() {
    if (!held) return;
    ASSERT_EQ(number_in(*held), held->taken.position) << "a message changed while it was held";
    up.release(*held);
    held.reset();
  }

  Region region;
  Publisher publisher;
  Subscriber own, up;
  Position own_next = 0, up_next = 0;
  std::optional<Subscriber::View> held;
};

/// Leaves behind what the next process has to cope with. The entries that it will use were those of a process that
/// lives, whose number still stands in them; and somebody has died whom the others know, and whose entries it will
/// remove.
std::uint32_t leave_things_behind(const std::string& name, Others& others) {
  auto region = std::make_unique<Region>(name);
  auto publisher = std::make_unique<Publisher>(others.region, "unused", PublisherOptions{.block_bytes = 4096});
  std::vector<std::unique_ptr<Subscriber>> subscribers;
  for (int i = 0; i < 2; ++i)
    subscribers.push_back(std::make_unique<Subscriber>(others.region, "unused", SubscriberOptions{}));
  Process process([&](Process& self) {
    Region own(name);
    Publisher up(own, "up", {.block_bytes = 4096, .entries = kEntries});
    Subscriber down(own, "down", {.overflow = Overflow::drop_oldest});
    self.say();
    self.hear();
    return 0;
  });
  EXPECT_EQ(process.hear(), '.');
  EXPECT_EQ(others.publisher.subscribers(), 2U);
  EXPECT_EQ(others.up.publishers(), 1U);
  subscribers.clear();
  publisher.reset();
  region.reset();
  const auto pid = static_cast<std::uint32_t>(process.pid());
  process.kill();
  return pid;
}

/// A region's directory at one moment.
class Snapshot {
 public:
  explicit Snapshot(const RegionMemory& memory) {
    std::memcpy(static_cast<void*>(memory_.get()), &memory, sizeof memory);
  }
  RegionMemory& operator*() const { return *memory_; }
  RegionMemory* operator->() const { return memory_.get(); }

 private:
  std::unique_ptr<RegionMemory> memory_ = std::make_unique<RegionMemory>();
};

/// What is in use, in words; `member`: of this one only.
std::string in_use(const RegionMemory& memory, std::optional<std::uint32_t> member = std::nullopt) {
  std::ostringstream text;
  const auto counts = [&](std::uint32_t of) { return !member || *member == of; };
  for (std::uint32_t i = 0; i < kMaxMembers; ++i) {
    const Member& m = memory.members[i];
    if (m.state.load() != 0 && counts(i)) text << "member " << i << " of process " << m.pid << "\n";
  }
  for (std::size_t i = 0; i < kMaxPublications; ++i) {
    const Publication& p = memory.publications[i];
    if (p.state.load() != 0 && counts(p.member))
      text << "publication " << i << " '" << p.topic.data() << "' of member " << p.member << " serial " << p.serial
           << "\n";
  }
  for (std::size_t i = 0; i < kMaxSubscriptions; ++i) {
    const Subscription& s = memory.subscriptions[i];
    if (s.state.load() != 0 && counts(s.member))
      text << "subscription " << i << " '" << s.topic.data() << "' of member " << s.member << "\n";
  }
  for (std::size_t i = 0; i < kMaxCursors; ++i) {
    const CursorEntry& c = memory.cursors[i];
    if (c.state.load() != 0 && counts(c.member))
      text << "cursor " << i << " of subscription " << c.subscription << " of member " << c.member << " in publication "
           << c.publication << " serial " << c.publication_serial << " overflow " << c.cursor.overflow.load() << "\n";
  }
  return text.str();
}

/// Looks at the region, point by point, as if the stepped process had died there.
class Audit {
 public:
  /// `dead`: a process that has died already.
  Audit(Others& others, SteppedProcess& process, std::uint32_t dead)
      : others_(others), pid_(static_cast<std::uint32_t>(process.pid())), dead_(dead) {
    process.maps = [this, &process](int fd) { map(process.pid(), fd); };
    others_have_moved();
  }
  /// After a turn of the others.
  void others_have_moved() {
    of_others_ = in_use(others_.region.memory(), others_.region.self());
    known_to_others_ = others_.region.generation();
    cursors_.clear();
    for (std::size_t i = 0; i < kMaxCursors; ++i) {
      if (others_.region.memory().cursors[i].state.load() != 0) cursors_.insert(i);
    }
  }
  /// Whether the process has the region's lock: record locks are set with F_SETLKW and dropped with F_SETLK.
  void look_at_lock(const SteppedProcess& process) {
    if (process.call() != SYS_fcntl || process.result() != 0) return;
    if (process.second() == F_SETLKW) locked_ = true;
    if (process.second() == F_SETLK) locked_ = false;
  }
  /// Empty: everything is right.
  std::string fault() {
    const Snapshot copy(others_.region.memory());
    if (std::string wrong = incomplete(*copy); !wrong.empty()) return wrong;
    if (!locked_) seen_.emplace(copy->generation.load(), in_use(*copy));
    remove_members(*copy, [&](const Member& member) { return member.pid == pid_ || member.pid == dead_; });
    const std::string left = in_use(*copy);
    if (left != of_others_) return "in use after the death:\n" + left + "but the living have:\n" + of_others_;
    const std::uint64_t generation = copy->generation.load();
    if (const auto seen = seen_.find(generation); seen != seen_.end() && seen->second != left)
      return "generation " + std::to_string(generation) + " is what others know already, with\n" + seen->second +
             "but now there is\n" + left;
    if (generation == known_to_others_) {
      for (const std::size_t i : cursors_) {
        if (copy->cursors.at(i).state.load() == 0 && copy->cursors.at(i).cursor.overflow.load() != 0)
          return "publishers wait for cursor " + std::to_string(i) + ", which is not in use";
      }
    }
    return wrong_in_list();
  }
  /// Messages that the process published: those whose entry shows them.
  Position published() const {
    if (!list_ || list().magic != kListMagic) return 0;
    Position position = list().marks.oldest.load();
    while (is_entry_of(entry(position).place.load(), position)) ++position;
    return position;
  }

 private:
  void map(pid_t pid, int fd) {
    const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
    std::array<char, 64> target{};
    if (::readlink(path.c_str(), target.data(), target.size() - 1) < 0) return;
    if (std::string(target.data()).find("slotwire-blocks") == std::string::npos) return;
    const slot::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status {};
    ::fstat(file.get(), &status);
    list_ = slot::map_file(file.get(), static_cast<std::size_t>(status.st_size), slot::Access::read_only);
  }
  const ListHeader& list() const { return *reinterpret_cast<const ListHeader*>(list_->data()); }
  const Entry<>& entry(Position position) const {
    return reinterpret_cast<const Entry<>*>(list_->data() + kListEntries)[position % kEntries];
  }
  /// Entries that are in use hold what others go by.
  std::string incomplete(const RegionMemory& memory) const {
    const auto member_in_use = [&](std::uint32_t member) {
      return member < kMaxMembers && memory.members[member].state.load() != 0;
    };
    for (const Publication& p : memory.publications) {
      if (p.state.load() == 0) continue;
      if (!member_in_use(p.member)) return "a publication is left of a member that is not in use";
      if (p.topic[0] == 0 || p.serial > memory.generation.load() + 1) return "a publication is in use and not complete";
    }
    for (const Subscription& s : memory.subscriptions) {
      if (s.state.load() == 0) continue;
      if (!member_in_use(s.member)) return "a subscription is left of a member that is not in use";
      if (s.topic[0] == 0) return "a subscription is in use and not complete";
    }
    for (const CursorEntry& c : memory.cursors) {
      if (c.state.load() == 0) continue;
      if (!member_in_use(c.member)) return "a cursor is left of a member that is not in use";
    }
    return {};
  }
  std::string wrong_in_list() const {
    if (!list_ || list().magic != kListMagic) return {};
    const Position tail = list().marks.tail.load();
    const Position end = published();
    if (end < tail || end > tail + 1)
      return "the list shows messages up to " + std::to_string(end) + ", but its tail is " + std::to_string(tail);
    for (Position position = list().marks.oldest.load(); position != end; ++position) {
      const std::uint64_t length = entry(position).length.load();
      const auto place = static_cast<BlockPlace>(entry(position).place.load());
      const std::byte* const block = list_->data() + list().block_offset + (std::size_t{place} * kPlaceBytes);
      const Subscriber::View view{.data = {block, length}};
      if (length != length_of(position) || number_in(view) != position)
        return "message " + std::to_string(position) + " is visible and not whole";
    }
    return {};
  }

  Others& others_;
  std::uint32_t pid_, dead_;
  bool locked_ = false;
  std::optional<slot::Mapping> list_;
  std::string of_others_;                      ///< in use by the living
  std::uint64_t known_to_others_ = 0;          ///< generation of the directory as they know it
  std::set<std::size_t> cursors_;              ///< that were in use then
  std::map<std::uint64_t, std::string> seen_;  ///< what others could see in use, by generation
};

/// Gives the others a turn if the process is where they get one. True: they had it.
bool others_turn(const SteppedProcess& process, Point point, Others& others) {
  const bool turns = point == Point::leaves_call && process.call() == SYS_getppid;
  const bool sleeps = point == Point::enters_call && process.call() == SYS_poll && process.third() != 0;
  if (!turns && !sleeps) return false;
  others.publisher.subscribers();
  others.take();
  for (int i = 0; i < (turns ? 3 : 2); ++i) {
    // Who is waited for and holds messages may keep the list full.
    Publisher::Loan loan;
    if (others.publisher.loan(16, at_once(), loan) != Room::yes) break;
    const Position position = others.publisher.published();
    for (std::size_t n = 0; n < 16; n += 8) std::memcpy(loan.data.data() + n, &position, 8);
    if (others.publisher.publish(loan, 16, at_once()) != Room::yes) others.publisher.abandon(loan);
  }
  others.take();
  return true;
}

/// A point, so that it is found again: after how many points at calls, and after how many stores since.
struct Place {
  std::size_t calls = 0, stores = 0;
};

class KillSteps : public RegionTest {
 protected:
  void SetUp() override {
    try {
      SteppedProcess process([] { return 0; }, false);
      while (process.step() != Point::has_ended) {
      }
    } catch (const std::system_error& error) {
      GTEST_SKIP() << error.what() << " (ptrace)";
    }
  }
  /// Audits a whole life. The points of it.
  std::vector<Place> audit(Others& others) {
    std::vector<Place> places;
    const std::uint32_t dead = leave_things_behind(name_, others);
    SteppedProcess process([this] { return life(name_); }, true);
    Audit audit(others, process, dead);
    Place place;
    while (true) {
      const Point point = process.step();
      if (point == Point::has_ended) break;
      place.stores = point == Point::has_stored ? place.stores + 1 : 0;
      place.calls = process.calls();
      places.push_back(place);
      if (point == Point::leaves_call) audit.look_at_lock(process);
      if (others_turn(process, point, others)) audit.others_have_moved();
      if (HasFatalFailure()) return places;
      const std::string wrong = audit.fault();
      if (!wrong.empty()) {
        ADD_FAILURE() << "a death after " << place.calls << " points at calls (the last one at call " << process.call()
                      << ") and " << place.stores << " stores leaves this:\n"
                      << wrong;
        return places;
      }
    }
    EXPECT_EQ(process.status(), 0);
    EXPECT_EQ(audit.published(), kMessages);
    return places;
  }
};

TEST_F(KillSteps, NothingWrongIsLeftAtAnyPoint) {
  Others others(name_);
  const std::vector<Place> places = audit(others);
  const auto stores = std::count_if(places.begin(), places.end(), [](const Place& place) { return place.stores != 0; });
  std::printf("%zu points: %td after stores to shared memory, the others at system calls\n", places.size(), stores);
  EXPECT_GT(stores, 150);
}

TEST_F(KillSteps, OthersGoOnWhereverItIsKilled) {
  Others others(name_);
  const std::string before = in_use(others.region.memory());
  std::vector<Place> places = audit(others);
  ASSERT_FALSE(HasFailure());
  others.let_go();
  others.take();
  // Not in order, so that entries which one death left are used again by a process that dies elsewhere.
  std::shuffle(places.begin(), places.end(), std::mt19937(5));
  std::size_t killed = 0;
  for (const Place& place : places) {
    SCOPED_TRACE("killed after " + std::to_string(place.calls) + " points at calls and " +
                 std::to_string(place.stores) + " stores");
    others.up_next = 0;
    const std::uint32_t dead = leave_things_behind(name_, others);
    SteppedProcess process([this] { return life(name_); }, false);
    Audit audit(others, process, dead);
    std::size_t stores = 0;
    Point point{};
    while (point != Point::has_ended && (process.calls() < place.calls || stores < place.stores)) {
      point = process.step();
      stores = point == Point::has_stored ? stores + 1 : 0;
      others_turn(process, point, others);
      if (point == Point::leaves_call && process.calls() + 2 > place.calls) process.protect();
    }
    if (point != Point::has_ended) ++killed;
    process.kill();
    // Who waits learns of it without being told, and nobody but the dead is lost.
    others.publisher.subscribers();  // takes note of the change; the next call, of the death
    EXPECT_EQ(others.publisher.subscribers(), 1U);
    for (int i = 0; i < 20; ++i) {
      others.publish();
      others.take();
    }
    EXPECT_EQ(others.own_next, others.publisher.published());
    EXPECT_EQ(others.up_next, audit.published());
    others.let_go();
    others.take();
    EXPECT_EQ(others.up.publishers(), 0U);
    EXPECT_LE(others.publisher.used_blocks(), 8U);
    EXPECT_EQ(others.publisher.limbo(), 0U);
    {
      const Region::Lock lock(others.region);
      others.region.sweep();
    }
    EXPECT_EQ(in_use(others.region.memory()), before);
    if (HasFailure()) return;
  }
  std::printf("%zu processes killed\n", killed);
  EXPECT_GT(killed, places.size() * 9 / 10);
}
#else
TEST(KillSteps, NothingWrongIsLeftAtAnyPoint) {
  GTEST_SKIP() << "processes are stepped on x86-64 only";
}
#endif

}  // namespace
}  // namespace slotwire::blocks::test
