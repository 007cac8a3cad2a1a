#include "sim/card/sim_core.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "sim/card/twin_card.hpp"

namespace slotwire::sim {
namespace {

/// Two halves of a clock in a waveform.
constexpr std::uint64_t kTicksPerClock = 2;

void put(std::uint32_t* port, const Line& line) {
  std::memcpy(port, line.data(), line.size());
}
Line get(const std::uint32_t* port) {
  Line line;
  std::memcpy(line.data(), port, line.size());
  return line;
}
std::uint64_t first_bytes(std::size_t n) {
  return n >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1;
}

}  // namespace

SimCore::SimCore(const SimCoreOptions& options)
    : options_(options),
      random_(options.seed ^ 0x51e5),
      host_(kHostRequests),
      answers_(kHostAnswers),
      wire_in_(std::make_unique<FrameQueue>()),
      wire_out_(std::make_unique<FrameQueue>()),
      from_host_(std::make_unique<FrameQueue>()),
      to_host_(std::make_unique<FrameQueue>()),
      reads_(kMemoryReads),
      writes_(kMemoryWrites) {
  if (options.kind == nullptr) throw std::invalid_argument("this build has no such card");
  if (options.memory_latency < 1 || options.memory_latency > kMaxMemoryLatency) {
    throw std::invalid_argument("the latency of slot memory must be 1 to " + std::to_string(kMaxMemoryLatency) +
                                " clocks");
  }
  set_stalls(options.stall_permille);
  model_ = options.kind->make(options.seed);
  if (options.twins) model_ = std::make_unique<TwinCard>(std::move(model_), options.kind->make(~options.seed));
  p_ = model_->ports();
  in_ports_ = {p_.rx_tvalid_i, p_.rx_tready_o, p_.rx_tlast_i, p_.rx_tuser_i, p_.rx_tdata_i, p_.rx_tkeep_i};
  host_in_ports_ = {p_.from_host_tvalid_i, p_.from_host_tready_o, p_.from_host_tlast_i, nullptr,
                    p_.from_host_tdata_i,  p_.from_host_tkeep_i};
  out_ports_ = {p_.tx_tvalid_o, p_.tx_tready_i, p_.tx_tlast_o, p_.tx_tdata_o, p_.tx_tkeep_o, nullptr};
  host_out_ports_ = {p_.to_host_tvalid_o, p_.to_host_tready_i, p_.to_host_tlast_o,
                     p_.to_host_tdata_o,  p_.to_host_tkeep_o,  p_.to_host_tuser_o};
  written_.reserve(kWrittenLines);
  if (!options.trace_file.empty() && !model_->open_trace(options.trace_file)) {
    throw std::invalid_argument("no waveform can be written to " + options.trace_file);
  }
  *p_.rst_ni = 0;
  *p_.clk_i = 0;
  model_->eval();
  memory_lines_ = *p_.memory_lines_o;
  if (*p_.rtl_memory_o == 0) memory_.resize(memory_lines_);
}

SimCore::~SimCore() = default;

void SimCore::reset(unsigned clocks) {
  host_head_ = host_count_ = answer_head_ = answer_count_ = reads_under_way_ = 0;
  read_head_ = read_count_ = 0;
  // Memory is not reset: what it has taken it writes.
  for (; write_count_ != 0; --write_count_, write_head_ = (write_head_ + 1) % kMemoryWrites)
    store(writes_[write_head_]);
  for (FrameQueue* queue : {wire_in_.get(), wire_out_.get(), from_host_.get(), to_host_.get()}) {
    while (!queue->empty()) queue->pop();
  }
  host_offered_ = rd_waited_ = wr_waited_ = false;
  in_ = host_in_ = {};
  out_ = host_out_ = {};
  in_reset_ = true;
  clock(clocks);
  bus_in_reset_ = false;
  for (std::uint64_t i = 0; *p_.dma_busy_o != 0 && i < kDmaResetClocks; ++i) clock();
  if (*p_.dma_busy_o != 0) violated("writes into host memory have no end");
  in_reset_ = false;
}

void SimCore::clock(std::uint64_t n) {
  for (; n != 0; --n) one_clock();
}

void SimCore::one_clock() {
  drive();
  *p_.clk_i = 0;
  model_->eval();
  tracing_ = !options_.trace_file.empty() && clock_ >= options_.trace_from && clock_ <= options_.trace_to;
  if (tracing_) model_->dump(clock_ * kTicksPerClock);
  if (!model_->difference().empty()) violated(model_->difference());
  if (!in_reset_) sample();
  sample_dma();
  *p_.clk_i = 1;
  model_->eval();
  if (tracing_) model_->dump(clock_ * kTicksPerClock + 1);
  ++clock_;
}

// --- inputs ---

void SimCore::drive() {
  *p_.rst_ni = in_reset_ ? 0 : 1;
  *p_.now_us_i = now_us_;
  // A request stays at its port until it is taken.
  if (!host_offered_ && host_count_ != 0 && !in_reset_ && !stalls(stalls_.host)) {
    const HostRequest& request = host_[host_head_];
    *p_.host_req_write_i = request.write ? 1 : 0;
    *p_.host_req_addr_i = request.address;
    *p_.host_req_wstrb_i = request.strobes;
    put(p_.host_req_wdata_i, request.data);
    host_offered_ = true;
  }
  *p_.host_req_valid_i = host_offered_ ? 1 : 0;

  drive_source(*wire_in_, in_, in_ports_, stalls_.wire_in);
  drive_source(*from_host_, host_in_, host_in_ports_, stalls_.from_host);
  *p_.tx_tready_i = !wire_out_->full() && !stalls(stalls_.wire_out) ? 1 : 0;
  *p_.to_host_tready_i = !to_host_->full() && !stalls(stalls_.to_host) ? 1 : 0;

  drive_dma();
  if (memory_.empty()) return;
  *p_.mem_rd_ready_i = read_count_ < kMemoryReads && !stalls(stalls_.memory_read) ? 1 : 0;
  *p_.mem_wr_ready_i = write_count_ < kMemoryWrites && !stalls(stalls_.memory_write) ? 1 : 0;
  const bool answer = read_count_ != 0 && reads_[read_head_].due <= clock_ && !in_reset_;
  *p_.mem_rsp_valid_i = answer ? 1 : 0;
  if (answer) {
    put(p_.mem_rsp_data_i, reads_[read_head_].data);
    *p_.mem_rsp_err_i = reads_[read_head_].error ? 1 : 0;
    read_head_ = (read_head_ + 1) % kMemoryReads;
    --read_count_;
    if (watcher_ != nullptr) watcher_->memory_answer(clock_);
  }
  const bool done = write_count_ != 0 && writes_[write_head_].due <= clock_ && !in_reset_;
  *p_.mem_wr_done_i = done ? 1 : 0;
  if (done) {
    store(writes_[write_head_]);
    *p_.mem_wr_err_i = writes_[write_head_].refused ? 1 : 0;
    write_head_ = (write_head_ + 1) % kMemoryWrites;
    --write_count_;
    if (watcher_ != nullptr) watcher_->memory_done(clock_);
  }
}

// --- host memory ---

void SimCore::drive_dma() {
  *p_.bus_rst_ni = bus_in_reset_ ? 0 : 1;
  const bool room = dma_addresses_.size() + dma_sent_.size() < kDmaWrites && dma_beats_.size() < kDmaWrites;
  *p_.dma_awready_i = room ? 1 : 0;
  *p_.dma_wready_i = room ? 1 : 0;
  // A write is there when it is answered: marks and lines keep their order.
  if (!dma_answered_ && !dma_sent_.empty() && dma_sent_.front().due <= clock_) {
    const DmaWrite& write = dma_sent_.front();
    const bool taken = host_memory_ != nullptr && host_memory_->write(write.address, write.data, write.strobes);
    *p_.dma_berr_i = taken ? 0 : 1;
    dma_answered_ = true;
  }
  *p_.dma_bvalid_i = dma_answered_ ? 1 : 0;
}

void SimCore::sample_dma() {
  if (bus_in_reset_) return;
  if (dma_answered_ && *p_.dma_bready_o != 0) {
    dma_sent_.pop_front();
    dma_answered_ = false;
    last_activity_ = clock_;
  }
  if (*p_.dma_awvalid_o != 0 && *p_.dma_awready_i != 0) dma_addresses_.push_back(*p_.dma_awaddr_o);
  if (*p_.dma_wvalid_o != 0 && *p_.dma_wready_i != 0) {
    dma_beats_.push_back({.address = 0, .strobes = *p_.dma_wstrb_o, .due = 0, .data = get(p_.dma_wdata_o)});
  }
  for (; !dma_addresses_.empty() && !dma_beats_.empty(); dma_beats_.pop_front(), dma_addresses_.pop_front()) {
    DmaWrite& write = dma_sent_.emplace_back(dma_beats_.front());
    write.address = dma_addresses_.front();
    write.due = clock_ + random_.between(1, kDmaClocks);
  }
}

void SimCore::store(const Write& write) {
  if (write.refused) return;
  Line& line = memory_[write.line];
  if (write.strobes == ~std::uint64_t{0}) {
    line = write.data;
    return;
  }
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (((write.strobes >> i) & 1) != 0) line[i] = write.data[i];
  }
}

