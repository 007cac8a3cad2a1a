// The PCIe card in simulation: a host behind the bridge, a MAC on a clock of its own, and whoever takes the host's own
// frames. Every port is checked.
#pragma once
#include <Vslotwire_pcie_sim.h>
#include <verilated.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "driver/bus/access_port.hpp"
#include "sim/card/frame_queue.hpp"
#include "sim/pci/pcie_bridge.hpp"
#include "sim/pci/pcie_host_memory.hpp"

namespace slotwire::sim {

struct PcieShellOptions {
  std::uint64_t seed = 1;
  unsigned stall_permille = 0;                               ///< of the bridge, the MAC and the host's streams
  bool fragments = false;                                    ///< as PcieBridgeOptions
  std::uint64_t answer_clocks = 1, least_answer_clocks = 1;  ///< as PcieHostMemoryOptions
};

class PcieShell {
 public:
  using Model = Vslotwire_pcie_sim;
  using Bridge = PcieBridge<Model>;
  using Memory = PcieHostMemory<Model>;
  static constexpr std::uint32_t kSlots = 64, kMemoryLines = 1U << 14;
  static constexpr std::size_t kMaxBeats = FrameQueue::kMaxFrameBytes / 64;
  static constexpr std::size_t kLeastFrame = 60;  ///< that the MAC takes

  explicit PcieShell(const PcieShellOptions& options)
      : random_(options.seed ^ 0x9c1e), stalls_(options.stall_permille) {
    context_->randReset(2);
    context_->randSeed(static_cast<int>(1 + options.seed));
    Verilated::threadContextp(context_.get());
    model_ = std::make_unique<Model>(context_.get(), "pcie");
    bridge_.emplace(*model_, PcieBridgeOptions{options.seed, options.stall_permille, options.fragments});
    memory_.emplace(*model_, PcieHostMemoryOptions{options.seed, options.stall_permille, options.answer_clocks,
                                                   options.least_answer_clocks});
    bridge_->pushes = [this] { memory_->deliver(); };
    model_->axi_aclk = model_->mac_clk = 0;
    model_->axi_aresetn = model_->mac_rst_n = 1;
    model_->eval();
    model_->axi_aresetn = model_->mac_rst_n = 0;
    model_->eval();
    bridge_->bus_reset(true);
    mac_in_reset_ = true;
    clock(20);
    bridge_->bus_reset(false);
    mac_reset(false);
    clock(40);
  }
  ~PcieShell() {
    Verilated::threadContextp(context_.get());
    model_->final();
    model_.reset();
    Verilated::threadContextp(Verilated::defaultContextp());
  }
  PcieShell(const PcieShell&) = delete;
  PcieShell& operator=(const PcieShell&) = delete;

  Bridge& bridge() { return *bridge_; }
  Memory& memory() { return *memory_; }
  /// `n` clocks of the host's side, and as many of the MAC's as pass meanwhile.
  void clock(std::uint64_t n) {
    for (const std::uint64_t end = clock_ + n; clock_ != end;) {
      if (host_at_ <= mac_at_) {
        host_edge();
        host_at_ += kHostPs;
      } else {
        mac_edge();
        mac_at_ += kMacPs;
      }
    }
  }
  std::uint64_t now() const { return clock_; }
  /// Holds the MAC in reset; a frame under way either way is cut.
  void mac_reset(bool on) {
    mac_in_reset_ = on;
    if (!on) return;
    if (in_.at != 0) wire_in.pop();
    in_ = {};
    out_bytes_ = 0;
    out_check_.reset();
  }
  const std::string& violation() const {
    return !violation_.empty()             ? violation_
           : !bridge_->violation().empty() ? bridge_->violation()
                                           : memory_->violation();
  }

  FrameQueue wire_in, wire_out, from_host, to_host;
  /// When the last one was seen at its port, picoseconds of this card's time.
  struct Seen {
    std::uint64_t host_write = 0;    ///< a beat that the bridge wrote into a BAR
    std::uint64_t wire_out = 0;      ///< the first beat of a frame, to the MAC
    std::uint64_t wire_in = 0;       ///< the last beat of a frame, from the MAC
    std::uint64_t memory_write = 0;  ///< a beat for the host's memory that the bridge took
  };
  const Seen& seen() const { return seen_; }
  std::uint64_t cut_to_host = 0;  ///< frames to the host that a reset cut

