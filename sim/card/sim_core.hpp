// A card in simulation: a Verilated core, the slot memory behind it, and queues at its ports. Clock by clock, one
// thread.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/regs/regs.hpp"
#include "sim/card/card_model.hpp"
#include "sim/card/frame_queue.hpp"
#include "sim/card/host_memory.hpp"
#include "sim/random.hpp"

namespace slotwire::sim {

struct SimCoreOptions {
  const CardKind* kind = nullptr;
  std::uint64_t seed = 1;        ///< of registers without reset, latencies and stalls
  bool random_memory = false;    ///< else every read takes memory_latency clocks
  unsigned memory_latency = 4;   ///< clocks, 1..kMaxMemoryLatency; at most, if random_memory
  unsigned stall_permille = 0;   ///< of the clocks in which a port that could go on does not
  bool twins = false;            ///< two models with different registers; a difference at a port is a violation
  std::string trace_file{};      ///< FST; empty: none
  std::uint64_t trace_from = 0;  ///< the first clock in it
  std::uint64_t trace_to = ~std::uint64_t{0};
};

/// Of 1000 clocks, those in which a port that could go on does not, for each port by itself.
struct SimStalls {
  unsigned host = 0, wire_in = 0, wire_out = 0, from_host = 0, to_host = 0, memory_read = 0, memory_write = 0;
};

/// What happens at the ports, for whoever wants to tell a story. Called in the clock in which it happens.
class PortWatcher {
 public:
  virtual ~PortWatcher() = default;
  virtual void host_request(std::uint64_t /*clock*/, bool /*write*/, std::uint32_t /*address*/, const Line& /*data*/) {}
  virtual void memory_read(std::uint64_t /*clock*/, std::uint32_t /*line*/) {}
  virtual void memory_answer(std::uint64_t /*clock*/) {}
  virtual void memory_write(std::uint64_t /*clock*/, std::uint32_t /*line*/) {}
  virtual void memory_done(std::uint64_t /*clock*/) {}
  virtual void wire_beat(std::uint64_t /*clock*/, bool /*out*/, bool /*first*/, bool /*last*/, const Line& /*data*/) {}
  virtual void interrupt(std::uint64_t /*clock*/, std::uint32_t /*vectors*/) {}
  /// An OUT_TAIL moved where the host reads it: a read that is taken in this clock or later sees the new one.
  virtual void out_tail(std::uint64_t /*clock*/) {}
};

class SimCore {
 public:
  static constexpr std::size_t kDmaWrites = 32;           ///< under way on the bus
  static constexpr unsigned kDmaClocks = 16;              ///< that the bus takes for an answer, at most
  static constexpr std::uint64_t kDmaResetClocks = 4096;  ///< in which a reset waits for the bus
  static constexpr unsigned kMaxMemoryLatency = 1024;
  static constexpr std::size_t kHostRequests = 256;  ///< that wait at the port
  static constexpr std::size_t kHostAnswers = 256;   ///< of reads that are not fetched yet, those under way included
  static constexpr std::size_t kMemoryReads = 512;   ///< on their way
  static constexpr std::size_t kMemoryWrites = 512;
  static constexpr std::size_t kWrittenLines = 8192;  ///< that written_lines() keeps

  struct Answer {
    Line data{};
    bool error = false;
  };

  /// Throws std::invalid_argument (no kind, a latency out of range, waveforms from a model without them).
  explicit SimCore(const SimCoreOptions& options);
  ~SimCore();
  SimCore(const SimCore&) = delete;
  SimCore& operator=(const SimCore&) = delete;

