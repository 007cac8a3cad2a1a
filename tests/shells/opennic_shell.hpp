// The OpenNIC user box in simulation: registers on a clock of half the speed, four streams with sizes, everything
// checked.
#pragma once
#include <Vslotwire_opennic_sim.h>
#include <verilated.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "driver/bus/bank_window.hpp"
#include "sim/axi/check.hpp"
#include "sim/card/frame_queue.hpp"
#include "sim/random.hpp"

namespace slotwire::sim {

class OpenNicShell {
 public:
  using Model = Vslotwire_opennic_sim;
  static constexpr std::uint64_t kPatience = 100'000;  ///< clocks that an access of a register may take
  static constexpr std::size_t kMaxBeats = FrameQueue::kMaxFrameBytes / 64;

  OpenNicShell(std::uint64_t seed, unsigned stall_permille) : random_(seed ^ 0x09e1), stalls_(stall_permille) {
    context_->randReset(2);
    context_->randSeed(static_cast<int>(1 + seed));
    Verilated::threadContextp(context_.get());
    model_ = std::make_unique<Model>(context_.get(), "box");
    model_->mod_rstn = 1;
    model_->axis_aclk = model_->axil_aclk = 0;
    model_->eval();
    model_->mod_rstn = 0;
    model_->eval();
    for (int i = 0; i < 20; ++i) edge();
    model_->mod_rstn = 1;
    for (int i = 0; i < 40; ++i) edge();
    in_reset_ = false;
  }
  ~OpenNicShell() {
    Verilated::threadContextp(context_.get());
    model_->final();
    model_.reset();
    Verilated::threadContextp(Verilated::defaultContextp());
  }
  OpenNicShell(const OpenNicShell&) = delete;
  OpenNicShell& operator=(const OpenNicShell&) = delete;

  bool up() const { return model_->mod_rst_done != 0; }
  void clock(std::uint64_t n) {
    for (; n != 0; --n) edge();
  }
  std::uint64_t now() const { return clock_; }
  bool write(std::uint32_t address, std::uint32_t value) {
    access(true, address, value);
    return answered_ && response_ == 0;
  }
  std::optional<std::uint32_t> read(std::uint32_t address) {
    access(false, address, 0);
    return answered_ && response_ == 0 ? std::optional(data_) : std::nullopt;
  }
  const std::string& violation() const { return violation_; }

  FrameQueue wire_in, wire_out, from_host, to_host;

 private:
  using Line = std::array<std::byte, 64>;
  struct Source {
    bool offered = false;
    std::size_t at = 0;
  };
  struct Sink {
    std::size_t bytes = 0;
    std::uint32_t size = 0;
  };

