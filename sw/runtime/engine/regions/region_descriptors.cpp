#include "runtime/engine/regions/region_descriptors.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <set>
#include <string_view>

namespace slotwire::engine {
namespace {

/// What a list counts at most: a directory may say anything.
constexpr std::uint64_t kMostOfList = std::uint64_t{64} << 30U;
/// Bytes of /proc/PID/cgroup that are looked at.
constexpr std::size_t kMaxCgroup = 4096;
/// Entries of an honest list at most; blocks lie behind them and are not mapped.
constexpr std::size_t kMaxEntries = 65536;
constexpr std::size_t kMostMapped = blocks::kListEntries + kMaxEntries * sizeof(blocks::Entry<>);

std::string topic_of(const blocks::Name& name) {
  blocks::Name copy = name;
  return {copy.data(), std::find(copy.begin(), copy.end() - 1, '\0')};
}

/// The unit, scope or container that a process runs in: the last part of its group's path.
std::string unit_of(std::uint32_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/cgroup";
  const slot::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, kMaxCgroup> text{};
  const ssize_t got = file ? ::read(file.get(), text.data(), text.size()) : 0;
  if (got <= 0) return {};
  std::string_view group(text.data(), static_cast<std::size_t>(got));
  group = group.substr(0, group.find('\n'));
  const std::size_t slash = group.rfind('/');
  return slash == std::string_view::npos ? std::string() : std::string(group.substr(slash + 1));
}

/// Where a subscriber stands in the list that is looked at, as it was at one moment.
struct Reader {
  std::uint32_t pid = 0;
  bool blocks = false;
  blocks::Position released = 0;
  std::array<blocks::Position, blocks::kMaxHolds> holds{};  ///< position + 1; 0: none

  bool holds_message(blocks::Position position) const {
    return std::find(holds.begin(), holds.end(), position + 1) != holds.end();
  }
};

std::vector<Reader> readers_of(const RegionDescriptors::ListKey& list, const blocks::RegionMemory& memory) {
  std::vector<Reader> readers;
  for (const blocks::CursorEntry& entry : memory.cursors) {
    if (entry.state.load() == 0 || entry.publication != list.first || entry.publication_serial != list.second) continue;
    const auto overflow = static_cast<blocks::Overflow>(entry.cursor.overflow.load());
    if (overflow == blocks::Overflow::none) continue;
    Reader reader;
    reader.pid = memory.members.at(entry.member % blocks::kMaxMembers).pid;
    reader.blocks = overflow != blocks::Overflow::drop_oldest;
    reader.released = entry.cursor.released.load();
    std::transform(entry.cursor.holds.begin(), entry.cursor.holds.end(), reader.holds.begin(),
                   [](const auto& hold) { return hold.load(); });
    readers.push_back(reader);
  }
  return readers;
}

/// A list's file, as far as it is one.
class ListFile {
 public:
  /// Why it is none; empty: it is one.
  std::string read(const slot::Fd& file, std::uint64_t bytes, std::uint64_t serial) {
    if (bytes < blocks::kListEntries || !slot::check_sealed_file(file.get(), bytes).empty())
      return "it has another size than was said, or may be cut";
    try {
      mapping_ = slot::map_file(file.get(), std::min<std::uint64_t>(bytes, kMostMapped), slot::Access::read_only);
    } catch (const std::exception&) {
      return "it cannot be mapped";
    }
    const auto& header = *reinterpret_cast<const volatile blocks::ListHeader*>(mapping_.data());
    entries_ = header.entries;
    block_offset_ = header.block_offset;
    block_bytes_ = header.block_bytes;
    const bool fits = std::has_single_bit(entries_) && block_offset_ >= blocks::kListEntries &&
                      block_offset_ <= bytes && bytes - block_offset_ >= block_bytes_ && entries_ <= kMaxEntries &&
                      entries_ <= (block_offset_ - blocks::kListEntries) / sizeof(blocks::Entry<>);
    if (header.magic != blocks::kListMagic || header.serial != serial || !fits)
      return "its header is none of this list";
    const auto& marks = reinterpret_cast<const blocks::ListHeader*>(mapping_.data())->marks;
    tail_ = marks.tail.load();
    first_ = std::min(std::max(marks.oldest.load(), tail_ - std::min<blocks::Position>(tail_, entries_)), tail_);
    readable_ = true;
    return {};
  }
  bool readable() const { return readable_; }
  blocks::Position first() const { return first_; }
  blocks::Position tail() const { return tail_; }
  /// False: the entry says that the message lies where it cannot.
  bool place(BlockDescriptor& block) const {
    if (!readable_) return true;
    const auto* const ring = reinterpret_cast<const blocks::Entry<>*>(mapping_.data() + blocks::kListEntries);
    const blocks::Entry<>& entry = ring[block.position & (entries_ - 1)];
    const std::uint64_t word = entry.place.load(), length = entry.length.load();
    if (!blocks::is_entry_of(word, block.position)) return true;
    const std::uint64_t at = std::uint64_t{static_cast<blocks::BlockPlace>(word)} * blocks::kPlaceBytes;
    if (length > block_bytes_ || at > block_bytes_ - length) return false;
    block.offset = block_offset_ + at;
    block.length = length;
    return true;
  }

