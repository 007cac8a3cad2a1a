#include "driver/soft/soft_mover.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace slotwire::driver {
namespace {

/// While frames wait for the pace of a link, transmit() is called again after so long at most.
constexpr std::uint32_t kPaceTickUs = 50;

slot::RingView view_of(const slot::Space& space) {
  if (!space) return {};
  return {space.ring(), space.order(), space.mirrored()};
}

}  // namespace

SoftMover::SoftMover(const SlotTables& tables, const SoftMoverOptions& options, CardListener& listener, Frames frames)
    : options_(options),
      listener_(listener),
      mappings_(tables.mappings),
      pipeline_(tables.rows, options.links),
      open_(frames == Frames::of_open_slots ? tables.rows.size() : 0),
      routes_(options.links),
      control_(options.links) {}

void SoftMover::open(std::uint16_t slot, unsigned /*in_order*/, unsigned /*out_order*/) {
  if (!open_.empty()) open_[slot] = true;
}

void SoftMover::close(std::uint16_t slot) {
  pipeline_.unbind(slot);
  if (!open_.empty()) open_[slot] = false;
}

pipeline::SlotMemory SoftMover::memory_of(std::uint16_t slot) const {
  return {view_of(mappings_[slot].own), view_of(mappings_[slot].other)};
}

void SoftMover::bind(std::uint16_t slot, const pipeline::Binding& binding) {
  pipeline_.bind(slot, binding, memory_of(slot), now());
  // Its first marks are shown at once: poll() would take them for lines that moved, and while lines move the thread
  // makes those wait who open and close connections.
  publish();
}

void SoftMover::recover(std::uint16_t slot) {
  const SlotMapping& s = mappings_[slot];
  const slot::MarkPage& marks = s.own.marks();
  pipeline_.recover(slot, memory_of(slot), marks.tail.load(std::memory_order_acquire),
                    marks.head.load(std::memory_order_acquire), now());
}

void SoftMover::look(std::span<const std::uint16_t> slots, std::uint64_t now_us) {
  now_us_ = now_us;
  for (const std::uint16_t slot : slots) look_at(slot);
}

void SoftMover::look_at(std::uint16_t slot) {
  const SlotMapping& s = mappings_[slot];
  if (!s.own) return;
  const slot::MarkPage& marks = s.own.marks();
  pipeline_.doorbell(slot, marks.tail.load(std::memory_order_acquire), marks.head.load(std::memory_order_acquire),
                     now());
}

bool SoftMover::drained(std::uint16_t slot) const {
  const regs::SlotRow& row = pipeline_.row(slot);
  return row.in_head == row.in_tail;
}

void SoftMover::set_route(std::uint16_t link, const Route& route, const pipeline::LinkParameters& config) {
  const auto* over = std::get_if<OverCarrier>(&route);
  if (over == nullptr) throw std::invalid_argument("a link in software needs a carrier");
  carriers::Carrier& carrier = over->carrier;
  clear_route(link);
  routes_[link] = {&carrier, false, config, {}};
  fit(link);
  if (std::find(carriers_.begin(), carriers_.end(), &carrier) == carriers_.end()) carriers_.push_back(&carrier);
}

/// The carrier's path sets limits to what was asked for.
void SoftMover::fit(std::uint16_t link) {
  LinkRoute& route = routes_[link];
  pipeline::LinkParameters fitted = route.wanted;
  fitted.lines_per_frame = static_cast<std::uint16_t>(
      std::min<std::size_t>(fitted.lines_per_frame, route.carrier->lines_per_frame_of(link)));
  fitted.retransmit_us =
      std::clamp(route.carrier->retransmit_floor_us(link), fitted.retransmit_us, fitted.retransmit_max_us);
  fitted.controlled = route.carrier->needs_congestion_control(link);
  route.fitted = fitted;
  pipeline_.set_link(link, fitted);
}

void SoftMover::clear_route(std::uint16_t link) {
  LinkRoute& route = routes_[link];
  if (route.carrier == nullptr) return;
  pipeline_.link_down(link);
  unblock(link);
  control_.forget(link);
  carriers::Carrier* carrier = route.carrier;
  route = {};
  const bool used =
      std::any_of(routes_.begin(), routes_.end(), [&](const LinkRoute& r) { return r.carrier == carrier; });
  if (!used && carrier != always_) std::erase(carriers_, carrier);
}