 private:
  using Line = std::array<std::byte, 64>;
  struct Source {
    bool offered = false;
    std::size_t at = 0;
  };
  static constexpr std::uint64_t kHostPs = 4000, kMacPs = 3103;

  void host_edge() {
    auto& m = *model_;
    bridge_->drive();
    memory_->drive();
    drive_source(from_host, host_in_, m.from_host_tvalid, m.from_host_tdata, m.from_host_tkeep, m.from_host_tlast);
    m.to_host_tready = !to_host.full() && !stalls();
    m.eval();
    if (m.axi_aresetn != 0) {
      sample_source(from_host, host_in_, m.from_host_tready != 0, m.from_host_tlast != 0);
      sample_to_host();
    } else {
      host_bytes_ = 0;
      host_in_ = {};
    }
    if (m.s_axib_wvalid != 0 && m.s_axib_wready != 0) seen_.host_write = host_at_;
    if (m.m_axib_wvalid != 0 && m.m_axib_wready != 0) seen_.memory_write = host_at_;
    bridge_->sample();
    memory_->sample();
    m.axi_aclk = 1;
    m.eval();
    m.axi_aclk = 0;
    m.eval();
    ++clock_;
  }
  void mac_edge() {
    auto& m = *model_;
    m.mac_rst_n = !mac_in_reset_;
    // The MAC cannot be held back, and has pauses of its own.
    m.rx_axis_tvalid = 0;
    if (!mac_in_reset_ && !wire_in.empty() && !stalls()) {
      drive_beat(wire_in.front(), in_.at, m.rx_axis_tdata, m.rx_axis_tkeep, m.rx_axis_tlast);
      m.rx_axis_tuser = m.rx_axis_tlast != 0 && wire_in.front().damaged;
      m.rx_axis_tvalid = 1;
    }
    m.tx_axis_tready = !mac_in_reset_ && !wire_out.full() && !stalls();
    m.eval();
    if (!mac_in_reset_) sample_mac();
    m.mac_clk = 1;
    m.eval();
    m.mac_clk = 0;
    m.eval();
  }
  void sample_mac() {
    auto& m = *model_;
    if (m.rx_axis_tvalid != 0) {
      in_.at += 64;
      if (m.rx_axis_tlast != 0) seen_.wire_in = mac_at_;
      if (m.rx_axis_tlast != 0) {
        wire_in.pop();
        in_ = {};
      }
    }
    const bool valid = m.tx_axis_tvalid != 0, ready = m.tx_axis_tready != 0, last = m.tx_axis_tlast != 0;
    out_check_.see({valid, ready, last, {m.tx_axis_tdata.data(), 16}, m.tx_axis_tkeep});
    found(out_check_.violation());
    if (out_bytes_ != 0 && !valid) found("the MAC starves within a frame");
    if (!valid || !ready) return;
    if (out_bytes_ == 0) seen_.wire_out = mac_at_;
    out_bytes_ = keep(wire_out, out_bytes_, m.tx_axis_tdata, m.tx_axis_tkeep);
    if (!last) return;
    if (out_bytes_ < kLeastFrame) found("a frame of " + std::to_string(out_bytes_) + " bytes to the MAC");
    wire_out.commit(out_bytes_, false);
    out_bytes_ = 0;
  }
  void sample_to_host() {
    auto& m = *model_;
    if (m.to_host_tvalid == 0 || m.to_host_tready == 0) return;
    host_bytes_ = keep(to_host, host_bytes_, m.to_host_tdata, m.to_host_tkeep);
    if (m.to_host_tlast == 0) return;
    if (m.to_host_tuser != 0) {
      ++cut_to_host;
    } else {
      to_host.commit(host_bytes_, false);
    }
    host_bytes_ = 0;
  }
  /// The bytes of a frame under way with those of one more beat.
  std::size_t keep(FrameQueue& queue, std::size_t bytes, const VlWide<16>& data, std::uint64_t kept) {
    const auto n = static_cast<std::size_t>(std::popcount(kept));
    if (bytes + n > FrameQueue::kMaxFrameBytes) {
      found("a frame without an end");
      return bytes;
    }
    std::memcpy(queue.room().data() + bytes, data.data(), n);
    return bytes + n;
  }
  static void drive_beat(const FrameQueue::Frame& frame, std::size_t at, VlWide<16>& data, std::uint64_t& keep,
                         std::uint8_t& last) {
    const std::size_t n = std::min<std::size_t>(frame.bytes.size() - at, 64);
    Line beat;
    beat.fill(std::byte{0xa5});  // whatever stands behind the frame's end
    std::memcpy(beat.data(), frame.bytes.data() + at, n);
    std::memcpy(data.data(), beat.data(), beat.size());
    keep = n == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1;
    last = at + n == frame.bytes.size();
  }
  void drive_source(FrameQueue& queue, Source& source, std::uint8_t& valid, VlWide<16>& data, std::uint64_t& keep,
                    std::uint8_t& last) {
    if (!source.offered && !queue.empty() && !stalls()) {
      drive_beat(queue.front(), source.at, data, keep, last);
      source.offered = true;
    }
    valid = source.offered;
  }
  static void sample_source(FrameQueue& queue, Source& source, bool ready, bool last) {
    if (!source.offered || !ready) return;
    source.offered = false;
    source.at += 64;
    if (!last) return;
    queue.pop();
    source = {};
  }
  void found(const std::string& what) {
    if (violation_.empty() && !what.empty()) violation_ = "clock " + std::to_string(clock_) + ": " + what;
  }
  bool stalls() { return stalls_ != 0 && random_.chance(stalls_); }

