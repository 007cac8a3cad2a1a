#include "runtime/cache/node_cache.hpp"

#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <stdexcept>
#include <system_error>

#include "core/cache/part.hpp"
#include "runtime/blocks/meeting.hpp"

namespace slotwire::cache {
namespace {

constexpr std::chrono::seconds kPatience{10};
constexpr std::size_t kPage = 4096;
/// Begins the names of caches; no region's name has a '~'.
constexpr const char* kNamePrefix = "cache~";

std::string name_of(const std::string& label) {
  std::array<char, 17> text{};
  const std::uint64_t hash = hash_of(0, 0, std::as_bytes(std::span(label)));
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(hash));
  return kNamePrefix + std::string(text.data());
}

std::size_t size_of(const slot::Fd& file) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0 || status.st_size < 0) return 0;
  return static_cast<std::size_t>(status.st_size);
}

}  // namespace

Time boot_time() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return (static_cast<Time>(now.tv_sec) * 1'000'000'000) + static_cast<Time>(now.tv_nsec);
}

Owner own_name() {
  const auto pid = static_cast<std::uint32_t>(::getpid());
  return (blocks::start_time_of(pid) << kPidBits) | pid;
}

bool is_alive(Owner owner, bool is_short) {
  const auto pid = static_cast<std::uint32_t>(owner & ((Owner{1} << kPidBits) - 1));
  std::uint64_t start = owner >> kPidBits;
  if (is_short) {
    const std::uint64_t found = blocks::start_time_of(pid);
    if (found == blocks::kUnknownStart) return true;
    if (short_owner((found << kPidBits) | pid) != short_owner(owner)) return false;
    start = found;
  }
  return blocks::is_alive(pid, start);
}

std::string label_of(const std::string& node, const std::string& socket) {
  std::array<char, PATH_MAX> real{};
  const std::string path = ::realpath(socket.c_str(), real.data()) != nullptr ? std::string(real.data()) : socket;
  return (node + " " + path).substr(0, kMaxLabel);
}

void NodeCache::view() {
  owner_ = own_name();
  cache_ = std::make_unique<Cache>(std::span(mapping_.data(), mapping_.size()), owner_,
                                   [](Owner owner) { return is_alive(owner, false); });
}

bool NodeCache::is_own() const {
  return static_cast<std::uint32_t>(::getpid()) == (owner_ & ((Owner{1} << kPidBits) - 1));
}

bool NodeCache::join(const std::string& prefix, const std::string& label) {
  for (const blocks::Holder& holder : blocks::find_holders(prefix)) {
    const std::string what = "the exchange cache of node " + label;
    slot::Fd file = blocks::open_shared(holder, what);
    if (!file) continue;
    const std::size_t bytes = size_of(file);
    std::string wrong = bytes < kMinBytes ? "it is too small" : slot::check_sealed_file(file.get(), bytes);
    if (wrong.empty()) {
      slot::Mapping mapping = slot::map_file(file.get(), bytes, slot::Access::read_write);
      wrong = Cache::check(std::span<const std::byte>(mapping.data(), mapping.size()));
      if (wrong.empty()) {
        mapping_ = std::move(mapping);
        view();
        if (!label.empty() && cache_->label() != label) continue;  // closed, and the number taken by another cache
        file_ = std::move(file);
        return true;
      }
    }
    throw std::runtime_error("process " + std::to_string(holder.pid) + " has " + what + " in another form (" + wrong +
                             "): programs of different releases cannot share one");
  }
  return false;
}

void NodeCache::make(const std::string& label, std::size_t bytes) {
  bytes = std::clamp(bytes, kMinBytes, kMaxBytes) / kPage * kPage;
  try {
    file_ = slot::create_sealed_file("slotwire-cache", bytes);
    mapping_ = slot::map_file(file_.get(), bytes, slot::Access::read_write);
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::too_many_files_open) throw;
    throw std::runtime_error(std::string(error.what()) +
                             "; give the exchange cache fewer bytes by SLOTWIRE_CACHE_BYTES, or 0 for none");
  }
  std::uint64_t seed = 0;
  if (::getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = boot_time();
  Cache::format(std::span(mapping_.data(), bytes), seed, label);
  view();
}

std::shared_ptr<NodeCache> NodeCache::open(const std::string& label, std::size_t bytes) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<NodeCache>> of_process;
  const std::lock_guard lock(mutex);
  std::weak_ptr<NodeCache>& kept = of_process[label];
  if (std::shared_ptr<NodeCache> found = kept.lock(); found && found->is_own()) return found;
  const std::string prefix = blocks::meeting_prefix(name_of(label));
  std::shared_ptr<NodeCache> opened(std::make_unique<NodeCache>(NodeCache()));
  const blocks::CreationLock creation(prefix + ".lock", kPatience);
  if (!opened->join(prefix, label)) opened->make(label, bytes);
  // From here on others find it through this process.
  opened->socket_ = blocks::announce(prefix, opened->file_);
  kept = opened;
  return opened;
}

std::vector<std::string> NodeCache::names() {
  std::vector<std::string> names = blocks::announced_names();
  std::erase_if(names, [](const std::string& name) { return !name.starts_with(kNamePrefix); });
  return names;
}

std::shared_ptr<NodeCache> NodeCache::open_existing(const std::string& name) {
  std::shared_ptr<NodeCache> opened(std::make_unique<NodeCache>(NodeCache()));
  return opened->join(blocks::meeting_prefix(name), {}) ? opened : nullptr;
}

}  // namespace slotwire::cache
