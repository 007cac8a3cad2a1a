#include "runtime/engine/regions/cell.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <system_error>

#include "core/slot/open_files.hpp"
#include "runtime/blocks/meeting.hpp"

namespace slotwire::engine {
namespace {

/// Packets of one process that are taken at a time.
constexpr int kCellPacketsAtOnce = 16;
constexpr std::size_t kCellPage = 4096;
/// A list's file beside its blocks: the header and the most entries.
constexpr std::uint64_t kMostBesideBlocks = blocks::kListEntries + (65536 * sizeof(blocks::Entry<>)) + kCellPage;
constexpr std::uint32_t kLastNumber = 0xffff;
/// Until a list that waits for the keeper is tried again, and when it is not any more: the process waits for
/// 5 seconds (CellMeans).
constexpr std::uint64_t kListLaterUs = 20'000;
constexpr std::uint64_t kListPatienceUs = 4'000'000;

}  // namespace

/// The engine's means in a cell.
class Cell::Side final : public blocks::RegionMeans {
 public:
  explicit Side(Cell& cell) : cell_(cell) {}

  blocks::MadeList make_list(std::size_t bytes) override {
    slot::WrittenFile made = slot::create_written_file("slotwire-copies", bytes);
    const slot::Fd theirs = slot::read_only_copy(made.file);
    const std::uint32_t number = cell_.next_list_++;
    if (!cell_.channel_->send(blocks::encode({.word = blocks::CellWord::list, .number = number}), {theirs.get()}))
      throw std::runtime_error("the process does not read its channel");
    return {std::move(made.file), std::move(made.mapping), number};
  }
  void drop_list(std::uint32_t number) override {
    cell_.channel_->send(blocks::encode({.word = blocks::CellWord::dropped, .number = number}));
  }
  slot::Fd open_list(const blocks::Member& /*member*/, std::uint32_t number) override {
    return cell_.open_list(number);
  }
  bool waits_for_lock() const override { return false; }
  bool sweeps() const override { return false; }

 private:
  Cell& cell_;
};

Cell::Cell(const RegionParts& parts, std::uint32_t index, RegionRecord record, std::uint64_t& made_bytes, Events events)
    : parts_(parts),
      index_(index),
      record_(std::move(record)),
      made_bytes_(made_bytes),
      events_(std::move(events)),
      next_list_(parts.random()),
      charge_(parts.users, record_.uid, Resource::regions),
      directory_charge_(parts.users, record_.uid, Resource::block_memory, blocks::region_bytes()) {
  watch_process();
  if (ended_) throw Refusal{"no_session", "the process has ended"};
  directory_ = slot::create_sealed_file("slotwire-cell", blocks::region_bytes());
  mapping_ = slot::map_file(directory_.get(), blocks::region_bytes(), slot::Access::read_write);
  blocks::begin_region(*reinterpret_cast<blocks::RegionMemory*>(mapping_.data()), record_.name);
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0)
    throw std::system_error(errno, std::generic_category(), "cannot create a channel");
  slot::Fd ours(ends[0]);
  theirs_ = slot::Fd(ends[1]);
  const slot::Fd kept_record = record_.write();
  const std::array<int, 3> kept{directory_.get(), kept_record.get(), ours.get()};
  channel_ = std::make_unique<control::PacketSocket>(std::move(ours), blocks::kCellSocketText, blocks::kMaxCellQueue);
  if (const auto stored = parts_.store.store(KeptTag::of_cell(index_).number(), kept); !stored.ok()) {
    if (!parts_.store.ready()) throw StoreLate(stored.error().text);
    throw Refusal{"no_memory", stored.error().text};
  }
}

