#include "driver/soft/soft_card.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "core/slot/publish.hpp"

namespace slotwire::driver {
namespace {

slot::RingView view_of(const slot::Space& space) {
  if (!space) return {};
  return {space.ring(), space.order(), space.mirrored()};
}

}  // namespace

SoftCard::SoftCard(std::span<regs::SlotRow> rows, const SoftCardOptions& options, CardListener& listener)
    : capabilities_{"soft", rows.size(), true},
      options_(options),
      listener_(listener),
      pipeline_(rows, options.links),
      bells_(options.demote_us),
      slots_(rows.size()),
      routes_(options.links) {}

SlotFiles SoftCard::make_files(std::uint16_t slot, unsigned in_order, unsigned out_order, bool with_output) {
  const std::string name = "slotwire-slot" + std::to_string(slot);
  SlotFiles files;
  files.own = slot::create_sealed_file(name + "-in", slot::space_file_bytes(in_order));
  if (with_output) files.other = slot::create_sealed_file(name + "-out", slot::space_file_bytes(out_order));
  files.wake = slot::create_event();
  return files;
}

void SoftCard::open_slot(std::uint16_t slot, unsigned in_order, unsigned out_order, bool with_output) {
  adopt_slot(slot, in_order, out_order, make_files(slot, in_order, out_order, with_output));
}

SoftCard::Slot SoftCard::make_slot(unsigned in_order, unsigned out_order, SlotFiles files) {
  Slot made;
  made.own = slot::Space(files.own.get(), in_order, slot::Access::read_write);
  if (files.other) made.other = slot::Space(files.other.get(), out_order, slot::Access::read_write);
  made.files = std::move(files);
  return made;
}

void SoftCard::adopt_slot(std::uint16_t slot, unsigned in_order, unsigned out_order, SlotFiles files) {
  slots_[slot] = make_slot(in_order, out_order, std::move(files));
}

void SoftCard::close_slot(std::uint16_t slot) {
  pipeline_.unbind(slot);
  slots_[slot] = {};
}

pipeline::SlotMemory SoftCard::memory_of(const Slot& slot) const {
  return {view_of(slot.own), view_of(slot.other)};
}

void SoftCard::bind(std::uint16_t slot, const pipeline::Binding& binding) {
  pipeline_.bind(slot, binding, memory_of(slots_[slot]), now());
}

void SoftCard::recover(std::uint16_t slot) {
  const Slot& s = slots_[slot];
  const slot::MarkPage& marks = s.own.marks();
  pipeline_.recover(slot, memory_of(s), marks.tail.load(std::memory_order_acquire),
                    marks.head.load(std::memory_order_acquire), now());
}

void SoftCard::look(std::uint16_t slot) {
  const Slot& s = slots_[slot];
  if (!s.own) return;
  const slot::MarkPage& marks = s.own.marks();
  pipeline_.doorbell(slot, marks.tail.load(std::memory_order_acquire), marks.head.load(std::memory_order_acquire),
                     now());
}

bool SoftCard::drained(std::uint16_t slot) const {
  const regs::SlotRow& row = pipeline_.row(slot);
  return row.in_head == row.in_tail;
}

void SoftCard::set_route(std::uint16_t link, carriers::Carrier& carrier, const pipeline::LinkParameters& config) {
  SoftCard::clear_route(link);
  pipeline::LinkParameters fitted = config;
  fitted.lines_per_frame = static_cast<std::uint16_t>(carrier.lines_per_frame_of(link));
  pipeline_.set_link(link, fitted);
  routes_[link].carrier = &carrier;
  if (std::find(carriers_.begin(), carriers_.end(), &carrier) == carriers_.end()) carriers_.push_back(&carrier);
}

void SoftCard::clear_route(std::uint16_t link) {
  Route& route = routes_[link];
  if (route.carrier == nullptr) return;
  pipeline_.link_down(link);
  if (route.blocked) --blocked_routes_;
  carriers::Carrier* carrier = route.carrier;
  route = {};
  const bool used = std::any_of(routes_.begin(), routes_.end(), [&](const Route& r) { return r.carrier == carrier; });
  if (!used && carrier != always_) std::erase(carriers_, carrier);
}

void SoftCard::poll_always(carriers::Carrier& carrier) {
  always_ = &carrier;
  if (std::find(carriers_.begin(), carriers_.end(), &carrier) == carriers_.end()) carriers_.push_back(&carrier);
}

void SoftCard::on_frame(std::uint16_t link, std::span<const std::byte> frame) {
  show_frame(link, frame);
  pipeline_.receive(link, frame, now());
}

void SoftCard::on_link(std::uint16_t link, bool up, std::string_view reason) {
  if (link >= routes_.size() || routes_[link].carrier == nullptr) return;
  if (routes_[link].blocked) {
    routes_[link].blocked = false;
    --blocked_routes_;
  }
  if (up) {
    pipeline_.link_up(link, now());
  } else {
    pipeline_.link_down(link);
  }
  listener_.on_link(link, up, reason);
}

bool SoftCard::poll(std::uint64_t now_us) {
  now_us_ = now_us;
  bool busy = bells_.poll(now_us, [&](std::uint32_t slot) { look(static_cast<std::uint16_t>(slot)); });
  busy |= poll_carriers();
  if (pipeline_.timers_running() && now_us >= next_sweep_us_) {
    const pipeline::Microseconds earliest = pipeline_.sweep(now(), options_.sweep_budget);
    next_sweep_us_ = now_us + std::max(options_.sweep_us, earliest == pipeline::Pipeline::kNoTimer ? 0 : earliest);
  }
  // Marks first: a process that can go on is worth more than a frame that is a microsecond earlier.
  busy |= publish();
  busy |= transmit();
  report_events();
  // New timers may run out before the ones that the last sweep saw.
  if (busy) next_sweep_us_ = std::min(next_sweep_us_, now_us + options_.sweep_us);
  return busy;
}

bool SoftCard::poll_carriers() {
  std::size_t frames = 0;
  for (carriers::Carrier* carrier : carriers_) frames += carrier->poll(now_us_, options_.receive_burst, *this);
  if (blocked_routes_ != 0) {
    for (std::size_t link = 0; link < routes_.size(); ++link) {
      Route& route = routes_[link];
      if (!route.blocked || route.carrier->room(static_cast<std::uint16_t>(link)) < kBurst) continue;
      route.blocked = false;
      --blocked_routes_;
      pipeline_.set_blocked(static_cast<std::uint16_t>(link), false);
    }
  }
  return frames != 0;
}

bool SoftCard::transmit() {
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

void SoftCard::send_run(carriers::Carrier& carrier, std::span<const pipeline::TxFrame> frames) {
  if (tap_ != nullptr) {
    for (const pipeline::TxFrame& frame : frames) tap_->on_frame(true, frame.link, frame.header, frame.payload);
  }
  carrier.send(frames);
  for (const pipeline::TxFrame& frame : frames) {
    Route& route = routes_[frame.link];
    if (route.blocked || carrier.room(frame.link) >= kBurst) continue;
    route.blocked = true;
    ++blocked_routes_;
    pipeline_.set_blocked(frame.link, true);
  }
}

bool SoftCard::publish() {
  bool any = false;
  while (const std::size_t n = pipeline_.take_marks(moved_)) {
    any = true;
    for (std::size_t i = 0; i < n; ++i) {
      Slot& s = slots_[moved_[i].slot];
      if (!s.other) continue;
      show_marks(s, moved_[i].in_head, moved_[i].out_tail);
    }
  }
  return any;
}

void SoftCard::show_marks(Slot& slot, std::uint32_t in_head, std::uint32_t out_tail) {
  slot::publish_marks(slot.other.marks(), slot.own.marks(), slot.files.wake.get(), slot.signalled, in_head, out_tail);
}

void SoftCard::report_events() {
  std::array<pipeline::SlotEvent, 16> events;
  while (const std::size_t n = pipeline_.take_events(events)) {
    for (std::size_t i = 0; i < n; ++i) listener_.on_fault(events[i].slot, events[i].fault);
  }
}

std::uint32_t SoftCard::timer_us(std::uint64_t now_us) const {
  if (!pipeline_.timers_running()) return pipeline::Pipeline::kNoTimer;
  return now_us >= next_sweep_us_ ? 0 : static_cast<std::uint32_t>(next_sweep_us_ - now_us);
}

}  // namespace slotwire::driver
