#include "sim/xrt/xrt_shell.hpp"

#include <Vslotwire_xrt_sim.h>
#include <verilated.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace slotwire::sim {
namespace {

constexpr std::size_t kLine = regs::kLineBytes;
constexpr std::size_t kMaxBeats = FrameQueue::kMaxFrameBytes / kLine;
constexpr std::uint32_t kSlaveError = 2;
constexpr int kRandom = 2;  ///< randReset(): registers without a reset start with random values

template <std::size_t Words>
std::span<const std::uint32_t> words(const VlWide<Words>& port) {
  return {port.data(), Words};
}
void put(VlWide<16>& port, const XrtShell::Line& line) {
  std::memcpy(port.data(), line.data(), line.size());
}
XrtShell::Line get(const VlWide<16>& port) {
  XrtShell::Line line;
  std::memcpy(line.data(), port.data(), line.size());
  return line;
}
std::uint64_t first_bytes(std::size_t n) {
  return n >= kLine ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1;
}

}  // namespace

bool DeviceMemory::write(std::uint64_t address, std::span<const std::byte> data) {
  while (!data.empty()) {
    const std::size_t at = address % kPageBytes, n = std::min(data.size(), kPageBytes - at);
    std::unique_ptr<Page>& page = pages_[address / kPageBytes];
    if (!page) {
      if (pages_.size() > kMaxPages) {
        pages_.erase(address / kPageBytes);
        return false;
      }
      page = std::make_unique<Page>();
      page->fill(std::byte{0});
    }
    std::memcpy(page->data() + at, data.data(), n);
    address += n;
    data = data.subspan(n);
  }
  return true;
}

void DeviceMemory::read(std::uint64_t address, std::span<std::byte> data) const {
  while (!data.empty()) {
    const std::size_t at = address % kPageBytes, n = std::min(data.size(), kPageBytes - at);
    const auto page = pages_.find(address / kPageBytes);
    if (page == pages_.end()) {
      std::memset(data.data(), 0, n);
    } else {
      std::memcpy(data.data(), page->second->data() + at, n);
    }
    address += n;
    data = data.subspan(n);
  }
}