Cell::Cell(const RegionParts& parts, std::uint32_t index, RegionRecord record, std::uint64_t& made_bytes, Events events,
           std::vector<slot::Fd> fds)
    : parts_(parts),
      index_(index),
      record_(std::move(record)),
      made_bytes_(made_bytes),
      events_(std::move(events)),
      next_list_(parts.random()),
      taken_over_(true),
      recovered_(true),
      charge_(parts.users, record_.uid, Resource::regions),
      directory_charge_(parts.users, record_.uid, Resource::block_memory, blocks::region_bytes()) {
  directory_ = std::move(fds.at(0));
  if (const std::string wrong = slot::check_sealed_file(directory_.get(), blocks::region_bytes()); !wrong.empty())
    throw std::runtime_error(wrong);
  mapping_ = slot::map_file(directory_.get(), blocks::region_bytes(), slot::Access::read_write);
  channel_ =
      std::make_unique<control::PacketSocket>(std::move(fds.at(2)), blocks::kCellSocketText, blocks::kMaxCellQueue);
  watch_process();
}

Cell::~Cell() {
  region_.reset();
  if (pause_) parts_.loop.cancel(*pause_);
  if (late_make_) parts_.loop.cancel(*late_make_);
  if (watched_) parts_.loop.remove(channel_->fd());
  if (process_) parts_.loop.remove(process_->fd());
}

void Cell::watch_process() {
  PeerCredentials who;
  who.pid = record_.pid;
  who.uid = record_.uid;
  who.start_time = record_.start_time;
  Result<std::unique_ptr<ProcessWatch>> process = parts_.processes.watch(who);
  if (!process.ok()) {
    ended_ = true;
    return;
  }
  process_ = std::move(process).value();
  parts_.loop.add(process_->fd(), EPOLLIN, [this](std::uint32_t) { end(); });
}

void Cell::start() {
  slot::accept_descriptors(channel_->fd(), false);
  channel_->distrust([](std::string_view) { return false; });
  if (!ended_) watch_channel();
}

void Cell::watch_channel() {
  parts_.loop.add(channel_->fd(), EPOLLIN, [this](std::uint32_t) { take_packets(); });
  watched_ = true;
}

void Cell::end() {
  if (ended_) return;
  ended_ = true;
  if (process_) parts_.loop.remove(process_->fd());
  process_.reset();
  if (watched_) parts_.loop.remove(channel_->fd());
  watched_ = false;
  events_.ended();
}

void Cell::take_packets() {
  using Got = control::PacketSocket::Got;
  for (int i = 0; i < kCellPacketsAtOnce; ++i) {
    if (const std::uint64_t wait = parts_.users.wait_us(record_.uid, parts_.loop.now_us()); wait != 0) {
      parts_.loop.remove(channel_->fd());
      watched_ = false;
      pause_ = parts_.loop.after(wait, [this] {
        pause_.reset();
        if (!ended_) watch_channel();
      });
      return;
    }
    control::Packet packet;
    const Got got = channel_->receive(packet);
    if (got == Got::nothing) return;
    if (got != Got::packet) return end();
    const std::optional<blocks::CellMessage> message = blocks::decode_cell_message(packet.text);
    parts_.users.spend(record_.uid,
                       message && message->word == blocks::CellWord::changed ? kCheapRequest : kMappingRequest,
                       parts_.loop.now_us());
    if (message) handle(*message);
    if (ended_) return;
  }
}

void Cell::handle(const blocks::CellMessage& message) {
  switch (message.word) {
    case blocks::CellWord::make:
      // An honest process waits for its answer.
      if (!late_make_) answer_make(message.bytes, parts_.loop.now_us());
      return;
    case blocks::CellWord::dropped:
      return drop(message.number);
    case blocks::CellWord::changed:
      return events_.changed();
    case blocks::CellWord::made:
    case blocks::CellWord::refused:
    case blocks::CellWord::list:
      return;  // the engine says these
  }
}