  /// One clock of the streams; the registers' clock rises with every other one.
  void edge() {
    const bool slow = clock_ % 2 == 0;
    auto& m = *model_;
    if (slow) drive_registers();
    drive_source(wire_in, in_, m.s_axis_adap_rx_250mhz_tvalid, m.s_axis_adap_rx_250mhz_tdata,
                 m.s_axis_adap_rx_250mhz_tkeep, m.s_axis_adap_rx_250mhz_tlast, m.s_axis_adap_rx_250mhz_tuser_size);
    drive_source(from_host, host_in_, m.s_axis_qdma_h2c_tvalid, m.s_axis_qdma_h2c_tdata, m.s_axis_qdma_h2c_tkeep,
                 m.s_axis_qdma_h2c_tlast, m.s_axis_qdma_h2c_tuser_size);
    m.m_axis_adap_tx_250mhz_tready = !wire_out.full() && !stalls();
    m.m_axis_qdma_c2h_tready = !to_host.full() && !stalls();
    m.axis_aclk = 0;
    if (slow) m.axil_aclk = 0;
    m.eval();
    if (!in_reset_) {
      if (slow) sample_registers();
      sample_source(wire_in, in_, in_check_, m.s_axis_adap_rx_250mhz_tready, m.s_axis_adap_rx_250mhz_tlast,
                    m.s_axis_adap_rx_250mhz_tdata, m.s_axis_adap_rx_250mhz_tkeep);
      sample_source(from_host, host_in_, host_in_check_, m.s_axis_qdma_h2c_tready, m.s_axis_qdma_h2c_tlast,
                    m.s_axis_qdma_h2c_tdata, m.s_axis_qdma_h2c_tkeep);
      sample_sink(wire_out, out_, out_check_, m.m_axis_adap_tx_250mhz_tvalid, m.m_axis_adap_tx_250mhz_tready,
                  m.m_axis_adap_tx_250mhz_tlast, m.m_axis_adap_tx_250mhz_tdata, m.m_axis_adap_tx_250mhz_tkeep,
                  m.m_axis_adap_tx_250mhz_tuser_size, m.m_axis_adap_tx_250mhz_tuser_dst, 1U << 6);
      sample_sink(to_host, host_out_, host_out_check_, m.m_axis_qdma_c2h_tvalid, m.m_axis_qdma_c2h_tready,
                  m.m_axis_qdma_c2h_tlast, m.m_axis_qdma_c2h_tdata, m.m_axis_qdma_c2h_tkeep,
                  m.m_axis_qdma_c2h_tuser_size, m.m_axis_qdma_c2h_tuser_dst, 1U);
    }
    m.axis_aclk = 1;
    if (slow) m.axil_aclk = 1;
    m.eval();
    ++clock_;
  }
  void drive_registers() {
    model_->s_axil_awvalid = aw_;
    model_->s_axil_wvalid = w_;
    model_->s_axil_arvalid = ar_;
    model_->s_axil_bready = !stalls();
    model_->s_axil_rready = !stalls();
  }
  void sample_registers() {
    auto& m = *model_;
    lite_.see({.awvalid = aw_,
               .awready = m.s_axil_awready != 0,
               .wvalid = w_,
               .wready = m.s_axil_wready != 0,
               .bvalid = m.s_axil_bvalid != 0,
               .bready = m.s_axil_bready != 0,
               .arvalid = ar_,
               .arready = m.s_axil_arready != 0,
               .rvalid = m.s_axil_rvalid != 0,
               .rready = m.s_axil_rready != 0,
               .awaddr = m.s_axil_awaddr,
               .wdata = m.s_axil_wdata,
               .wstrb = 0xf,
               .bresp = m.s_axil_bresp,
               .araddr = m.s_axil_araddr,
               .rdata = m.s_axil_rdata,
               .rresp = m.s_axil_rresp});
    found(lite_.violation());
    aw_ = aw_ && m.s_axil_awready == 0;
    w_ = w_ && m.s_axil_wready == 0;
    ar_ = ar_ && m.s_axil_arready == 0;
    if (m.s_axil_bvalid != 0 && m.s_axil_bready != 0) answer(m.s_axil_bresp, 0);
    if (m.s_axil_rvalid != 0 && m.s_axil_rready != 0) answer(m.s_axil_rresp, m.s_axil_rdata);
  }
  void answer(std::uint32_t response, std::uint32_t data) {
    answered_ = true;
    response_ = response;
    data_ = data;
  }
  void access(bool write, std::uint32_t address, std::uint32_t value) {
    answered_ = false;
    if (write) {
      model_->s_axil_awaddr = address;
      model_->s_axil_wdata = value;
    } else {
      model_->s_axil_araddr = address;
    }
    aw_ = w_ = write;
    ar_ = !write;
    for (std::uint64_t clocks = 0; !answered_ && clocks < kPatience; ++clocks) edge();
    if (!answered_) found("s_axil: no answer");
  }
  template <typename Size>
  void drive_source(FrameQueue& queue, Source& source, std::uint8_t& valid, VlWide<16>& data, std::uint64_t& keep,
                    std::uint8_t& last, Size& size) {
    if (!source.offered && !queue.empty() && !in_reset_ && !stalls()) {
      const FrameQueue::Frame frame = queue.front();
      const std::size_t n = std::min<std::size_t>(frame.bytes.size() - source.at, 64);
      Line beat{};
      std::memcpy(beat.data(), frame.bytes.data() + source.at, n);
      std::memcpy(data.data(), beat.data(), beat.size());
      keep = n == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1;
      last = source.at + n == frame.bytes.size();
      size = static_cast<Size>(frame.bytes.size());
      source.offered = true;
    }
    valid = source.offered;
  }
  void sample_source(FrameQueue& queue, Source& source, axi::StreamCheck& check, bool ready, bool last,
                     const VlWide<16>& data, std::uint64_t keep) {
    check.see({source.offered, ready, last, {data.data(), 16}, keep});
    found(check.violation());
    if (!source.offered || !ready) return;
    source.offered = false;
    source.at += 64;
    if (!last) return;
    queue.pop();
    source = {};
  }
  void sample_sink(FrameQueue& queue, Sink& sink, axi::StreamCheck& check, bool valid, bool ready, bool last,
                   const VlWide<16>& data, std::uint64_t keep, std::uint32_t size, std::uint32_t to,
                   std::uint32_t expected) {
    check.see({valid, ready, last, {data.data(), 16}, keep});
    found(check.violation());
    if (!valid) return;
    if (to != expected) found("a packet into the shell goes to " + std::to_string(to));
    if (!ready) return;
    if (sink.bytes == 0) sink.size = size;
    if (size != sink.size) found("a packet's size changed from beat to beat");
    const auto n = static_cast<std::size_t>(std::popcount(keep));
    std::memcpy(queue.room().data() + sink.bytes, data.data(), n);
    sink.bytes += n;
    if (!last) return;
    if (sink.bytes != sink.size)
      found("a packet of " + std::to_string(sink.bytes) + " bytes says " + std::to_string(sink.size));
    queue.commit(sink.bytes, false);
    sink = {};
  }
  void found(const std::string& what) {
    if (violation_.empty() && !what.empty()) violation_ = "clock " + std::to_string(clock_) + ": " + what;
  }
  bool stalls() { return stalls_ != 0 && random_.chance(stalls_); }

  Random random_;
  unsigned stalls_;
  std::unique_ptr<VerilatedContext> context_ = std::make_unique<VerilatedContext>();
  std::unique_ptr<Model> model_;
  std::uint64_t clock_ = 0;
  bool in_reset_ = true, aw_ = false, w_ = false, ar_ = false, answered_ = false;
  std::uint32_t response_ = 0, data_ = 0;
  Source in_, host_in_;
  Sink out_, host_out_;
  axi::LiteCheck lite_{"s_axil"};
  axi::StreamCheck in_check_{"adap_rx", kMaxBeats}, out_check_{"adap_tx", kMaxBeats},
      host_in_check_{"qdma_h2c", kMaxBeats}, host_out_check_{"qdma_c2h", kMaxBeats};
  std::string violation_;
};

/// The box as a window of registers, slot memory a bank at a time.
class OpenNicWindow final : public driver::BankWindow {
 public:
  explicit OpenNicWindow(OpenNicShell& shell) : shell_(shell) {}
  void write(std::uint32_t offset, std::uint32_t value) override { shell_.write(offset, value); }
  std::uint32_t read(std::uint32_t offset) override { return shell_.read(offset).value_or(~std::uint32_t{0}); }

 private:
  OpenNicShell& shell_;
};

}  // namespace slotwire::sim