  Random random_;
  unsigned stalls_;
  std::unique_ptr<VerilatedContext> context_ = std::make_unique<VerilatedContext>();
  std::unique_ptr<Model> model_;
  std::optional<Bridge> bridge_;
  std::optional<Memory> memory_;
  std::uint64_t clock_ = 0, host_at_ = 0, mac_at_ = 0;
  bool mac_in_reset_ = false;
  Seen seen_;
  Source in_, host_in_;
  std::size_t out_bytes_ = 0, host_bytes_ = 0;
  axi::StreamCheck out_check_{"tx_axis", kMaxBeats};
  std::string violation_;
};

/// The card as a driver reaches it through the BARs; waits for each read.
class PciePort final : public driver::AccessPort {
 public:
  static constexpr std::uint64_t kPatience = PcieShell::Bridge::kTimeoutClocks + 1000;  ///< clocks

  explicit PciePort(PcieShell& shell) : shell_(shell) {}
  bool write(std::uint32_t address, const Bytes& data, std::uint64_t strobes) override {
    const auto [bar, offset] = place(address);
    shell_.bridge().write(bar, offset, data, strobes);
    return true;
  }
  bool read(std::uint32_t address) override {
    const auto [bar, offset] = place(address);
    tag_ = shell_.bridge().read(bar, offset, regs::kLineBytes);
    for (std::uint64_t i = 0; !shell_.bridge().completed(tag_) && i < kPatience; ++i) shell_.clock(1);
    return true;
  }
  bool answered() const override { return shell_.bridge().completed(tag_); }
  Reply take_answer() override {
    Reply reply;
    reply.data.fill(std::byte{0xff});
    const auto completion = shell_.bridge().take(tag_);
    reply.error = !completion || completion->status != PcieShell::Bridge::Status::ok;
    if (completion) std::copy(completion->data.begin(), completion->data.end(), reply.data.begin());
    return reply;
  }
  /// Which BAR a card address is in, and where.
  static std::pair<unsigned, std::uint64_t> place(std::uint32_t address) {
    constexpr std::uint64_t kPages = std::uint64_t{PcieShell::kSlots} * regs::kPageBytes;
    if (address >= regs::kCardMemory) return {regs::kPciMemoryBar, address - regs::kCardMemory};
    if (address >= regs::kCardProxyPages) return {regs::kPciDoorbellsBar, kPages + (address - regs::kCardProxyPages)};
    if (address >= regs::kCardProcessPages) return {regs::kPciDoorbellsBar, address - regs::kCardProcessPages};
    return {regs::kPciRegistersBar, address};
  }

 private:
  PcieShell& shell_;
  std::uint64_t tag_ = 0;
};

}  // namespace slotwire::sim