void SoftMover::poll_always(carriers::Carrier& carrier) {
  always_ = &carrier;
  if (std::find(carriers_.begin(), carriers_.end(), &carrier) == carriers_.end()) carriers_.push_back(&carrier);
}

/// A frame names its slot itself, and may name one whose row another thread is writing.
bool SoftMover::on_frame(std::uint16_t link, std::span<const std::byte> frame) {
  if (frame.size() >= regs::kHeaderBytes) {
    if (tap_ != nullptr) {
      tap_->on_frame(false, link, frame.first(regs::kHeaderBytes), frame.subspan(regs::kHeaderBytes));
    }
    if (!open_.empty()) {
      const std::uint16_t slot = pipeline::decode(frame.first<regs::kHeaderBytes>()).dst_slot;
      if (slot < open_.size() && !open_[slot]) {
        ++strange_frames_;
        return false;
      }
    }
  }
  // The thread may have lost the processor since poll() was given the time: a round trip would look too short.
  const bool answers =
      frame.size() >= regs::kHeaderBytes && (std::to_integer<unsigned>(frame[regs::kHdrFlags]) & regs::kHdrAnswer) != 0;
  if (answers && options_.clock != nullptr) now_us_ = std::max(now_us_, options_.clock());
  return pipeline_.receive(link, frame, now());
}

void SoftMover::on_link(std::uint16_t link, bool up, std::string_view reason) {
  if (link >= routes_.size() || routes_[link].carrier == nullptr) return;
  unblock(link);
  control_.forget(link);
  if (up) {
    bring_up(link);
  } else {
    pipeline_.link_down(link);
  }
  listener_.on_link(link, up, reason);
}

void SoftMover::unblock(std::uint16_t link) {
  if (!routes_[link].blocked) return;
  routes_[link].blocked = false;
  --blocked_routes_;
}

void SoftMover::bring_up(std::uint16_t link) {
  fit(link);
  const pipeline::LinkParameters& fitted = routes_[link].fitted;
  pipeline_.link_up(link, now());
  if (!fitted.controlled) return;
  pipeline_.set_window(link, control_.begin(link, fitted.congestion, fitted.lines_per_frame), now());
}

/// One decision for each link whose round is over.
void SoftMover::decide() {
  for (std::size_t i = pipeline_.round_over(); i != pipeline::Pipeline::kNoLink; i = pipeline_.round_over()) {
    const auto link = static_cast<std::uint16_t>(i);
    const congestion::Round round = pipeline_.take_round(link, now());
    pipeline_.set_window(link, control_.decide(link, round), now());
    if (const std::string why = control_.trips(link, round); !why.empty()) take_down(link, why);
  }
}

void SoftMover::take_down(std::uint16_t link, const std::string& why) {
  unblock(link);
  pipeline_.link_down(link);
  const std::uint64_t pause = control_.hold_down(link, now_us_);
  listener_.on_link(link, false, why + "; it is tried again after " + std::to_string(pause / 1'000'000) + " s");
}

void SoftMover::try_again() {
  for (std::size_t i = control_.next_due(now_us_); i != LinkControl::kNone; i = control_.next_due(now_us_)) {
    const auto link = static_cast<std::uint16_t>(i);
    bring_up(link);
    listener_.on_link(link, true, "tried again");
  }
}

std::optional<LinkFlowStatus> SoftMover::flow(std::uint16_t link) {
  if (link >= routes_.size() || routes_[link].carrier == nullptr || !pipeline_.is_controlled(link)) return std::nullopt;
  return LinkFlowStatus{pipeline_.flow(link).report(), congestion::algorithm(control_.kind(link)).name,
                        control_.trips(link)};
}

