// The vendor's PCIe bridge in simulation: what stands between a host's loads and stores and the AXI port of a PCIe card
// (hw/shells/pcie). What it does follows the vendor's documents of the QDMA subsystem as AXI bridge; docs/card.md says
// what is known of it, and what only the vendor's tools can check.
//
//   - Posted writes reach the card in the order in which the host made them. They come in packets of at most
//   kMaxPayload
//     bytes that do not cross a page, of one to all bytes of each line.
//   - A read is held until the card has answered all writes before it. Writes pass reads that wait.
//   - An access of at most 4 bytes is a narrow beat, any other one whole lines with strobes.
//   - A read that the card answers with an error, or not in time, is all ones; a write that it refuses is dropped.
//   - A reset of the function ends what the host waits for at once; what is on the AXI port goes on to its end.
//   - MSI-X: table, masks and pending bits.
//
// `Model` is a Verilated module with the ports of slotwire_pcie. drive() before each rising edge of axi_aclk and
// settling, then sample(). Thread rules: one thread.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/regs/regs.hpp"
#include "sim/axi/check.hpp"
#include "sim/random.hpp"

namespace slotwire::sim {

struct PcieBridgeOptions {
  std::uint64_t seed = 1;
  unsigned stall_permille =
      0;                   ///< of 1000 clocks, those in which a channel of the AXI port does nothing; each by itself
  bool fragments = false;  ///< the processor's write-combining buffers empty in pieces of 1 to 64 bytes
};

template <typename Model>
class PcieBridge {
 public:
  static constexpr std::size_t kMaxPayload = 256;  ///< bytes of a packet
  static constexpr std::size_t kMostWrites = 32, kMostReads = 32;
  static constexpr std::uint64_t kTimeoutClocks = 30'000;  ///< then a read is answered by the bridge
  static constexpr std::uint64_t kFlrClocks = 20'000;  ///< in which the card must be done with a reset of the function
  static constexpr unsigned kVectors = 8;
  /// Where the BARs are on the AXI port (docs/card.md).
  static constexpr std::uint64_t kDoorbellsAt = std::uint64_t{1} << 29, kMemoryAt = regs::kCardMemory;

  enum class Status { ok, unsupported, aborted, timed_out };
  struct Completion {
    Status status = Status::ok;
    std::vector<std::byte> data;  ///< all ones if it is not ok
  };
  struct Message {
    std::uint64_t address = 0;
    std::uint32_t data = 0;
    bool operator==(const Message&) const = default;
  };

  PcieBridge(Model& model, const PcieBridgeOptions& options)
      : model_(model), random_(options.seed ^ 0xb41d6e), options_(options) {
    idle_port();
  }

  // --- the host ---

  /// A posted write of the bytes that `enables` has bits for; at most a line, within one.
  void write(unsigned bar, std::uint64_t offset, std::span<const std::byte, regs::kLineBytes> line,
             std::uint64_t enables) {
    post(address_of(bar, offset / regs::kLineBytes * regs::kLineBytes), line, enables);
  }
  /// A posted write of any length.
  void write(unsigned bar, std::uint64_t offset, std::span<const std::byte> data) {
    while (!data.empty()) {
      const std::size_t room = kMaxPayload - offset % kMaxPayload;  // so no packet crosses a page
      std::size_t n = std::min(room, data.size());
      if (options_.fragments) n = std::min<std::size_t>(n, random_.between(1, 64));
      if (!resetting_ && writes_.size() < kMostPosted) {
        writes_.push_back({address_of(bar, offset), {data.begin(), data.begin() + static_cast<std::ptrdiff_t>(n)}, {}});
        ++posted_;
      }
      offset += n;
      data = data.subspan(n);
    }
  }
  /// A read of `bytes` within a page; 0: nothing but the order. Returns the tag of its completion.
  std::uint64_t read(unsigned bar, std::uint64_t offset, std::size_t bytes) {
    const std::uint64_t tag = next_tag_++;
    reads_.push_back(
        {.tag = tag, .address = address_of(bar, offset), .bytes = bytes, .behind = posted_, .asked_at = clock_});
    if (resetting_) finish(reads_.back(), Status::unsupported);
    return tag;
  }
  bool completed(std::uint64_t tag) const { return find(tag) != nullptr && find(tag)->completion.has_value(); }
  /// The completion, once.
  std::optional<Completion> take(std::uint64_t tag) {
    Read* const read = find(tag);
    if (read == nullptr || !read->completion || read->taken) return std::nullopt;
    read->taken = true;
    Completion completion = std::move(*read->completion);
    sweep();
    return completion;
  }
  /// Posted writes that are not on the AXI port yet.
  std::size_t waiting() const { return writes_.size(); }
  /// Nothing of the host's is under way.
  bool idle() const { return writes_.empty() && reads_.empty() && answers_due_ == 0 && !resetting_; }