XrtShell::XrtShell(const XrtShellOptions& options)
    : options_(options),
      random_(options.seed ^ 0x3e11),
      context_(std::make_unique<VerilatedContext>()),
      wire_in_(std::make_unique<FrameQueue>()),
      wire_out_(std::make_unique<FrameQueue>()),
      lite_check_("s_axi_control"),
      memory_check_("m_axi_memory", kLine, kMemoryBursts),
      in_check_("s_axis_rx", kMaxBeats),
      out_check_("m_axis_tx", kMaxBeats) {
  context_->randReset(kRandom);
  context_->randSeed(static_cast<int>(1 + options.seed % 0x3fff'ffff));
  Verilated::threadContextp(context_.get());
  model_ = std::make_unique<Vslotwire_xrt_sim>(context_.get(), "shell");
  // The reset falls once before the first clock: an asynchronous one is seen as an edge.
  model_->ap_clk = 0;
  model_->ap_rst_n = 1;
  model_->eval();
  model_->ap_rst_n = 0;
  model_->eval();
}

XrtShell::~XrtShell() {
  Verilated::threadContextp(context_.get());
  model_->final();
  model_.reset();
  Verilated::threadContextp(Verilated::defaultContextp());
}

void XrtShell::reset(unsigned clocks) {
  lite_ = {};
  reads_.clear();
  writes_.clear();
  write_addresses_.clear();
  write_data_.clear();
  read_offered_ = answer_offered_ = in_offered_ = false;
  in_at_ = out_bytes_ = 0;
  for (FrameQueue* queue : {wire_in_.get(), wire_out_.get()}) {
    while (!queue->empty()) queue->pop();
  }
  lite_check_.reset();
  memory_check_.reset();
  in_check_.reset();
  out_check_.reset();
  in_reset_ = true;
  model_->ap_rst_n = 0;
  clock(clocks);
  model_->ap_rst_n = 1;
  // The shell's own reset ends some clocks later.
  clock(clocks);
  in_reset_ = false;
}

void XrtShell::clock(std::uint64_t n) {
  for (; n != 0; --n) one_clock();
}

void XrtShell::one_clock() {
  drive();
  model_->ap_clk = 0;
  model_->eval();
  if (!in_reset_) sample();
  model_->ap_clk = 1;
  model_->eval();
  ++clock_;
}

// --- inputs ---

void XrtShell::drive() {
  auto& m = *model_;
  m.s_axi_control_awvalid = lite_.aw;
  m.s_axi_control_wvalid = lite_.w;
  m.s_axi_control_arvalid = lite_.ar;
  m.s_axi_control_bready = !in_reset_ && !stalls();
  m.s_axi_control_rready = !in_reset_ && !stalls();

  m.m_axi_memory_awready = write_addresses_.size() < kMemoryBursts && !stalls();
  m.m_axi_memory_wready = write_data_.size() < kMemoryBursts && !stalls();
  m.m_axi_memory_arready = reads_.size() < kMemoryBursts && !stalls();
  if (!read_offered_ && !reads_.empty() && reads_.front().due <= clock_ && !stalls()) {
    put(m.m_axi_memory_rdata, reads_.front().data);
    read_offered_ = true;
  }
  m.m_axi_memory_rvalid = read_offered_;
  m.m_axi_memory_rlast = 1;
  m.m_axi_memory_rresp = 0;
  if (!answer_offered_ && !writes_.empty() && writes_.front().due <= clock_ && !stalls()) {
    m.m_axi_memory_bresp = static_cast<std::uint8_t>(writes_.front().good ? 0 : kSlaveError);
    answer_offered_ = true;
  }
  m.m_axi_memory_bvalid = answer_offered_;

  if (!in_offered_ && !wire_in_->empty() && !in_reset_ && !stalls()) {
    const FrameQueue::Frame frame = wire_in_->front();
    const std::size_t bytes = std::min(frame.bytes.size() - in_at_, kLine);
    Line beat{};
    std::memcpy(beat.data(), frame.bytes.data() + in_at_, bytes);
    put(m.s_axis_rx_tdata, beat);
    m.s_axis_rx_tkeep = first_bytes(bytes);
    m.s_axis_rx_tlast = in_at_ + bytes == frame.bytes.size();
    in_offered_ = true;
  }
  m.s_axis_rx_tvalid = in_offered_;
  m.m_axis_tx_tready = !wire_out_->full() && !stalls();
}

// --- outputs ---

void XrtShell::sample() {
  interrupt_ = model_->__SYM__interrupt != 0;
  sample_lite();
  sample_memory();
  sample_streams();
  for (const std::string* found :
       {&lite_check_.violation(), &memory_check_.violation(), &in_check_.violation(), &out_check_.violation()}) {
    if (!found->empty()) violated(*found);
  }
}

void XrtShell::sample_lite() {
  auto& m = *model_;
  lite_check_.see({.awvalid = m.s_axi_control_awvalid != 0,
                   .awready = m.s_axi_control_awready != 0,
                   .wvalid = m.s_axi_control_wvalid != 0,
                   .wready = m.s_axi_control_wready != 0,
                   .bvalid = m.s_axi_control_bvalid != 0,
                   .bready = m.s_axi_control_bready != 0,
                   .arvalid = m.s_axi_control_arvalid != 0,
                   .arready = m.s_axi_control_arready != 0,
                   .rvalid = m.s_axi_control_rvalid != 0,
                   .rready = m.s_axi_control_rready != 0,
                   .awaddr = m.s_axi_control_awaddr,
                   .wdata = m.s_axi_control_wdata,
                   .wstrb = m.s_axi_control_wstrb,
                   .bresp = m.s_axi_control_bresp,
                   .araddr = m.s_axi_control_araddr,
                   .rdata = m.s_axi_control_rdata,
                   .rresp = m.s_axi_control_rresp});
  if (lite_.aw && m.s_axi_control_awready != 0) lite_.aw = false;
  if (lite_.w && m.s_axi_control_wready != 0) lite_.w = false;
  if (lite_.ar && m.s_axi_control_arready != 0) lite_.ar = false;
  if (m.s_axi_control_bvalid != 0 && m.s_axi_control_bready != 0) {
    lite_.answered = true;
    lite_.response = m.s_axi_control_bresp;
  }
  if (m.s_axi_control_rvalid != 0 && m.s_axi_control_rready != 0) {
    lite_.answered = true;
    lite_.response = m.s_axi_control_rresp;
    lite_.data = m.s_axi_control_rdata;
  }
}

void XrtShell::sample_memory() {
  auto& m = *model_;
  Line wdata = get(m.m_axi_memory_wdata);
  const bool wready = m.m_axi_memory_wready != 0;
  if (broken_ && !wready) wdata[0] ^= std::byte{1};
  std::array<std::uint32_t, 16> wwords{};
  std::memcpy(wwords.data(), wdata.data(), wdata.size());
  axi::MemoryCheck::Sample s;
  s.aw = {m.m_axi_memory_awvalid != 0, m.m_axi_memory_awready != 0, m.m_axi_memory_awaddr, m.m_axi_memory_awid,
          m.m_axi_memory_awlen,        m.m_axi_memory_awsize,       m.m_axi_memory_awburst};
  s.ar = {m.m_axi_memory_arvalid != 0, m.m_axi_memory_arready != 0, m.m_axi_memory_araddr, m.m_axi_memory_arid,
          m.m_axi_memory_arlen,        m.m_axi_memory_arsize,       m.m_axi_memory_arburst};
  s.wvalid = m.m_axi_memory_wvalid != 0;
  s.wready = wready;
  s.wlast = m.m_axi_memory_wlast != 0;
  s.wdata = wwords;
  s.wstrb = m.m_axi_memory_wstrb;
  s.bvalid = answer_offered_;
  s.bready = m.m_axi_memory_bready != 0;
  s.bresp = m.m_axi_memory_bresp;
  s.rvalid = read_offered_;
  s.rready = m.m_axi_memory_rready != 0;
  s.rlast = true;
  s.rdata = words(m.m_axi_memory_rdata);
  memory_check_.see(s);

  if (read_offered_ && s.rready) {
    reads_.pop_front();
    read_offered_ = false;
  }
  if (answer_offered_ && s.bready) {
    writes_.pop_front();
    answer_offered_ = false;
  }
  if (s.ar.valid && s.ar.ready) {
    if (s.ar.length != 0 || s.ar.size != 6) violated("m_axi_memory: a read that is not of one line");
    Read read{due(last_read_due_), {}};
    last_read_due_ = read.due;
    memory_.read(s.ar.address, read.data);
    reads_.push_back(read);
    last_activity_ = clock_;
  }
  if (s.aw.valid && s.aw.ready) {
    if (s.aw.length != 0 || s.aw.size != 6) violated("m_axi_memory: a write that is not of one line");
    write_addresses_.push_back(s.aw.address);
  }
  if (s.wvalid && s.wready) write_data_.push_back({wdata, m.m_axi_memory_wstrb});
  while (!write_addresses_.empty() && !write_data_.empty()) {
    Line line{};
    memory_.read(write_addresses_.front(), line);
    for (std::size_t i = 0; i < kLine; ++i) {
      if (((write_data_.front().strobes >> i) & 1) != 0) line[i] = write_data_.front().line[i];
    }
    const bool good = memory_.write(write_addresses_.front(), line);
    writes_.push_back({due(last_write_due_), good});
    last_write_due_ = writes_.back().due;
    write_addresses_.pop_front();
    write_data_.pop_front();
    last_activity_ = clock_;
  }
}

/// When memory answers: in order.
std::uint64_t XrtShell::due(std::uint64_t last) {
  const std::uint64_t latency =
      options_.random_latency ? random_.between(1, options_.memory_latency) : options_.memory_latency;
  return std::max(clock_ + latency, last);
}

void XrtShell::sample_streams() {
  auto& m = *model_;
  in_check_.see(
      {in_offered_, m.s_axis_rx_tready != 0, m.s_axis_rx_tlast != 0, words(m.s_axis_rx_tdata), m.s_axis_rx_tkeep});
  if (in_offered_ && m.s_axis_rx_tready != 0) {
    in_offered_ = false;
    in_at_ += kLine;
    last_activity_ = clock_;
    if (m.s_axis_rx_tlast != 0) {
      wire_in_->pop();
      in_at_ = 0;
    }
  }
  const bool valid = m.m_axis_tx_tvalid != 0, ready = m.m_axis_tx_tready != 0, last = m.m_axis_tx_tlast != 0;
  out_check_.see({valid, ready, last, words(m.m_axis_tx_tdata), m.m_axis_tx_tkeep});
  if (!valid || !ready) return;
  last_activity_ = clock_;
  const auto bytes = static_cast<std::size_t>(std::popcount(m.m_axis_tx_tkeep));
  if (out_bytes_ + bytes > FrameQueue::kMaxFrameBytes) {
    violated("m_axis_tx: a frame without an end");
    out_bytes_ = 0;
    return;
  }
  const Line beat = get(m.m_axis_tx_tdata);
  std::memcpy(wire_out_->room().data() + out_bytes_, beat.data(), bytes);
  out_bytes_ += bytes;
  if (!last) return;
  wire_out_->commit(out_bytes_, false);
  out_bytes_ = 0;
}

void XrtShell::violated(const std::string& what) {
  if (violation_.empty()) violation_ = "clock " + std::to_string(clock_) + ": " + what;
}

// --- registers ---

void XrtShell::access(bool write, std::uint32_t address, std::uint32_t value) {
  lite_ = {};
  if (write) {
    model_->s_axi_control_awaddr = address;
    model_->s_axi_control_wdata = value;
    model_->s_axi_control_wstrb = 0xf;
    lite_.aw = lite_.w = true;
  } else {
    model_->s_axi_control_araddr = address;
    lite_.ar = true;
  }
  for (std::uint64_t clocks = 0; !lite_.answered && clocks < kPatience; ++clocks) one_clock();
  if (!lite_.answered) violated("s_axi_control: no answer");
  last_activity_ = clock_;
}

bool XrtShell::write(std::uint32_t address, std::uint32_t value) {
  access(true, address, value);
  return lite_.answered && lite_.response == 0;
}

std::optional<std::uint32_t> XrtShell::read(std::uint32_t address) {
  access(false, address, 0);
  if (!lite_.answered || lite_.response != 0) return std::nullopt;
  return lite_.data;
}

}  // namespace slotwire::sim
