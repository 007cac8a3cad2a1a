// What must hold after every step.
#include "sim/world.hpp"

namespace slotwire::sim {
namespace {

/// b - a as a signed distance on the circle of positions.
std::int32_t ahead(Position b, Position a) {
  return static_cast<std::int32_t>(b - a);
}

}  // namespace

void World::check() {
  for (Pairing& pairing : pairings_) {
    for (End& end : pairing.ends) {
      if (end.bound && is_bound(end)) {
        check_end(pairing, end);
      } else if (end.bound && !pairing.hostile()) {
        throw Violated{name_of(end) + ": an honest slot is not bound any more"};
      }
    }
    const End &a = pairing.ends[0], &b = pairing.ends[1];
    if (a.bound && b.bound && is_bound(a) && is_bound(b) && a.generation == b.generation) {
      check_pair(pairing, 0);
      check_pair(pairing, 1);
    }
  }
  if (result_.controlled) {
    for (std::uint16_t n = 0; n < node_count(); ++n) check_links(n);
  }
  for (std::size_t n = 0; n < nodes_.size(); ++n) {
    if (nodes_[n].pipe->counter(regs::Counter::drop_overrun) != 0) {
      throw Violated{"node " + std::to_string(n) + ": a frame came that the output space has no room for"};
    }
  }
}

void World::check_links(std::uint16_t node) {
  pipeline::Pipeline& pipe = *nodes_[node].pipe;
  for (std::uint16_t link = 0; link < node_count(); ++link) {
    const auto complain = [&](const std::string& what) {
      throw Violated{"node " + std::to_string(node) + ", link " + std::to_string(link) + ": " + what};
    };
    const std::uint32_t counted = pipe.flow(link).inflight(), summed = pipe.inflight_of_slots(link);
    if (counted != summed) {
      complain(std::to_string(counted) + " lines are counted in flight, the slots have " + std::to_string(summed));
    }
    if (pipe.stalled(link, now())) complain("slots wait for the link, and nothing will wake them");
  }
}

void World::check_end(const Pairing& pairing, End& end) {
  const regs::SlotRow& r = row(end);
  const auto require = [&](bool holds, const char* what) {
    if (!holds) throw Violated{name_of(end) + ": " + what};
  };
  require(r.in_tail - r.in_head <= end.in.lines(), "IN_TAIL is more than a ring ahead of IN_HEAD");
  require(r.out_tail - r.out_head <= end.out.lines(), "OUT_TAIL is more than a ring ahead of OUT_HEAD");
  require(ahead(r.in_head, end.seen_in_head) >= 0, "IN_HEAD went back");
  require(ahead(r.out_tail, end.seen_out_tail) >= 0, "OUT_TAIL went back");
  require(ahead(r.in_head, end.pub_in_head) >= 0, "IN_HEAD was published before it was reached");
  require(ahead(r.out_tail, end.pub_out_tail) >= 0, "OUT_TAIL was published before it was reached");
  end.seen_in_head = r.in_head;
  for (; end.seen_out_tail != r.out_tail; ++end.seen_out_tail) {
    if (pairing.hostile()) continue;
    const Position at = end.seen_out_tail;
    if (line_is(end.out.view().at(at), end.pairing, end.generation, 1 - end.side, at)) continue;
    throw Violated{name_of(end) + ": line " + std::to_string(at) +
                   " is not what the other side wrote when it is delivered"};
  }
}

/// `writer` is the side whose lines are looked at.
void World::check_pair(const Pairing& pairing, unsigned writer) const {
  const End& from = pairing.ends[writer];
  const End& to = pairing.ends[1 - writer];
  const regs::SlotRow& sender = row(from);
  const regs::SlotRow& receiver = row(to);
  const auto require = [&](bool holds, const char* what) {
    if (!holds) throw Violated{name_of(from) + ": " + what};
  };
  const std::int32_t unreleased = ahead(receiver.out_tail, sender.in_head);
  require(unreleased >= 0, "IN_HEAD is ahead of the peer's OUT_TAIL");
  require(ahead(sender.in_tail, receiver.out_tail) >= 0, "the peer has lines that were not produced");
  const Position room_ends = receiver.out_head + to.out.lines();
  require(ahead(room_ends, sender.sent) >= 0, "lines were sent that the peer has no room for");
  require(ahead(room_ends, sender.limit) >= 0, "the window is larger than the peer's room");
}

std::string World::name_of(const End& end) const {
  return "connection " + std::to_string(end.pairing) + " (generation " + std::to_string(end.generation) +
         "), end at node " + std::to_string(end.node) + " slot " + std::to_string(end.slot);
}

std::vector<std::string> World::last_events() const {
  static constexpr const char* kNames[] = {"process acts", "poll",      "deliver",    "sweep",       "time jumps",
                                           "channel bent", "partition", "heal",       "link down",   "link up",
                                           "block",        "restart",   "takeover",   "stray frame", "unbind",
                                           "bind",         "fault",     "final round"};
  std::vector<std::string> texts;
  const std::size_t count = std::min(events_seen_, events_.size());
  for (std::size_t i = events_seen_ - count; i < events_seen_; ++i) {
    const Event& e = events_[i % events_.size()];
    texts.push_back("step " + std::to_string(e.step) + " at " + std::to_string(e.time) +
                    " us: " + kNames[static_cast<std::size_t>(e.what)] + " " + std::to_string(e.a) + " " +
                    std::to_string(e.b) + " " + std::to_string(e.c));
  }
  return texts;
}

}  // namespace slotwire::sim