  /// The host resets the function. Posted writes that are not on the AXI port are dropped.
  void function_reset() {
    drop_what_waits();
    flr_pulse_ = resetting_ = true;
    flr_clocks_ = 0;
    msix_ = {};
    pending_ = 0;
    msix_on_ = false;
  }
  bool resetting() const { return resetting_; }
  /// The slot's reset, for as long as `on`: everything stops at once, in the middle of whatever it is.
  void bus_reset(bool on) {
    if (on == in_bus_reset_) return;
    in_bus_reset_ = on;
    drop_what_waits();
    for (Read& read : reads_) read.issued = read.arrived = true;
    sweep();
    writes_.clear();
    beats_.clear();
    asked_.clear();
    answers_due_ = 0;
    answered_ = posted_;
    resetting_ = flr_pulse_ = false;
    irq_seen_ = false;
    msix_ = {};
    pending_ = 0;
    msix_on_ = false;
    check_.reset();
    idle_port();
  }

  // --- MSI-X ---

  void enable_msix(bool on) { msix_on_ = on; }
  void set_vector(unsigned vector, Message message, bool masked) {
    msix_[vector] = {message, masked};
    send_pending();
  }
  std::uint32_t pending() const { return pending_; }
  /// Messages that were sent, in order.
  std::vector<Message> messages;
  unsigned failed_requests = 0;  ///< of the card, since MSI-X was off
  /// Before the host sees a completion or a message: what the card wrote into the host's memory before has arrived.
  std::function<void()> pushes = [] {};

  // --- clocks ---

  std::uint64_t refused_writes() const { return refused_writes_; }
  const std::string& violation() const { return violation_.empty() ? check_.violation() : violation_; }

  void drive() {
    model_.axi_aresetn = !in_bus_reset_;
    model_.usr_flr_set = std::exchange(flr_pulse_, false);
    model_.usr_irq_out_ack = model_.usr_irq_out_fail = 0;
    if (in_bus_reset_) return;
    offer_write();
    offer_read();
    model_.s_axib_bready = !stalls();
    model_.s_axib_rready = !stalls();
    answer_irq();
  }

  void sample() {
    ++clock_;
    if (in_bus_reset_) return;
    check();
    if (aw_ && model_.s_axib_awready != 0) aw_ = false;
    if (w_ && model_.s_axib_wready != 0) w_ = false;
    if (ar_ && model_.s_axib_arready != 0) ar_ = false;
    if (model_.s_axib_bvalid != 0 && model_.s_axib_bready != 0) {
      if (model_.s_axib_bresp != 0) ++refused_writes_;
      if (answers_due_ != 0) --answers_due_;
      ++answered_;
    }
    if (model_.s_axib_rvalid != 0 && model_.s_axib_rready != 0) take_beat();
    irq_seen_ = model_.usr_irq_in_vld != 0 && model_.usr_irq_out_ack == 0 && model_.usr_irq_out_fail == 0;
    watch_time();
    if (!resetting_) return;
    ++flr_clocks_;
    if (model_.usr_flr_done_vld != 0) {
      resetting_ = false;
    } else if (flr_clocks_ > kFlrClocks) {
      found("the reset of the function has no end");
      resetting_ = false;
    }
  }

 private:
  static constexpr std::size_t kLine = regs::kLineBytes;
  static constexpr std::size_t kMostPosted = 65536;  ///< packets; the host's credits end long before

  struct Write {
    std::uint64_t address = 0;
    std::vector<std::byte> data;
    std::optional<std::uint64_t> enables;  ///< of a line; without: all of its bytes
  };
  struct Read {
    std::uint64_t tag = 0, address = 0;
    std::size_t bytes = 0;
    std::uint64_t behind = 0;  ///< writes that came before it
    std::uint64_t asked_at = 0;
    bool issued = false, arrived = false, failed = false, taken = false;
    std::vector<std::byte> lines{};
    std::optional<Completion> completion{};
  };
  struct Beat {
    std::array<std::byte, kLine> data{};
    std::uint64_t strobes = 0;
    bool last = false;
  };
  struct Vector {
    Message message;
    bool masked = true;
  };