bool SimCore::refuses(std::uint32_t line) {
  const bool chosen = refused_.nth != 0 && line - refused_.first < refused_.lines && --refused_.nth == 0;
  if (!chosen && !all_refused_) return false;
  ++writes_refused_;
  return true;
}

void SimCore::drive_source(FrameQueue& queue, Source& source, const SourcePorts& port, unsigned permille) {
  if (!source.offered && !queue.empty() && !in_reset_ && !stalls(permille)) {
    const FrameQueue::Frame frame = queue.front();
    const std::size_t bytes = std::min(frame.bytes.size() - source.at, regs::kLineBytes);
    Line beat{};
    std::memcpy(beat.data(), frame.bytes.data() + source.at, bytes);
    put(port.data, beat);
    const bool last = source.at + bytes == frame.bytes.size();
    *port.keep = first_bytes(bytes);
    *port.last = last ? 1 : 0;
    if (port.user != nullptr) *port.user = last && frame.damaged ? 1 : 0;
    source.offered = source.busy = true;
  }
  *port.valid = source.offered ? 1 : 0;
}

// --- outputs ---

void SimCore::sample() {
  idle_ = *p_.idle_o != 0;
  if (!idle_) last_activity_ = clock_;
  if (*p_.sweep_o != 0) ++sweeps_;
  if (*p_.irq_o != 0) {
    interrupts_ += static_cast<std::uint32_t>(std::popcount(*p_.irq_o));
    if (watcher_ != nullptr) watcher_->interrupt(clock_, *p_.irq_o);
  }
  if (*p_.shown_o != 0 && watcher_ != nullptr) watcher_->out_tail(clock_ + 1);
  sample_host();
  sample_memory();
  sample_source(*wire_in_, in_, in_ports_, true);
  sample_source(*from_host_, host_in_, host_in_ports_, false);
  sample_sink(*wire_out_, out_, out_ports_, true);
  sample_sink(*to_host_, host_out_, host_out_ports_, false);
}