  /// Holds the reset for `clocks`. What stands in queues at the ports is lost; slot memory stays.
  void reset(unsigned clocks = 8);
  void clock(std::uint64_t n = 1);
  std::uint64_t now() const { return clock_; }
  void set_now_us(std::uint32_t us) { now_us_ = us; }
  void watch(PortWatcher* watcher) { watcher_ = watcher; }
  /// Without one, the bus refuses all that the card writes.
  void set_host_memory(HostMemory* memory) { host_memory_ = memory; }
  void set_stalls(unsigned permille) {
    set_stalls({permille, permille, permille, permille, permille, permille, permille});
  }
  void set_stalls(const SimStalls& stalls) { stalls_ = stalls; }
  /// From now on slot memory takes `clocks` for an access, or from 1 to so many.
  void set_memory_latency(unsigned clocks, bool random) {
    options_.memory_latency = clocks;
    options_.random_memory = random;
  }

  // The host bus. Requests are taken in order.
  bool host_room() const { return host_count_ < kHostRequests; }
  std::size_t host_waiting() const { return host_count_; }
  /// A write of the bytes of a line that `strobes` has bits for. False: no room.
  bool host_write(std::uint32_t address, const Line& data, std::uint64_t strobes = ~std::uint64_t{0});
  /// A read of a line; answers come in order. False: no room.
  bool host_read(std::uint32_t address);
  bool host_answered() const { return answer_count_ != 0; }
  Answer take_answer();
  bool host_idle() const { return host_count_ == 0 && reads_under_way_ == 0; }

  // The wire and the host's network stack.
  FrameQueue& wire_in() { return *wire_in_; }
  FrameQueue& wire_out() { return *wire_out_; }
  FrameQueue& from_host() { return *from_host_; }
  FrameQueue& to_host() { return *to_host_; }

  /// The core says that nothing is under way, and no port has anything for it.
  bool idle() const {
    return idle_ && wire_in_->empty() && from_host_->empty() && !in_.busy && !host_in_.busy && host_idle();
  }
  /// Whole sweeps over the timers since the start.
  std::uint64_t sweeps() const { return sweeps_; }
  /// Clocks in which something moved at a port, or the core was not idle.
  std::uint64_t last_activity() const { return last_activity_; }
  std::uint32_t interrupts() const { return interrupts_; }

  // Slot memory, past the card.
  std::uint32_t memory_lines() const { return memory_lines_; }
  bool own_memory() const { return !memory_.empty(); }  ///< false: the memory is in the model
  Line& memory(std::uint32_t line) { return memory_[line]; }
  /// Every read of this line answers with an error (wrong parity); nothing ends that.
  void break_line(std::optional<std::uint32_t> line) { broken_line_ = line; }
  /// The same for every line, until it is ended.
  void break_all(bool broken) { all_broken_ = broken; }
  /// Write number `nth`, from 1, of the lines `first` to `first + lines - 1` from now on is refused, as AXI's SLVERR:
  /// it has no effect, and its answer says so. 0: none. Only with memory of its own.
  void refuse_write(std::uint32_t first, std::uint32_t lines, std::uint32_t nth) { refused_ = {first, lines, nth}; }
  /// The same for every write, until it is ended.
  void refuse_all(bool refused) { all_refused_ = refused; }
  /// Writes that were refused since the start.
  std::uint64_t writes_refused() const { return writes_refused_; }
  /// Lines that the core wrote since they were last cleared, and whether there were more than kWrittenLines.
  const std::vector<std::uint32_t>& written_lines() const { return written_; }
  bool written_overflow() const { return written_overflow_; }
  void clear_written() {
    written_.clear();
    written_overflow_ = false;
  }

  /// The first breach of a port's rules; empty if there was none.
  const std::string& violation() const { return violation_; }
  bool write_coverage(const std::string& file) { return model_->write_coverage(file); }