bool SoftMover::poll(std::uint64_t now_us) {
  now_us_ = now_us;
  bool busy = !std::exchange(skip_carriers_, false) && poll_carriers();
  if (pipeline_.timers_running() && now_us >= next_sweep_us_) {
    const pipeline::Microseconds earliest = pipeline_.sweep(now(), options_.sweep_budget);
    next_sweep_us_ = now_us + std::max(options_.sweep_us, earliest == pipeline::Pipeline::kNoTimer ? 0 : earliest);
  }
  if (pipeline_.round_over() != pipeline::Pipeline::kNoLink) decide();
  if (control_.due(now_us)) try_again();
  // Marks first: a process that can go on is worth more than a frame that is a microsecond earlier.
  busy |= publish();
  busy |= transmit();
  report_events();
  // New timers may run out before the ones that the last sweep saw.
  if (busy) next_sweep_us_ = std::min(next_sweep_us_, now_us + options_.sweep_us);
  return busy;
}

bool SoftMover::poll_carriers() {
  std::size_t frames = 0;
  for (carriers::Carrier* carrier : carriers_) frames += carrier->poll(now_us_, options_.receive_burst, *this);
  if (blocked_routes_ != 0) {
    for (std::size_t link = 0; link < routes_.size(); ++link) {
      LinkRoute& route = routes_[link];
      if (!route.blocked || route.carrier->room(static_cast<std::uint16_t>(link)) < kBurst) continue;
      route.blocked = false;
      --blocked_routes_;
      pipeline_.set_blocked(static_cast<std::uint16_t>(link), false);
    }
  }
  return frames != 0;
}

bool SoftMover::transmit() {
  bool any = false;
  for (std::size_t burst = 0; burst < options_.transmit_bursts; ++burst) {
    const std::size_t n = pipeline_.transmit(burst_, now());
    if (n == 0) break;
    any = true;
    // Runs of frames for one carrier go down together.
    for (std::size_t first = 0; first < n;) {
      carriers::Carrier* carrier = routes_[burst_[first].link].carrier;
      std::size_t last = first + 1;
      while (last < n && routes_[burst_[last].link].carrier == carrier) ++last;
      send_run(*carrier, std::span(burst_).subspan(first, last - first));
      first = last;
    }
    if (n < burst_.size()) break;
  }
  return any;
}

void SoftMover::send_run(carriers::Carrier& carrier, std::span<const pipeline::TxFrame> frames) {
  if (tap_ != nullptr) {
    for (const pipeline::TxFrame& frame : frames) tap_->on_frame(true, frame.link, frame.header, frame.payload);
  }
  carrier.send(frames);
  for (const pipeline::TxFrame& frame : frames) {
    LinkRoute& route = routes_[frame.link];
    if (route.blocked || carrier.room(frame.link) >= kBurst) continue;
    route.blocked = true;
    ++blocked_routes_;
    pipeline_.set_blocked(frame.link, true);
  }
}

bool SoftMover::publish() {
  bool any = false;
  while (const std::size_t n = pipeline_.take_marks(moved_)) {
    any = true;
    for (std::size_t i = 0; i < n; ++i) {
      SlotMapping& s = mappings_[moved_[i].slot];
      if (s.other) s.show_marks(moved_[i].in_head, moved_[i].out_tail);
    }
  }
  return any;
}

void SoftMover::report_events() {
  std::array<pipeline::SlotEvent, 16> events;
  while (const std::size_t n = pipeline_.take_events(events)) {
    for (std::size_t i = 0; i < n; ++i) listener_.on_fault(events[i].slot, events[i].fault);
  }
}

std::uint64_t SoftMover::counter(regs::Counter counter) const {
  return pipeline_.counter(counter) + (counter == regs::Counter::drop_unbound ? strange_frames_ : 0);
}

std::uint32_t SoftMover::timer_us(std::uint64_t now_us) const {
  std::uint64_t least = pipeline::Pipeline::kNoTimer;
  const auto by = [&](std::uint64_t at_us) { least = std::min(least, now_us >= at_us ? 0 : at_us - now_us); };
  if (pipeline_.timers_running()) by(next_sweep_us_);
  if (pipeline_.paced()) least = std::min<std::uint64_t>(least, kPaceTickUs);
  by(control_.next_us());
  return static_cast<std::uint32_t>(least);
}

}  // namespace slotwire::driver