void SimCore::sample_host() {
  if (host_offered_ && *p_.host_req_ready_o != 0) {
    const HostRequest& request = host_[host_head_];
    if (watcher_ != nullptr) watcher_->host_request(clock_, request.write, request.address, request.data);
    if (!request.write) ++reads_under_way_;
    host_head_ = (host_head_ + 1) % kHostRequests;
    --host_count_;
    host_offered_ = false;
    last_activity_ = clock_;
  }
  if (*p_.host_rsp_valid_o == 0) return;
  if (reads_under_way_ == 0) return violated("an answer to the host without a read");
  --reads_under_way_;
  Answer& answer = answers_[(answer_head_ + answer_count_) % kHostAnswers];
  answer.data = get(p_.host_rsp_rdata_o);
  answer.error = *p_.host_rsp_err_o != 0;
  ++answer_count_;
}

void SimCore::sample_memory() {
  const bool read = *p_.mem_rd_valid_o != 0, write = *p_.mem_wr_valid_o != 0;
  if (rd_waited_ && (!read || *p_.mem_rd_addr_o != rd_waiting_))
    violated("a read of slot memory changed while it waited");
  if (wr_waited_ && (!write || *p_.mem_wr_addr_o != wr_waiting_))
    violated("a write of slot memory changed while it waited");
  const bool read_taken = *p_.mem_rd_taken_o != 0, write_taken = *p_.mem_wr_taken_o != 0;
  rd_waited_ = read && !read_taken;
  wr_waited_ = write && !write_taken;
  rd_waiting_ = *p_.mem_rd_addr_o;
  wr_waiting_ = *p_.mem_wr_addr_o;
  if (read_taken) {
    last_activity_ = clock_;
    if (watcher_ != nullptr) watcher_->memory_read(clock_, rd_waiting_);
    if (!memory_.empty()) {
      Read& slot = reads_[(read_head_ + read_count_) % kMemoryReads];
      last_read_due_ = slot.due = due(last_read_due_);
      // Writes that are not done yet are not seen.
      slot.data = memory_[rd_waiting_];
      slot.error = all_broken_ || broken_line_ == rd_waiting_;
      ++read_count_;
    }
  }
  if (write_taken) {
    last_activity_ = clock_;
    if (watcher_ != nullptr) watcher_->memory_write(clock_, wr_waiting_);
    if (written_.size() < kWrittenLines) {
      written_.push_back(wr_waiting_);
    } else {
      written_overflow_ = true;
    }
    if (!memory_.empty()) {
      Write& slot = writes_[(write_head_ + write_count_) % kMemoryWrites];
      last_write_due_ = slot.due = due(last_write_due_);
      slot.line = wr_waiting_;
      slot.strobes = *p_.mem_wr_strb_o;
      slot.data = get(p_.mem_wr_data_o);
      slot.refused = refuses(wr_waiting_);
      ++write_count_;
    }
  }
}

