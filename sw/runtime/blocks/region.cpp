#include "runtime/blocks/region.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include "runtime/blocks/cell_means.hpp"
#include "runtime/blocks/engine_call.hpp"
#include "runtime/blocks/region_report.hpp"

namespace slotwire::blocks {
namespace {

using slot::Fd;

constexpr std::size_t kPage = 4096;
constexpr std::size_t kRegionBytes = (sizeof(RegionMemory) + kPage - 1) / kPage * kPage;

/// Order among all Regions of this process. A record lock is the process's, and closing any descriptor of the file ends
/// it; so whoever opens, closes or locks a region file has this too.
std::mutex& process_order() {
  static std::mutex mutex;
  return mutex;
}

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

std::string wrong_region_name(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  if (name.empty() || name.size() > kMaxRegion || !std::all_of(name.begin(), name.end(), fits)) {
    return "region name '" + std::string(name.substr(0, kMaxTopic)) +
           "': 1 to 31 letters, digits, '-' and '_' are possible";
  }
  return {};
}

namespace {

void record_lock(int fd, short type, bool waits) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_len = 1;
  while (::fcntl(fd, waits ? F_SETLKW : F_SETLK, &lock) != 0) {
    if (!waits && (errno == EAGAIN || errno == EACCES)) throw RegionBusy("the region's directory is locked");
    if (errno != EINTR) fail("cannot lock the region");
  }
}

}  // namespace

Name make_name(std::string_view text) {
  Name name{};
  std::memcpy(name.data(), text.data(), std::min(text.size(), name.size() - 1));
  return name;
}

std::size_t region_bytes() {
  return kRegionBytes;
}

void begin_region(RegionMemory& region, std::string_view name) {
  region.magic = kRegionMagic;
  region.version = kRegionVersion;
  region.bytes = kRegionBytes;
  region.name = make_name(name);
}

std::string check_region(const RegionMemory& region) {
  if (region.magic == kRegionMagic && region.version == kRegionVersion) return {};
  return "its version is " + std::to_string(region.version) + ", here it is " + std::to_string(kRegionVersion);
}

bool try_lock_directory(int file) {
  try {
    record_lock(file, F_WRLCK, false);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

void unlock_directory(int file) {
  struct flock lock {};
  lock.l_type = F_UNLCK;
  lock.l_whence = SEEK_SET;
  lock.l_len = 1;
  ::fcntl(file, F_SETLK, &lock);
}

std::string region_name_of(const RegionMemory& region) {
  const Name name = region.name;
  return {name.data(), std::find(name.begin(), name.end(), '\0')};
}

SocketAddress waker_address(const std::string& prefix, std::uint32_t pid, std::uint32_t waker) {
  // '~' is in no region's name, so this is never taken for the name of a holder.
  return SocketAddress::abstract(prefix + "~." + std::to_string(pid) + "." + std::to_string(waker));
}

std::size_t wake_members(const RegionMemory& region, const std::string& prefix, const slot::Fd& socket,
                         std::uint32_t self) {
  std::size_t woken = 0;
  const auto wake_each = [&](const auto& entries) {
    for (const auto& entry : entries) {
      const std::uint32_t member = entry.member;
      if (entry.state.load() == 0 || member == self || member >= kMaxMembers) continue;
      const Member& whose = region.members[member];
      if (whose.state.load() == 0) continue;
      const SocketAddress to = waker_address(prefix, whose.pid, entry.waker);
      ::sendto(socket.get(), "", 0, MSG_DONTWAIT | MSG_NOSIGNAL, to.get(), to.length);
      ++woken;
    }
  };
  wake_each(region.publications);
  wake_each(region.subscriptions);
  return woken;
}

void remove_publication(RegionMemory& region, std::uint32_t publication) {
  Publication& entry = region.publications.at(publication);
  // The cursors go first: if this process dies in between, whoever removes its member finds the publication.
  for (CursorEntry& cursor : region.cursors) {
    if (cursor.state.load() != 0 && cursor.adopted.load() == 0 && cursor.publication == publication &&
        cursor.publication_serial == entry.serial) {
      cursor.cursor.overflow.store(static_cast<std::uint32_t>(Overflow::none));
      cursor.state.store(0);
    }
  }
  entry.state.store(0);
}

void remove_member(RegionMemory& region, std::uint32_t member) {
  for (CursorEntry& entry : region.cursors) {
    if (entry.state.load() == 0 || entry.member != member) continue;
    entry.cursor.overflow.store(static_cast<std::uint32_t>(Overflow::none));
    entry.state.store(0);
  }
  for (Subscription& entry : region.subscriptions) {
    if (entry.state.load() != 0 && entry.member == member) entry.state.store(0);
  }
  for (std::uint32_t i = 0; i < kMaxPublications; ++i) {
    const Publication& entry = region.publications[i];
    if (entry.state.load() != 0 && entry.member == member) remove_publication(region, i);
  }
  // Counted before the member goes: if this process dies here, whoever finds the member removes it once more and counts
  // again. The other way round the others would never look at the directory.
  region.generation.fetch_add(1, std::memory_order_acq_rel);
  region.members[member].state.store(0);
}

bool remove_members(RegionMemory& region, const std::function<bool(const Member&)>& has_ended) {
  bool removed = false;
  for (std::uint32_t i = 0; i < kMaxMembers; ++i) {
    const Member& member = region.members[i];
    if (member.state.load() == 0 || !has_ended(member)) continue;
    remove_member(region, i);
    removed = true;
  }
  return removed;
}

std::vector<std::string> region_names() {
  std::vector<std::string> names = announced_names();
  std::erase_if(names, [](const std::string& name) { return name.find('~') != std::string::npos; });
  return names;
}

Region::Region(std::string name, std::chrono::milliseconds patience, Engine engine) : name_(std::move(name)) {
  if (const std::string wrong = wrong_region_name(name_); !wrong.empty()) throw std::invalid_argument(wrong);
  prefix_ = meeting_prefix(name_);
  find_or_make(patience, engine);
  become_member();
}

Region::Region(RegionParts parts)
    : name_(std::move(parts.name)),
      prefix_(std::move(parts.prefix)),
      means_(std::move(parts.means)),
      file_(std::move(parts.file)),
      socket_(make_unix_socket(SOCK_DGRAM)) {
  if (const std::string wrong = slot::check_sealed_file(file_.get(), kRegionBytes); !wrong.empty())
    throw std::runtime_error("the directory of region '" + name_ + "': " + wrong);
  mapping_ = slot::map_file(file_.get(), kRegionBytes, slot::Access::read_write);
  if (const std::string wrong = check_region(memory()); !wrong.empty())
    throw std::runtime_error("the directory of region '" + name_ + "': " + wrong);
  become_member();
}

Region::~Region() {
  try {
    if (is_attached()) {
      const Lock lock(*this);
      remove_member(memory(), self_);
      wake_others();
    }
  } catch (const std::exception&) {
    // The directory is left as it is; the others find that this process has gone.
  }
  const std::lock_guard order(process_order());
  socket_.reset();
  mapping_.reset();
  file_.reset();
}

void Region::find_or_make(std::chrono::milliseconds patience, Engine asked) {
  const std::unique_ptr<EngineCall> engine = asked == Engine::asked ? EngineCall::connect(name_) : nullptr;
  if (engine && take_cell(*engine)) return;
  means_ = shared_means(name_);
  const std::lock_guard order(process_order());
  const CreationLock creation(prefix_ + ".lock", patience);
  if (!join_existing()) make_directory(engine.get());
  // From here on this process is a holder that others find.
  socket_ = announce(prefix_, file_);
}

bool Region::take_cell(EngineCall& engine) {
  auto answer = engine.ask(false);
  if (!answer || answer->fields.isolation != "strict") return false;
  if (answer->fds.size() != 2)
    throw std::runtime_error("region '" + name_ + "': slotwired sent no memory for this process");
  prefix_ = answer->fields.prefix;
  file_ = std::move(answer->fds[0]);
  if (const std::string wrong = slot::check_sealed_file(file_.get(), kRegionBytes); !wrong.empty())
    throw std::runtime_error("region '" + name_ + "': slotwired is of another release (" + wrong + ")");
  mapping_ = slot::map_file(file_.get(), kRegionBytes, slot::Access::read_write);
  if (const std::string wrong = check_region(memory()); !wrong.empty())
    throw std::runtime_error("region '" + name_ + "': slotwired is of another release (" + wrong + ")");
  means_ = std::make_unique<CellMeans>(name_, std::move(answer->fds[1]));
  socket_ = make_unix_socket(SOCK_DGRAM);
  return true;
}

/// By slotwired, if there is one: then it has the region from the beginning.
void Region::make_directory(EngineCall* engine) {
  auto answer = engine == nullptr ? std::nullopt : engine->ask(true);
  if (answer && answer->fds.size() == 1 && slot::check_sealed_file(answer->fds[0].get(), kRegionBytes).empty()) {
    file_ = std::move(answer->fds[0]);
  } else {
    file_ = slot::create_sealed_file("slotwire-region", kRegionBytes);
  }
  mapping_ = slot::map_file(file_.get(), kRegionBytes, slot::Access::read_write);
  begin_region(memory(), name_);
}

void Region::become_member() {
  const Lock lock(*this);
  sweep();
  auto& members = memory().members;
  const auto free = std::find_if(members.begin(), members.end(), [](const Member& m) { return m.state.load() == 0; });
  if (free == members.end()) {
    throw std::runtime_error("region '" + name_ + "' has " + std::to_string(kMaxMembers) +
                             " processes attached, the most there can be: end one or use another region");
  }
  self_ = static_cast<std::uint32_t>(free - members.begin());
  free->pid = static_cast<std::uint32_t>(::getpid());
  free->start_time = start_time_of(free->pid);
  free->region_fd = static_cast<std::uint32_t>(file_.get());
  free->state.store(1);
  changed();
}

bool Region::join_existing() {
  for (const Holder& holder : find_holders(prefix_)) {
    Fd file = open_shared(holder, "region '" + name_ + "'");
    if (!file) continue;
    if (const std::string wrong = slot::check_sealed_file(file.get(), kRegionBytes); !wrong.empty()) {
      throw std::runtime_error("process " + std::to_string(holder.pid) + " has region '" + name_ +
                               "' in another form (" + wrong + "): programs of different releases cannot share one");
    }
    slot::Mapping mapping = slot::map_file(file.get(), kRegionBytes, slot::Access::read_write);
    const auto& found = *reinterpret_cast<const RegionMemory*>(mapping.data());
    if (found.magic != kRegionMagic || found.version != kRegionVersion) {
      throw std::runtime_error("process " + std::to_string(holder.pid) + " has region '" + name_ + "' in version " +
                               std::to_string(found.version) + ", this library in version " +
                               std::to_string(kRegionVersion) + ": use another region name");
    }
    if (found.name != make_name(name_)) continue;  // closed, and the number taken by another region
    file_ = std::move(file);
    mapping_ = std::move(mapping);
    return true;
  }
  return false;
}

Region::Lock::Lock(Region& region) : process_(process_order()), region_(region) {
  record_lock(region.file_.get(), F_WRLCK, region.means().waits_for_lock());
}

Region::Lock::~Lock() {
  unlock_directory(region_.file_.get());
}

bool Region::is_attached() const {
  return memory().members[self_].pid == static_cast<std::uint32_t>(::getpid());
}

std::uint64_t Region::changed() {
  return memory().generation.fetch_add(1, std::memory_order_acq_rel) + 1;
}

slot::Fd Region::make_waker(std::uint32_t& waker) const {
  slot::Fd socket = make_unix_socket(SOCK_DGRAM);
  waker = static_cast<std::uint32_t>(socket.get());
  const SocketAddress address = address_of(self_, waker);
  if (!bind_to(socket, address))
    fail("cannot bind the abstract socket '" + std::string(&address.address.sun_path[1]) + "'");
  return socket;
}

SocketAddress Region::address_of(std::uint32_t member, std::uint32_t waker) const {
  return waker_address(prefix_, memory().members.at(member).pid, waker);
}

void Region::wake(const SocketAddress& address) const {
  ::sendto(socket_.get(), "", 0, MSG_DONTWAIT | MSG_NOSIGNAL, address.get(), address.length);
}

void Region::wake_others() const {
  wake_members(memory(), prefix_, socket_, self_);
  means_->changed();
}

CursorEntry& Region::make_cursor(std::uint32_t subscription, std::uint32_t publication) {
  auto& cursors = memory().cursors;
  const auto free =
      std::find_if(cursors.begin(), cursors.end(), [](const CursorEntry& c) { return c.state.load() == 0; });
  if (free == cursors.end()) {
    throw std::runtime_error("region '" + name_ + "' has " + std::to_string(kMaxCursors) +
                             " pairs of publisher and subscriber, the most there can be: use another region");
  }
  const Subscription& who = memory().subscriptions.at(subscription);
  free->subscription = subscription;
  free->member = who.member;
  free->publication = publication;
  free->publication_serial = memory().publications.at(publication).serial;
  free->adopted.store(0);
  free->cursor.wait.store(0);
  free->cursor.barrier.store(who.barrier);
  free->cursor.released.store(0);
  for (auto& hold : free->cursor.holds) hold.store(0);
  free->cursor.overflow.store(who.overflow);
  return *free;
}

bool Region::sweep() {
  if (!means_->sweeps()) return false;
  const bool swept =
      remove_members(memory(), [](const Member& member) { return !is_alive(member.pid, member.start_time); });
  if (swept) wake_others();
  return swept;
}

slot::Fd Region::open_from(std::uint32_t member, std::uint32_t fd) const {
  return means_->open_list(memory().members.at(member), fd);
}

}  // namespace slotwire::blocks
