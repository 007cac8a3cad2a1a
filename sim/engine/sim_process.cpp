#include "sim/engine/sim_process.hpp"

#include <array>
#include <cstring>
#include <exception>
#include <utility>

#include "core/slot/waiter.hpp"

namespace slotwire::sim {
namespace {

/// What stands in each line.
struct Line {
  std::uint64_t flow, number;
};

slot::RingView view_of(const slot::Space& space) {
  return {space.ring(), space.order(), space.mirrored()};
}

}  // namespace

std::uint64_t SimProcess::ask(Asked what, const control::Request& request) {
  const std::uint64_t id = ++last_request_;
  if (pipe_->send(control::encode_request(id, request))) asked_[id] = what;
  return id;
}

void SimProcess::reach(std::shared_ptr<PacketPipe> pipe) {
  pipe_ = std::move(pipe);
  asked_.clear();
  if (session_ == 0) {
    ask(Asked::hello, control::Hello{.version = control::kProcessVersion, .name = name()});
    return;
  }
  control::Resume resume;
  resume.session = session_;
  resume.token = token_;
  for (const auto& [local, end] : ends_) resume.slots.push_back(local);
  resuming_ = true;
  ask(Asked::resume, resume);
}

void SimProcess::serve(const std::string& service) {
  services_.insert(service);
  ask(Asked::serve, control::Serve{.service = service, .backlog = 4});
}

void SimProcess::unserve(const std::string& service) {
  services_.erase(service);
  ask(Asked::serve, control::Unserve{service});
}

void SimProcess::connect(const std::string& service, std::uint64_t ring_bytes, std::int64_t timeout_ms) {
  ask(Asked::connect,
      control::Connect{.service = service, .in_bytes = ring_bytes, .out_bytes = ring_bytes, .timeout_ms = timeout_ms});
}

void SimProcess::close(std::uint32_t local) {
  const auto found = ends_.find(local);
  if (found == ends_.end()) return;
  flows_[found->second.flow].closed_in_order = true;
  ends_.erase(found);
  ask(Asked::close, control::Close{local});
}

void SimProcess::end(bool says_bye) {
  if (pipe_) {
    if (says_bye) pipe_->send(control::encode_request(0, control::Bye{}));
    pipe_->close();
  }
  drop_all();
}

void SimProcess::drop_all() {
  for (auto& [local, end] : ends_) flows_[end.flow].closed_in_order = true;
  ends_.clear();
}

void SimProcess::process() {
  if (!pipe_) return;
  while (std::optional<control::Packet> packet = pipe_->receive()) {
    core::Result<control::FromEngine> read = control::decode_from_engine(packet->text);
    if (!read.ok()) return violated_(name() + " cannot read '" + packet->text + "': " + read.error().text);
    if (auto* answer = std::get_if<control::Answer>(&read.value())) take_answer(*answer, std::move(packet->fds));
    if (auto* event = std::get_if<control::Event>(&read.value())) take_event(*event, std::move(packet->fds));
  }
}

void SimProcess::take_answer(const control::Answer& answer, std::vector<slot::Fd> fds) {
  const auto found = asked_.find(answer.id);
  if (found == asked_.end()) return violated_(name() + " got an answer that it did not ask for");
  const Asked what = found->second;
  asked_.erase(found);
  if (what == Asked::resume && answer.refusal) {
    // The engine started anew: everything that it had of this process is lost.
    resuming_ = false;
    session_ = 0;
    ends_.clear();
    services_.clear();
    ask(Asked::hello, control::Hello{.version = control::kProcessVersion, .name = name()});
    return;
  }
  if (answer.refusal) return;  // quota, link_down, ...: what a busy node says
  if (what == Asked::hello) {
    const auto hello = control::decode_answer<control::HelloAnswer>(answer);
    if (!hello.ok() || fds.size() != 3) return violated_(name() + ": the answer to hello is not complete");
    session_ = hello.value().session;
    token_ = hello.value().token;
    bells_ = slot::map_file(fds[0].get(), regs::kPageBytes, slot::Access::read_write);
    polled_ = slot::map_file(fds[1].get(), regs::kPageBytes, slot::Access::read_only);
    kick_ = std::move(fds[2]);
  } else if (what == Asked::resume) {
    const auto resumed = control::decode_answer<control::ResumeAnswer>(answer);
    if (!resumed.ok()) return violated_(name() + ": the answer to resume is wrong: " + resumed.error().text);
    resuming_ = false;
    for (const control::ClosedSlot& closed : resumed.value().closed) {
      // What the earlier engine told already is said once more: it does not know what arrived.
      const auto end = ends_.find(closed.local);
      if (end != ends_.end() && !end->second.peer_ended) peer_ended(closed.local, closed.reason);
    }
    const std::set<std::string> again = services_;
    for (const std::string& service : again) serve(service);
  } else if (what == Asked::connect) {
    const auto info = control::decode_answer<control::SlotInfo>(answer);
    if (!info.ok()) return violated_(name() + ": the answer to connect is wrong: " + info.error().text);
    take_slot(info.value(), std::move(fds));
  }
}

void SimProcess::take_event(const control::Event& event, std::vector<slot::Fd> fds) {
  if (const auto* accepted = std::get_if<control::Accepted>(&event)) take_slot(accepted->slot, std::move(fds));
  if (const auto* closed = std::get_if<control::Closed>(&event)) peer_ended(closed->local, closed->reason);
}

void SimProcess::take_slot(const control::SlotInfo& info, std::vector<slot::Fd> fds) {
  if (ends_.contains(info.local)) {
    return violated_(name() + " got local index " + std::to_string(info.local) + " twice");
  }
  try {
    SimEnd end;
    end.info = info;
    end.own = slot::Space(fds.at(0).get(), info.in_order, slot::Access::read_write);
    end.other = slot::Space(fds.at(1).get(), info.out_order, slot::Access::read_only);
    end.wake = std::move(fds.at(2));
    if (info.direct) end.peer_wake = std::move(fds.at(3));
    end.out = slot::Producer(view_of(end.own), end.own.marks().tail, end.other.marks().head);
    end.in = slot::Consumer(view_of(end.other), end.own.marks().head, end.other.marks().tail);
    end.flow = random_.next();
    flows_[end.flow] = {};
    ends_.emplace(info.local, std::move(end));
  } catch (const std::exception& error) {
    violated_(name() + " cannot use its slot: " + error.what());
  }
}

void SimProcess::peer_ended(std::uint32_t local, control::End reason) {
  const auto found = ends_.find(local);
  if (found == ends_.end()) return;  // closed by this process meanwhile
  SimEnd& end = found->second;
  if (end.peer_ended) return violated_(name() + " was told twice that the peer of " + std::to_string(local) + " ended");
  end.peer_ended = true;
  end.reason = reason;
  if (reason == control::End::fault || reason == control::End::peer_fault) {
    violated_(name() + ": slot " + std::to_string(end.info.slot) + " was faulted");
  }
}

void SimProcess::ring(const SimEnd& end) {
  if (end.info.direct) return;
  if (slot::ring_bell(*reinterpret_cast<slot::BellPage*>(bells_.data()),
                      *reinterpret_cast<const slot::PolledPage*>(polled_.data()), end.info.local)) {
    slot::signal_event(kick_.get());
  }
}

void SimProcess::write(SimEnd& end, std::uint32_t lines) {
  if (end.peer_ended) return;
  std::uint32_t done = 0;
  while (done < lines && end.out.writable() > 0) {
    const std::span<std::byte> room = end.out.reserve(1);
    const Line line{end.flow, flows_[end.flow].written++};
    std::memcpy(room.data(), &line, sizeof line);
    end.out.commit(1);
    ++done;
  }
  if (end.out.broken()) violated_(name() + ": IN_HEAD of slot " + std::to_string(end.info.slot) + " cannot be");
  if (done != 0) ring(end);
}

void SimProcess::read(SimEnd& end) {
  std::uint32_t done = 0;
  while (end.in.readable() > 0) {
    Line line{};
    std::memcpy(&line, end.in.peek().data(), sizeof line);
    const std::string where = name() + ", slot " + std::to_string(end.info.slot);
    if (!flows_.contains(line.flow)) return violated_(where + ": read a line that nobody wrote");
    if (!end.reads_flow) end.reads_flow = line.flow;
    if (*end.reads_flow != line.flow) return violated_(where + ": read a line of another connection");
    if (line.number != end.read) {
      return violated_(where + ": read line " + std::to_string(line.number) + " instead of " +
                       std::to_string(end.read));
    }
    ++end.read;
    end.in.release(1);
    ++done;
  }
  if (end.in.broken()) violated_(name() + ": OUT_TAIL of slot " + std::to_string(end.info.slot) + " cannot be");
  if (done != 0) ring(end);
}

}  // namespace slotwire::sim