 private:
  slot::Mapping mapping_;
  std::uint64_t entries_ = 0, block_offset_ = 0, block_bytes_ = 0;
  blocks::Position first_ = 0, tail_ = 0;
  bool readable_ = false;
};

void add_holder(BlockDescriptor& block, const BlockHolder& holder) {
  block.state = std::max(block.state, holder.claim);
  if (block.holders.size() < RegionDescriptors::kMaxHolders) {
    block.holders.push_back(holder);
  } else {
    ++block.more_holders;
  }
}

}  // namespace

const char* name(BlockState state) {
  switch (state) {
    case BlockState::published:
      return "published";
    case BlockState::awaited:
      return "awaited";
    case BlockState::held:
      return "held";
  }
  return "unknown";
}

RegionDescriptors::~RegionDescriptors() {
  while (!lists_.empty()) forget(lists_.begin());
}

void RegionDescriptors::forget(std::map<ListKey, ListDescriptor>::iterator list) {
  if (list->second.file) ++*files_;
  lists_.erase(list);
}

std::size_t RegionDescriptors::update(const blocks::RegionMemory& memory, std::uint64_t now_us) {
  const std::size_t opened = register_processes(memory, now_us);
  register_lists(memory, now_us);
  return opened + (files_ != nullptr ? open_lists(memory) : 0);
}

std::size_t RegionDescriptors::register_processes(const blocks::RegionMemory& memory, std::uint64_t now_us) {
  std::vector<Key> keys(blocks::kMaxMembers);
  std::set<Key> there;
  for (std::size_t i = 0; i < blocks::kMaxMembers; ++i) {
    const blocks::Member& member = memory.members[i];
    if (member.state.load() == 0) continue;
    keys[i] = {member.pid, member.start_time};
    there.insert(keys[i]);
  }
  std::erase_if(processes_, [&](const auto& known) { return !there.contains(known.first); });
  std::size_t sought = 0;
  for (const Key& key : there) {
    const auto [process, is_new] = processes_.try_emplace(key);
    if (is_new) process->second.registered_us = now_us;
    if (!process->second.unit_sought && sought < kOpenedAtOnce) {
      ++sought;
      process->second.unit_sought = true;
      process->second.unit = unit_of(key.first);
    }
    process->second.memory = 0;
    process->second.writes.clear();
    process->second.reads.clear();
  }
  const auto find = [&](std::uint32_t member) {
    const auto found = processes_.find(keys[member % blocks::kMaxMembers]);
    return found == processes_.end() ? nullptr : &found->second;
  };
  for (const blocks::Publication& entry : memory.publications) {
    if (entry.state.load() == 0) continue;
    ProcessDescriptor* const process = find(entry.member);
    if (process == nullptr) continue;
    process->memory += std::min<std::uint64_t>(entry.list_bytes, kMostOfList);
    process->writes.push_back(topic_of(entry.topic));
  }
  for (const blocks::Subscription& entry : memory.subscriptions) {
    if (entry.state.load() == 0) continue;
    if (ProcessDescriptor* const process = find(entry.member)) process->reads.push_back(topic_of(entry.topic));
  }
  for (auto& [key, process] : processes_) {
    if (process.memory <= process.most_memory) continue;
    process.most_memory = process.memory;
    ++process.growths;
  }
  return sought;
}

void RegionDescriptors::register_lists(const blocks::RegionMemory& memory, std::uint64_t now_us) {
  std::set<ListKey> published, wanted;
  for (std::uint32_t i = 0; i < blocks::kMaxPublications; ++i) {
    const blocks::Publication& entry = memory.publications[i];
    if (entry.state.load() == 0) continue;
    const ListKey key{i, entry.serial};
    published.insert(key);
    if (lists_.size() >= kMaxLists && !lists_.contains(key)) continue;
    const auto [list, is_new] = lists_.try_emplace(key);
    if (!is_new) continue;
    list->second.pid = memory.members.at(entry.member % blocks::kMaxMembers).pid;
    list->second.topic = topic_of(entry.topic);
    list->second.bytes = std::min<std::uint64_t>(entry.list_bytes, kMostOfList);
    list->second.registered_us = now_us;
  }
  for (const blocks::CursorEntry& entry : memory.cursors) {
    if (entry.state.load() != 0) wanted.insert({entry.publication, entry.publication_serial});
  }
  for (auto list = lists_.begin(); list != lists_.end();) {
    const auto one = list++;
    one->second.published = published.contains(one->first);
    if (!one->second.published && !wanted.contains(one->first)) forget(one);
  }
}

std::size_t RegionDescriptors::open_lists(const blocks::RegionMemory& memory) {
  std::size_t opened = 0;
  for (auto& [key, list] : lists_) {
    if (list.tried || !list.published) continue;
    if (*files_ == 0 || opened == kOpenedAtOnce) break;
    ++opened;
    list.tried = true;
    list.file = open(key, list, memory);
    if (list.file) --*files_;
  }
  return opened;
}

slot::Fd RegionDescriptors::open(const ListKey& key, const ListDescriptor& list,
                                 const blocks::RegionMemory& memory) const {
  const blocks::Publication& entry = memory.publications.at(key.first);
  const blocks::Member& member = memory.members.at(entry.member % blocks::kMaxMembers);
  return open_({member.pid, member.start_time}, entry.list_fd, list.bytes);
}

ListBlocks RegionDescriptors::blocks_of(const ListKey& key, const blocks::RegionMemory& memory,
                                        std::size_t most) const {
  ListBlocks found;
  const auto known = lists_.find(key);
  if (known == lists_.end()) return found;
  const std::vector<Reader> readers = readers_of(key, memory);
  slot::Fd opened;
  if (files_ == nullptr && known->second.published) opened = open(key, known->second, memory);
  const slot::Fd& source = opened ? opened : known->second.file;
  ListFile file;
  if (source) found.damage = file.read(source, known->second.bytes, key.second);
  // What was overtaken and is held, then what is in the list. Without its file only what subscribers say is known.
  std::set<blocks::Position> positions;
  for (const Reader& reader : readers) {
    for (const blocks::Position hold : reader.holds) {
      if (hold == 0 || (file.readable() && hold > file.first())) continue;
      positions.insert(hold - 1);
    }
  }
  const std::uint64_t all = positions.size() + (file.tail() - file.first());
  while (positions.size() > most) positions.erase(std::prev(positions.end()));
  for (blocks::Position at = file.first(); at != file.tail() && positions.size() < most; ++at) positions.insert(at);
  for (const blocks::Position position : positions) {
    BlockDescriptor& block = found.blocks.emplace_back();
    block.position = position;
    if (!file.place(block)) ++found.invalid;
    for (const Reader& reader : readers) {
      if (reader.holds_message(position)) {
        add_holder(block, {reader.pid, BlockState::held});
      } else if (reader.blocks && reader.released <= position && file.readable()) {
        add_holder(block, {reader.pid, BlockState::awaited});
      }
    }
  }
  found.more = all - found.blocks.size();
  return found;
}

}  // namespace slotwire::engine