void Cell::answer_make(std::uint64_t bytes, std::uint64_t since_us) {
  try {
    make(bytes);
  } catch (const StoreLate& late) {
    if (parts_.loop.now_us() - since_us < kListPatienceUs) {
      late_make_ = parts_.loop.after(kListLaterUs, [this, bytes, since_us] {
        late_make_.reset();
        if (!ended_) answer_make(bytes, since_us);
      });
      return;
    }
    channel_->send(blocks::encode({.word = blocks::CellWord::refused, .text = late.text}));
  } catch (const control::Refusal& refusal) {
    channel_->send(blocks::encode({.word = blocks::CellWord::refused, .text = refusal.text}));
  } catch (const std::exception& error) {
    channel_->send(blocks::encode({.word = blocks::CellWord::refused, .text = error.what()}));
  }
}

void Cell::check_memory(std::uint64_t bytes) const {
  parts_.users.check(record_.uid, Resource::block_memory, bytes);
  parts_.users.check(record_.uid, Resource::cell_memory, bytes);
  const std::uint64_t most = parts_.config.limits.block_memory;
  if (made_bytes_ >= most || bytes > most - made_bytes_) {
    throw Refusal{"quota", format_size(made_bytes_) + " of the node's " + format_size(most) +
                               " of memory for blocks are in use (limits.block_memory)"};
  }
}

void Cell::make(std::uint64_t bytes) {
  const std::uint64_t most = parts_.config.limits.cell_memory + kMostBesideBlocks;
  if (bytes < blocks::kListEntries || bytes % kCellPage != 0) throw Refusal{"bad_request", "no size for a list"};
  if (bytes > most) {
    throw Refusal{"too_large", "in a region with isolation = \"strict\" a publisher has at most " +
                                   format_size(parts_.config.limits.cell_memory) +
                                   " for its blocks (limits.cell_memory); give it less (block_bytes)"};
  }
  if (lists_.size() >= parts_.config.limits.cell_topics) {
    throw Refusal{"quota", "the process has " + std::to_string(lists_.size()) +
                               " publishers in this region, the most there can be (limits.cell_topics)"};
  }
  check_memory(bytes);
  std::uint32_t number = 1;
  while (lists_.contains(number)) ++number;
  List list{slot::create_sealed_file("slotwire-blocks", bytes), Memory(*this, bytes)};
  const std::uint64_t tag =
      KeptTag::of_list(static_cast<std::uint16_t>(index_), static_cast<std::uint16_t>(number)).number();
  const std::array<int, 1> kept{list.file.get()};
  if (const auto stored = parts_.store.store(tag, kept); !stored.ok()) {
    if (!parts_.store.ready()) throw StoreLate(stored.error().text);
    throw Refusal{"busy", stored.error().text};
  }
  if (!channel_->send(blocks::encode({.word = blocks::CellWord::made, .number = number}), {list.file.get()})) {
    parts_.log.note(parts_.store.remove(tag));
    return end();
  }
  lists_.emplace(number, std::move(list));
}

void Cell::recover_list(std::uint16_t number, slot::Fd file) {
  const off_t bytes = ::lseek(file.get(), 0, SEEK_END);
  if (bytes <= 0) throw std::runtime_error("it is no list");
  lists_.emplace(number, List{std::move(file), Memory(*this, static_cast<std::uint64_t>(bytes))});
}

void Cell::drop(std::uint32_t number) {
  const auto found = lists_.find(number);
  if (found == lists_.end() || number > kLastNumber) return;
  lists_.erase(found);
  parts_.log.note(parts_.store.remove(
      KeptTag::of_list(static_cast<std::uint16_t>(index_), static_cast<std::uint16_t>(number)).number()));
}

void Cell::cut() {
  ::shutdown(channel_->fd(), SHUT_RDWR);
}

void Cell::forget_kept() {
  while (!lists_.empty()) drop(lists_.begin()->first);
  parts_.log.note(parts_.store.remove(KeptTag::of_cell(index_).number()));
}