 private:
  struct HostRequest {
    bool write = false;
    std::uint32_t address = 0;
    std::uint64_t strobes = 0;
    Line data{};
  };
  struct Read {
    std::uint64_t due = 0;
    bool error = false;
    Line data{};
  };
  struct Write {
    std::uint64_t due = 0;
    std::uint32_t line = 0;
    std::uint64_t strobes = 0;
    Line data{};
    bool refused = false;
  };
  struct Refused {
    std::uint32_t first = 0, lines = 0, nth = 0;
  };
  /// Where a frame stands that goes into a port.
  struct Source {
    bool busy = false;     ///< a frame is under way
    bool offered = false;  ///< a beat is at the port
    std::size_t at = 0;    ///< bytes that went in
  };
  /// A frame that comes out of a port, and what the port showed in the last clock.
  struct Sink {
    std::size_t bytes = 0;
    std::uint64_t first_clock = 0;
    bool waited = false;  ///< a beat was there and not taken
    Line beat{};
    std::uint64_t keep = 0, verdict = 0;
    bool last = false;
    bool overlong = false;
  };
  struct SourcePorts {
    std::uint8_t *valid, *ready, *last, *user;
    std::uint32_t* data;
    std::uint64_t* keep;
  };
  struct SinkPorts {
    std::uint8_t *valid, *ready, *last;
    std::uint32_t* data;
    std::uint64_t *keep, *verdict;  ///< no verdict: null
  };

  void one_clock();
  void drive();
  void drive_source(FrameQueue& queue, Source& source, const SourcePorts& port, unsigned permille);
  void sample();
  void sample_source(FrameQueue& queue, Source& source, const SourcePorts& port, bool wire);
  void sample_sink(FrameQueue& queue, Sink& sink, const SinkPorts& port, bool wire);
  void sample_host();
  void sample_memory();
  void drive_dma();
  void sample_dma();
  void violated(const std::string& what);
  bool refuses(std::uint32_t line);
  void store(const Write& write);
  bool stalls(unsigned permille) { return permille != 0 && random_.chance(permille); }
  std::uint64_t due(std::uint64_t last);

  SimCoreOptions options_;
  SimStalls stalls_;
  Random random_;
  std::unique_ptr<CardModel> model_;
  CardPorts p_;
  std::uint64_t clock_ = 0;
  std::uint32_t now_us_ = 0;
  PortWatcher* watcher_ = nullptr;

  std::vector<HostRequest> host_;
  std::size_t host_head_ = 0, host_count_ = 0;
  std::vector<Answer> answers_;
  std::size_t answer_head_ = 0, answer_count_ = 0, reads_under_way_ = 0;

  std::unique_ptr<FrameQueue> wire_in_, wire_out_, from_host_, to_host_;
  Source in_, host_in_;
  Sink out_, host_out_;
  SourcePorts in_ports_, host_in_ports_;
  SinkPorts out_ports_, host_out_ports_;

  std::vector<Line> memory_;
  std::uint32_t memory_lines_ = 0;
  std::vector<Read> reads_;
  std::size_t read_head_ = 0, read_count_ = 0;
  std::vector<Write> writes_;
  std::size_t write_head_ = 0, write_count_ = 0;
  std::uint64_t last_read_due_ = 0, last_write_due_ = 0;
  std::vector<std::uint32_t> written_;
  std::optional<std::uint32_t> broken_line_;
  Refused refused_;
  std::uint64_t writes_refused_ = 0;
  std::uint32_t rd_waiting_ = 0, wr_waiting_ = 0;

  struct DmaWrite {
    std::uint64_t address = 0, strobes = 0, due = 0;
    Line data{};
  };
  HostMemory* host_memory_ = nullptr;
  std::deque<std::uint64_t> dma_addresses_;
  std::deque<DmaWrite> dma_beats_, dma_sent_;
  bool bus_in_reset_ = true, dma_answered_ = false;

  std::uint64_t sweeps_ = 0, last_activity_ = 0;
  std::uint32_t interrupts_ = 0;
  std::string violation_;
  bool tracing_ = false, in_reset_ = true, idle_ = false;
  bool host_offered_ = false, rd_waited_ = false, wr_waited_ = false;  ///< something waits at the port
  bool written_overflow_ = false, all_broken_ = false, all_refused_ = false;
};

}  // namespace slotwire::sim
