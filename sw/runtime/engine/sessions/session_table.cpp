#include "runtime/engine/sessions/session_table.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "core/slot/waiter.hpp"
#include "runtime/control/hex.hpp"

namespace slotwire::engine {
namespace {

class PidWatch final : public ProcessWatch {
 public:
  explicit PidWatch(PidFd fd) : fd_(std::move(fd)) {}
  int fd() const override { return fd_.fd(); }

 private:
  PidFd fd_;
};

}  // namespace

Result<std::unique_ptr<ProcessWatch>> KernelProcesses::watch(const PeerCredentials& who) {
  Result<PidFd> opened = PidFd::open(who);
  if (!opened.ok()) return opened.error();
  return std::unique_ptr<ProcessWatch>(std::make_unique<PidWatch>(std::move(opened).value()));
}

SessionTable::SessionTable(SessionParts parts, Ended ended)
    : parts_(std::move(parts)), ended_(std::move(ended)), sessions_(parts_.config.limits.sessions) {}

std::string SessionTable::who(std::uint32_t index) const {
  return "'" + std::string(get_name(record(index).name)) + "' (pid " + std::to_string(record(index).pid) + ")";
}

std::string SessionTable::token_text(const Session& session) const {
  return control::hex_text(std::as_bytes(std::span(record(session.index).token)));
}

Session& SessionTable::open(const PeerCredentials& who, const std::string& name) {
  std::uint32_t index = 0;
  while (index < sessions_.size() && sessions_[index]) ++index;
  if (index == sessions_.size()) {
    throw Refusal{"quota", "all " + std::to_string(sessions_.size()) + " sessions of node '" + parts_.config.node.name +
                               "' are in use (limits.sessions)"};
  }
  parts_.users.check(who.uid, Resource::sessions);
  auto session = std::make_unique<Session>();
  session->index = index;
  session->bell_file = slot::create_sealed_file("slotwire-bells", regs::kPageBytes);
  session->polled_file = slot::create_sealed_file("slotwire-polled", regs::kPageBytes);
  session->kick = slot::create_event();
  session->bells = slot::map_file(session->bell_file.get(), regs::kPageBytes, slot::Access::read_write);
  session->polled = slot::map_file(session->polled_file.get(), regs::kPageBytes, slot::Access::read_write);
  Result<std::unique_ptr<ProcessWatch>> process = parts_.processes.watch(who);
  if (!process.ok()) throw Refusal{"no_session", process.error().text};
  session->process = std::move(process).value();
  // From here on there is something to undo when it fails.
  const std::array<int, 3> fds{session->bell_file.get(), session->polled_file.get(), session->kick.get()};
  if (const auto kept = parts_.store.store(KeptTag::of_session(index).number(), fds); !kept.ok()) {
    if (!parts_.store.ready()) throw StoreLate(kept.error().text);
    throw Refusal{"no_memory", kept.error().text};
  }
  SessionRecord& record = record_of(index);
  record = {};
  record.pid = who.pid;
  record.uid = who.uid;
  record.start_time = who.start_time;
  record.id = parts_.admin.header().next_session_id++;
  for (std::uint8_t& byte : record.token) byte = static_cast<std::uint8_t>(parts_.random());
  set_name(record.name, name);
  record.used = 1;
  session->charge = UserAccounts::Charge(parts_.users, who.uid, Resource::sessions);
  sessions_[index] = std::move(session);
  ++used_;
  try {
    show_to_card(*sessions_[index]);
  } catch (const std::exception&) {
    end(index, "it could not be watched");
    throw;
  }
  parts_.log.limited("session attached", spdlog::level::debug,
                     "session " + std::to_string(record.id) + ": " + this->who(index) + " attached (uid " +
                         std::to_string(record.uid) + ")");
  return *sessions_[index];
}

void SessionTable::show_to_card(Session& session) {
  parts_.card.add_session(session.index, *reinterpret_cast<slot::BellPage*>(session.bells.data()),
                          *reinterpret_cast<slot::PolledPage*>(session.polled.data()), session.kick.get());
  const std::uint32_t index = session.index;
  parts_.loop.add_urgent(session.kick.get(), [this, index] { parts_.card.on_kick(index); });
}

Session& SessionTable::resume(const PeerCredentials& who, std::uint64_t id, std::string_view token) {
  for (const auto& session : sessions_) {
    // An engine that started anew counts its sessions anew: the same number with another token is another session.
    if (!session || record(session->index).id != id || token != token_text(*session)) continue;
    const SessionRecord& known = record(session->index);
    if (known.uid != who.uid || known.pid != who.pid || known.start_time != who.start_time) {
      throw Refusal{"refused", "this session belongs to another process"};
    }
    if (session->channel) throw Refusal{"busy", "this session is attached already"};
    parts_.loop.remove(session->process->fd());  // whoever serves the channel watches it from now on
    return *session;
  }
  throw Refusal{"no_session", "node '" + parts_.config.node.name + "' knows no session " + std::to_string(id) +
                                  " (it started anew); open a new one"};
}

void SessionTable::attach(Session& session, std::unique_ptr<control::PacketChannel> channel, std::vector<gid_t> gids) {
  session.channel = std::move(channel);
  session.gids = std::move(gids);
}

void SessionTable::end(std::uint32_t index, std::string_view why) {
  Session& session = at(index);
  const SessionRecord& known = record(index);
  const End end = session.said_bye ? End::closed : End::died;
  parts_.log.limited(session.said_bye ? "session closed" : "session died",
                     session.said_bye ? spdlog::level::debug : spdlog::level::info,
                     "session " + std::to_string(known.id) + ": " + who(index) +
                         (session.said_bye ? " closed with " : " died with ") + std::to_string(session.slot_count) +
                         " connections (" + std::string(why) + ")");
  ended_(session, end);
  parts_.card.remove_session(index);
  parts_.loop.remove(session.kick.get());
  if (session.process) parts_.loop.remove(session.process->fd());
  if (session.channel) parts_.loop.remove(session.channel->fd());
  record_of(index) = {};
  parts_.log.note(parts_.store.remove(KeptTag::of_session(index).number()));
  sessions_[index].reset();
  --used_;
}

void SessionTable::recover(std::uint32_t index, std::vector<slot::Fd>& fds) {
  if (index >= sessions_.size() || record(index).used != 1 || fds.size() != 3) {
    throw std::runtime_error("its record or its descriptors are not complete");
  }
  PeerCredentials who;
  who.pid = record(index).pid;
  who.uid = record(index).uid;
  who.start_time = record(index).start_time;
  Result<std::unique_ptr<ProcessWatch>> process = parts_.processes.watch(who);
  if (!process.ok()) throw std::runtime_error(process.error().text);
  auto session = std::make_unique<Session>();
  session->index = index;
  session->process = std::move(process).value();
  session->bell_file = std::move(fds[0]);
  session->polled_file = std::move(fds[1]);
  session->kick = std::move(fds[2]);
  session->charge = UserAccounts::Charge(parts_.users, who.uid, Resource::sessions);  // not asked: it is there
  if (!slot::is_event(session->kick.get())) {
    throw std::runtime_error("its kick is no timerfd: an earlier release of slotwired left it");
  }
  for (const slot::Fd* file : {&session->bell_file, &session->polled_file}) {
    if (const std::string wrong = slot::check_sealed_file(file->get(), regs::kPageBytes); !wrong.empty()) {
      throw std::runtime_error("a session page cannot be used: " + wrong);
    }
  }
  session->bells = slot::map_file(session->bell_file.get(), regs::kPageBytes, slot::Access::read_write);
  session->polled = slot::map_file(session->polled_file.get(), regs::kPageBytes, slot::Access::read_write);
  Session& s = *session;
  sessions_[index] = std::move(session);
  ++used_;
  try {
    show_to_card(s);
    // Until it comes back, its end is all that is heard of it.
    parts_.loop.add(s.process->fd(), EPOLLIN,
                    [this, index](std::uint32_t) { end(index, "it ended while the engine was away"); });
  } catch (const std::exception&) {
    parts_.loop.remove(s.kick.get());
    parts_.card.remove_session(index);
    sessions_[index].reset();
    --used_;
    throw;
  }
}

void SessionTable::forget_unrecovered() {
  for (std::uint32_t i = 0; i < sessions_.size(); ++i) {
    if (!sessions_[i]) record_of(i) = {};
  }
}

bool SessionTable::send(Session& session, const std::string& text, const std::vector<int>& fds) {
  if (!session.channel) return false;
  const bool sent = session.channel->send(text, fds);
  // Who does not take its answers gives no new requests meanwhile.
  if (session.channel->waiting()) parts_.loop.modify(session.channel->fd(), EPOLLOUT);
  return sent;
}

void SessionTable::check_quota(const Session& session, std::uint64_t bytes) const {
  const LimitsConfig& limits = parts_.config.limits;
  if (session.slot_count >= limits.slots_per_session) {
    throw Refusal{"quota", who(session.index) + " has all of its " + std::to_string(limits.slots_per_session) +
                               " slots in use (limits.slots_per_session); close connections or raise the limit"};
  }
  if (session.memory + bytes > limits.memory_per_session) {
    throw Refusal{"quota",
                  who(session.index) + " would use more than " + std::to_string(limits.memory_per_session >> 10U) +
                      " KiB of slot memory (limits.memory_per_session); ask for smaller rings or raise the limit"};
  }
}

/// The lowest free local index whose bell leads to the slot without a detour; else the lowest that is free.
std::uint32_t SessionTable::free_local(const Session& session, std::uint16_t slot) const {
  std::uint32_t lowest = slot::kMaxSessionSlots;
  for (std::uint32_t local = 0; local < slot::kMaxSessionSlots; ++local) {
    if (local < session.slots.size() && session.slots[local] != kNoSlotIndex) continue;
    if (parts_.card.takes_bell(session.index, local, slot)) return local;
    lowest = std::min(lowest, local);
    local |= 63U;  // a word of bells leads to the same place as a whole
  }
  return lowest;
}

std::uint32_t SessionTable::take_slot(Session& session, std::uint16_t slot, std::uint64_t bytes) {
  const std::uint32_t local = free_local(session, slot);
  retake_slot(session, slot, local, bytes);
  return local;
}

void SessionTable::retake_slot(Session& session, std::uint16_t slot, std::uint32_t local, std::uint64_t bytes) {
  if (local >= session.slots.size()) session.slots.resize(local + 1, kNoSlotIndex);
  session.slots[local] = slot;
  session.memory += bytes;
  ++session.slot_count;
  parts_.card.set_bell(session.index, local, slot);
}

void SessionTable::drop_slot(std::uint32_t index, std::uint32_t local, std::uint64_t bytes) {
  Session& session = at(index);
  parts_.card.set_bell(index, local, driver::Card::kNoSlot);
  session.slots[local] = kNoSlotIndex;
  session.memory -= bytes;
  --session.slot_count;
}

}  // namespace slotwire::engine