/// When memory answers: in order.
std::uint64_t SimCore::due(std::uint64_t last) {
  const std::uint64_t latency =
      options_.random_memory ? random_.between(1, options_.memory_latency) : options_.memory_latency;
  return std::max(clock_ + latency, last);
}

void SimCore::sample_source(FrameQueue& queue, Source& source, const SourcePorts& port, bool wire) {
  if (!source.offered || *port.ready == 0) return;
  last_activity_ = clock_;
  if (watcher_ != nullptr && wire) {
    watcher_->wire_beat(clock_, false, source.at == 0, *port.last != 0, get(port.data));
  }
  source.offered = false;
  source.at += regs::kLineBytes;
  if (*port.last != 0) {
    queue.pop();
    source = {};
  }
}

void SimCore::sample_sink(FrameQueue& queue, Sink& sink, const SinkPorts& port, bool wire) {
  const char* which = wire ? "to the wire" : "to the host";
  const bool valid = *port.valid != 0;
  if (sink.waited && !valid) violated(std::string("a beat ") + which + " vanished while it waited");
  // A port that has begun to send a frame cannot wait in the middle of it.
  if (!valid && sink.bytes != 0) violated(std::string("a pause within a frame ") + which);
  if (!valid) {
    sink.waited = false;
    return;
  }
  const Line beat = get(port.data);
  if (sink.waited && (beat != sink.beat || *port.keep != sink.keep || (*port.last != 0) != sink.last)) {
    violated(std::string("a beat ") + which + " changed while it waited");
  }
  if (port.verdict != nullptr) {
    if (sink.bytes != 0 && *port.verdict != sink.verdict)
      violated(std::string("a frame ") + which + " whose beats have different verdicts");
    sink.verdict = *port.verdict;
  }
  sink.waited = *port.ready == 0;
  sink.beat = beat;
  sink.keep = *port.keep;
  sink.last = *port.last != 0;
  if (sink.waited) return;
  last_activity_ = clock_;
  const auto bytes = static_cast<std::size_t>(std::popcount(sink.keep));
  if (sink.keep != first_bytes(bytes) || bytes == 0 || (!sink.last && bytes != regs::kLineBytes)) {
    violated(std::string("a beat ") + which + " with holes");
  }
  if (sink.bytes == 0) sink.first_clock = clock_;
  if (watcher_ != nullptr && wire) watcher_->wire_beat(clock_, true, sink.bytes == 0, sink.last, beat);
  if (sink.bytes + bytes > FrameQueue::kMaxFrameBytes) {
    violated(std::string("a frame ") + which + " without an end");
    sink.bytes = 0;
    return;
  }
  std::memcpy(queue.room().data() + sink.bytes, beat.data(), bytes);
  sink.bytes += bytes;
  if (!sink.last) return;
  queue.commit(sink.bytes, false, sink.first_clock, clock_, sink.verdict);
  sink.bytes = 0;
}

void SimCore::violated(const std::string& what) {
  if (violation_.empty()) violation_ = "clock " + std::to_string(clock_) + ": " + what;
}

// --- the host bus ---

bool SimCore::host_write(std::uint32_t address, const Line& data, std::uint64_t strobes) {
  if (!host_room()) return false;
  host_[(host_head_ + host_count_) % kHostRequests] = {true, address, strobes, data};
  ++host_count_;
  return true;
}

bool SimCore::host_read(std::uint32_t address) {
  if (!host_room() || host_count_ + reads_under_way_ + answer_count_ >= kHostAnswers) return false;
  host_[(host_head_ + host_count_) % kHostRequests] = {false, address, 0, {}};
  ++host_count_;
  return true;
}

SimCore::Answer SimCore::take_answer() {
  const Answer answer = answers_[answer_head_];
  answer_head_ = (answer_head_ + 1) % kHostAnswers;
  --answer_count_;
  return answer;
}

}  // namespace slotwire::sim