  static std::uint64_t address_of(unsigned bar, std::uint64_t offset) {
    return bar == regs::kPciMemoryBar      ? kMemoryAt + offset
           : bar == regs::kPciDoorbellsBar ? kDoorbellsAt + offset
                                           : offset;
  }
  void post(std::uint64_t line_address, std::span<const std::byte, kLine> line, std::uint64_t enables) {
    if (resetting_ || writes_.size() >= kMostPosted) return;
    writes_.push_back({line_address, {line.begin(), line.end()}, enables});
    ++posted_;
  }
  Read* find(std::uint64_t tag) {
    const auto at = std::find_if(reads_.begin(), reads_.end(), [&](const Read& read) { return read.tag == tag; });
    return at == reads_.end() ? nullptr : &*at;
  }
  const Read* find(std::uint64_t tag) const { return const_cast<PcieBridge*>(this)->find(tag); }
  /// Forgets reads that the host and the AXI port are done with.
  void sweep() {
    std::erase_if(reads_, [](const Read& read) { return read.taken && (!read.issued || read.arrived); });
  }
  static void finish(Read& read, Status status) {
    if (read.completion) return;
    read.completion.emplace();
    read.completion->status = status;
    read.completion->data.assign(read.bytes, std::byte{0xff});
  }
  void drop_what_waits() {
    answered_ += writes_.size();  // nobody waits for them
    writes_.clear();
    for (Read& read : reads_) finish(read, Status::unsupported);
  }
  bool stalls() { return options_.stall_permille != 0 && random_.chance(options_.stall_permille); }

  void idle_port() {
    aw_ = w_ = ar_ = false;
    model_.s_axib_awvalid = model_.s_axib_wvalid = model_.s_axib_arvalid = 0;
    model_.s_axib_bready = model_.s_axib_rready = 0;
    model_.usr_irq_out_ack = model_.usr_irq_out_fail = model_.usr_flr_set = 0;
  }

  /// The address and the beats go their own ways: either may be first.
  void offer_write() {
    if (!aw_ && !writes_.empty() && answers_due_ < kMostWrites && beats_.size() < kMostWrites && !stalls()) {
      begin_write(writes_.front());
      writes_.pop_front();
    }
    if (!w_ && !beats_.empty() && !stalls()) {
      const Beat& beat = beats_.front();
      std::memcpy(model_.s_axib_wdata.data(), beat.data.data(), kLine);
      model_.s_axib_wstrb = beat.strobes;
      model_.s_axib_wlast = beat.last;
      beats_.pop_front();
      w_ = true;
    }
    model_.s_axib_awvalid = aw_;
    model_.s_axib_wvalid = w_;
  }
  void begin_write(const Write& write) {
    const std::uint64_t first = write.address / kLine * kLine;
    const std::size_t end = write.address + write.data.size();
    const bool narrow = !write.enables && write.address / 4 == (end - 1) / 4;
    for (std::uint64_t line = first; line < end; line += kLine) {
      Beat beat;
      beat.last = line + kLine >= end;
      for (std::size_t i = 0; i < kLine; ++i) {
        const std::uint64_t at = line + i;
        if (at < write.address || at >= end) continue;
        beat.data[i] = write.data[at - write.address];
        if (!write.enables || (*write.enables >> i & 1) != 0) beat.strobes |= std::uint64_t{1} << i;
      }
      beats_.push_back(beat);
    }
    model_.s_axib_awaddr = narrow ? write.address / 4 * 4 : first;
    model_.s_axib_awlen = static_cast<std::uint8_t>((end - 1) / kLine - first / kLine);
    model_.s_axib_awsize = narrow ? 2 : 6;
    model_.s_axib_awburst = 1;
    model_.s_axib_awid = 0;
    aw_ = true;
    ++answers_due_;
  }
  void offer_read() {
    if (!ar_ && asked_.size() < kMostReads && !stalls()) {
      const auto next =
          std::find_if(reads_.begin(), reads_.end(), [](const Read& read) { return !read.issued && !read.completion; });
      if (next != reads_.end() && next->behind <= answered_) begin_read(*next);
    }
    model_.s_axib_arvalid = ar_;
  }
  void begin_read(Read& read) {
    const std::size_t bytes = std::max<std::size_t>(read.bytes, 1);
    const bool narrow = read.address / 4 == (read.address + bytes - 1) / 4;
    model_.s_axib_araddr = narrow ? read.address / 4 * 4 : read.address / kLine * kLine;
    model_.s_axib_arlen = static_cast<std::uint8_t>((read.address + bytes - 1) / kLine - read.address / kLine);
    model_.s_axib_arsize = narrow ? 2 : 6;
    model_.s_axib_arburst = 1;
    model_.s_axib_arid = 0;
    read.issued = true;
    asked_.push_back(read.tag);
    ar_ = true;
  }
  void take_beat() {
    if (asked_.empty()) return found("an answer to no read");
    Read* const read = find(asked_.front());
    if (read != nullptr) {
      const auto* const data = reinterpret_cast<const std::byte*>(model_.s_axib_rdata.data());
      read->lines.insert(read->lines.end(), data, data + kLine);
      read->failed = read->failed || model_.s_axib_rresp != 0;
    }
    if (model_.s_axib_rlast == 0) return;
    asked_.pop_front();
    pushes();
    if (read == nullptr) return;
    read->arrived = true;
    if (read->failed) {
      finish(*read, Status::aborted);
    } else if (!read->completion) {
      const auto begin = read->lines.begin() + static_cast<std::ptrdiff_t>(read->address % kLine);
      read->completion.emplace(Completion{Status::ok, {begin, begin + static_cast<std::ptrdiff_t>(read->bytes)}});
    }
    sweep();
  }
  void watch_time() {
    for (Read& read : reads_) {
      if (!read.completion && clock_ - read.asked_at > kTimeoutClocks) finish(read, Status::timed_out);
    }
  }