blocks::Region& Cell::region() {
  if (!region_) {
    slot::Fd file(::fcntl(directory_.get(), F_DUPFD_CLOEXEC, 0));
    if (!file) throw std::system_error(errno, std::generic_category(), "a cell's directory");
    region_ = std::make_unique<blocks::Region>(
        blocks::RegionParts{record_.name, record_.prefix, std::move(file), std::make_unique<Side>(*this)});
  }
  return *region_;
}

Cell::Resume Cell::resume() {
  Resume found;
  if (!recovered_) return found;
  blocks::Region& own = region();
  const blocks::Region::Lock lock(own);
  const blocks::RegionMemory& memory = own.memory();
  for (const blocks::CursorEntry& entry : memory.cursors) {
    const std::uint32_t member = entry.member;
    if (entry.state.load() == 0 || member >= blocks::kMaxMembers || member == own.self()) continue;
    if (memory.members.at(member).pid == static_cast<std::uint32_t>(record_.pid)) continue;
    const std::uint32_t publication = entry.publication;
    blocks::Position next = entry.cursor.released.load();
    // What it had taken before it was waited for is released at once, and held until it is given back.
    for (const auto& hold : entry.cursor.holds) {
      if (const blocks::Position held = hold.load(); held != 0) next = std::min(next, held - 1);
    }
    found.insert_or_assign({publication, entry.publication_serial}, next);
  }
  return found;
}

void Cell::forget_earlier_lives() {
  if (!recovered_) return;
  blocks::Region& own = region();
  {
    const blocks::Region::Lock lock(own);
    const blocks::Member& self = own.memory().members.at(own.self());
    blocks::remove_members(own.memory(), [&](const blocks::Member& member) {
      return &member != &self && member.pid != static_cast<std::uint32_t>(record_.pid);
    });
    own.wake_others();
  }
  recovered_ = false;
}

void Cell::remove_process() {
  blocks::Region& own = region();
  const blocks::Region::Lock lock(own);
  const blocks::Member& self = own.memory().members.at(own.self());
  blocks::remove_members(own.memory(), [&](const blocks::Member& member) { return &member != &self; });
}

Cell::Topics Cell::topics() {
  blocks::Region& own = region();
  const blocks::Region::Lock lock(own);
  const std::size_t opened = descriptors_.update(directory(), parts_.loop.now_us());
  return {blocks::publications_of_others(own), blocks::interests_of_others(own), opened};
}

slot::Fd Cell::open_list(std::uint32_t number) const {
  const auto found = lists_.find(number);
  return found == lists_.end() ? slot::Fd() : slot::Fd(::fcntl(found->second.file.get(), F_DUPFD_CLOEXEC, 0));
}

std::size_t Cell::wakers() const {
  const auto is_there = [](const auto& entry) { return entry.state.load() != 0; };
  const blocks::RegionMemory& memory = directory();
  return static_cast<std::size_t>(std::count_if(memory.publications.begin(), memory.publications.end(), is_there) +
                                  std::count_if(memory.subscriptions.begin(), memory.subscriptions.end(), is_there));
}

void Cell::clear() {
  if (!region_) return;
  region_->wake_others();
  // The engine is not attached any more, so that whatever it still has in the directory goes without a word.
  region_->memory().members.at(region_->self()).pid = 0;
}

RegionFigures Cell::figures() const {
  const auto& memory = *reinterpret_cast<const blocks::RegionMemory*>(mapping_.data());
  const auto is_theirs = [&](const auto& entry) { return entry.state.load() != 0 && entry.for_link == 0; };
  RegionFigures figures;
  figures.processes = ended_ ? 0 : 1;
  figures.publishers =
      static_cast<std::size_t>(std::count_if(memory.publications.begin(), memory.publications.end(), is_theirs));
  figures.subscribers =
      static_cast<std::size_t>(std::count_if(memory.subscriptions.begin(), memory.subscriptions.end(), is_theirs));
  figures.bytes = blocks::region_bytes();
  for (const auto& [number, list] : lists_) figures.bytes += list.memory.bytes();
  return figures;
}

}  // namespace slotwire::engine
