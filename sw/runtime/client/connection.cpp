#include "runtime/client/connection.hpp"

#include <stdexcept>
#include <utility>

#include "core/slot/barrier.hpp"

namespace slotwire::client {
namespace {

slot::RingView view_of(const slot::Space& space) {
  return {space.ring(), space.order(), space.mirrored()};
}

std::uint32_t quarter(std::uint32_t lines) {
  return lines < 4 ? 1 : lines / 4;
}

}  // namespace

ConnectionInfo info_of(const control::SlotInfo& slot) {
  ConnectionInfo info;
  info.slot = slot.slot;
  info.local = slot.local;
  info.in_order = slot.in_order;
  info.out_order = slot.out_order;
  info.direct = slot.direct;
  info.link_up = slot.link_up;
  info.again = slot.again;
  info.service = slot.service;
  info.node = slot.peer.node;
  info.name = slot.peer.name;
  info.pid = slot.peer.pid;
  info.uid = slot.peer.uid;
  info.inspect = slot.inspect;
  info.inspect_refuses = slot.inspect_refuses;
  return info;
}

SlotMemory SlotMemory::map(const ConnectionInfo& info, std::vector<slot::Fd> fds) {
  if (fds.size() != (info.direct ? 4U : 3U))
    throw std::invalid_argument("slotwired sent the wrong number of descriptors for a slot");
  for (std::size_t i = 2; i < fds.size(); ++i) {
    if (!slot::is_event(fds[i].get())) throw std::invalid_argument("slotwired sent a wake-up that is no timerfd");
  }
  SlotMemory memory;
  memory.own = slot::Space(fds[0].get(), info.in_order, slot::Access::read_write);
  memory.other = slot::Space(fds[1].get(), info.out_order, slot::Access::read_only);
  memory.wake = std::move(fds[2]);
  if (info.direct) memory.peer_wake = std::move(fds[3]);
  return memory;
}

Connection::Connection(EngineSession& session, ConnectionInfo info, SlotMemory memory, slot::WaitPolicy policy,
                       ReceiveLimits& limits, CacheUse& cache_use)
    : session_(session),
      info_(std::move(info)),
      policy_(policy),
      limits_(limits),
      cache_use_(cache_use),
      own_(std::move(memory.own)),
      other_(std::move(memory.other)),
      wake_(std::move(memory.wake)),
      peer_wake_(std::move(memory.peer_wake)),
      link_up_(info_.link_up) {
  if (info_.local >= slot::kMaxSessionSlots) throw std::invalid_argument("slotwired sent a bell that does not exist");
  if (own_.order() != info_.in_order || other_.order() != info_.out_order || info_.direct != bool{peer_wake_})
    throw std::invalid_argument("slotwired sent a slot that does not fit its memory");
  if (!own_.mirrored() || !other_.mirrored())
    throw std::invalid_argument("slotwired sent a ring that is smaller than a page");
  if (info_.direct) {
    ordered_ = slot::can_be_ordered();
    heavy_barrier_ = slot::heavy_barrier();
    own_.marks().barrier.store(heavy_barrier_ ? 1 : 0, std::memory_order_relaxed);
  }
  writer_ = slot::RecordWriter(slot::Producer(view_of(own_), own_.marks().tail, other_.marks().head));
  reader_ = slot::RecordReader(slot::Consumer(view_of(other_), own_.marks().head, other_.marks().tail));
  scanned_ = reader_.consumer().head();
}

std::optional<SlotMemory> Connection::take_memory() {
  if (detached_ || shown_ || loaned_ || held_.lines() != 0 || end_.status == SW_FAULTED) return std::nullopt;
  return SlotMemory{std::move(own_), std::move(other_), std::move(wake_), std::move(peer_wake_)};
}

// --- what the session tells ---

void Connection::ended(int status, std::string text) {
  if (end_.status != SW_OK) return;
  end_ = {status, std::move(text)};
  slot::signal_event(wake_.get());  // whoever waits for the descriptor learns of it
}

void Connection::set_link(bool up, const std::string& text) {
  link_up_ = up;
  info_.link_up = up;
  link_text_ = text;
}

// --- the other side ---

std::uint32_t Connection::peer_waits_for() const {
  if (ordered_ && other_.marks().barrier.load(std::memory_order_relaxed) == 1) {
    std::atomic_signal_fence(std::memory_order_seq_cst);
  } else {
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  return other_.marks().wait.load(std::memory_order_relaxed);
}

void Connection::wake_peer(std::uint32_t what) {
  const std::uint32_t wait = peer_waits_for();
  if ((wait & what) == 0 || wait == peer_signalled_) return;
  peer_signalled_ = wait;
  slot::signal_event(peer_wake_.get());
}

void Connection::notify_written() {
  wanted_lines_ = 1;
  if (!info_.direct) {
    consumed_unrung_ = 0;
    session_.ring(info_.local);
    return;
  }
  wake_peer(slot::kWaitReadable);
}

void Connection::notify_consumed(std::uint32_t lines) {
  if (info_.direct) {
    wake_peer(slot::kWaitWritable);
    return;
  }
  // The proxy sends a window update for a quarter of the ring, so ringing for less would be for nothing.
  consumed_unrung_ += lines;
  if (consumed_unrung_ < quarter(other_.lines())) return;
  consumed_unrung_ = 0;
  session_.ring(info_.local);
}

void Connection::finish_exchange() {
  if (!one_shot_ || detached_) return;
  detached_ = true;
  if (end_.status == SW_OK) {
    end_ = {SW_PEER_CLOSED, "connection to '" + info_.service + "' (slot " + std::to_string(info_.slot) +
                                "): it was for one exchange, which is complete; connect anew"};
  }
  if (session_.attached()) session_.post(control::Close{info_.local});
  // Messages that the program holds in the ring stay there until it closes the connection.
  if (held_.lines() != 0) return;
  reader_ = {};
  writer_ = {};
  own_ = {};
  other_ = {};
}

Failure Connection::broken(const std::string& text) {
  if (end_.status == SW_OK) {
    end_ = {SW_BROKEN, "connection to '" + info_.service + "' (slot " + std::to_string(info_.slot) + "): " + text +
                           "; close it and connect anew"};
  }
  return end_;
}

Failure Connection::end_failure() {
  if (end_.status != SW_OK) return end_;
  if (reader_.broken()) return broken("the peer wrote a record or a mark that cannot be");
  if (writer_.producer().broken()) return broken("the peer released more than it was given");
  return {};
}

}  // namespace slotwire::client