  /// A request is answered after a while, as its vector stands then.
  void answer_irq() {
    if (!irq_seen_ || random_.chance(700)) return;
    irq_seen_ = false;
    const unsigned vector = model_.usr_irq_in_vec;
    if (!msix_on_) {
      model_.usr_irq_out_fail = 1;
      ++failed_requests;
      return;
    }
    model_.usr_irq_out_ack = 1;
    pending_ |= 1U << vector;
    send_pending();
  }
  void send_pending() {
    for (unsigned vector = 0; msix_on_ && vector < kVectors; ++vector) {
      if ((pending_ >> vector & 1) == 0 || msix_[vector].masked) continue;
      pending_ &= ~(1U << vector);
      pushes();
      messages.push_back(msix_[vector].message);
    }
  }

  void check() {
    const auto& m = model_;
    check_.see({.aw = {.valid = m.s_axib_awvalid != 0,
                       .ready = m.s_axib_awready != 0,
                       .address = m.s_axib_awaddr,
                       .id = m.s_axib_awid,
                       .length = m.s_axib_awlen,
                       .size = m.s_axib_awsize,
                       .burst = m.s_axib_awburst},
                .ar = {.valid = m.s_axib_arvalid != 0,
                       .ready = m.s_axib_arready != 0,
                       .address = m.s_axib_araddr,
                       .id = m.s_axib_arid,
                       .length = m.s_axib_arlen,
                       .size = m.s_axib_arsize,
                       .burst = m.s_axib_arburst},
                .wvalid = m.s_axib_wvalid != 0,
                .wready = m.s_axib_wready != 0,
                .wlast = m.s_axib_wlast != 0,
                .bvalid = m.s_axib_bvalid != 0,
                .bready = m.s_axib_bready != 0,
                .rvalid = m.s_axib_rvalid != 0,
                .rready = m.s_axib_rready != 0,
                .rlast = m.s_axib_rlast != 0,
                .wdata = {m.s_axib_wdata.data(), kLine / 4},
                .rdata = {m.s_axib_rdata.data(), kLine / 4},
                .wstrb = m.s_axib_wstrb,
                .bresp = m.s_axib_bresp,
                .rresp = m.s_axib_rresp});
  }
  void found(const std::string& what) {
    if (violation_.empty()) violation_ = "bridge: " + what;
  }

  Model& model_;
  Random random_;
  PcieBridgeOptions options_;
  std::uint64_t clock_ = 0;

  std::deque<Write> writes_;  ///< not on the AXI port yet
  std::deque<Beat> beats_;    ///< of those that are
  std::deque<Read> reads_;
  std::deque<std::uint64_t> asked_;  ///< tags of reads on the AXI port, in order
  std::uint64_t next_tag_ = 1;
  std::uint64_t posted_ = 0, answered_ = 0;  ///< writes
  std::size_t answers_due_ = 0;
  bool aw_ = false, w_ = false, ar_ = false;
  std::uint64_t refused_writes_ = 0;

  bool in_bus_reset_ = false, flr_pulse_ = false, resetting_ = false;
  std::uint64_t flr_clocks_ = 0;

  std::array<Vector, kVectors> msix_{};
  std::uint32_t pending_ = 0;
  bool msix_on_ = false, irq_seen_ = false;

  axi::MemoryCheck check_{"s_axib", kLine, kMostWrites + 8};
  std::string violation_;
};

}  // namespace slotwire::sim
