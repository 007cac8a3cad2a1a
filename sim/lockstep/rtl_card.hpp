// The simulated card as an implementation that lockstep compares.
#pragma once
#include <memory>
#include <vector>

#include "sim/card/card_driver.hpp"
#include "sim/lockstep/implementation.hpp"

namespace slotwire::lockstep {

struct RtlOptions {
  const sim::CardKind* kind = nullptr;
  bool random_memory = false;
  unsigned memory_latency = 4;  ///< clocks; at most, if random_memory
  unsigned stall_permille = 0;  ///< see sim::SimCoreOptions
  bool twins = false;           ///< the same
  std::string trace_file;
  std::uint64_t trace_from = 0;
  std::uint64_t trace_to = ~std::uint64_t{0};
  std::string coverage_file;  ///< line coverage of the RTL, written when the card goes; empty: none
  sim::PortWatcher* watcher = nullptr;
};

class RtlCard final : public Implementation {
 public:
  explicit RtlCard(const RtlOptions& options) : options_(options) {}
  ~RtlCard() override;
  RtlCard(const RtlCard&) = delete;
  RtlCard& operator=(const RtlCard&) = delete;

  void start(const Program& program) override;
  void apply(const Action& action, Microseconds now) override;
  std::string settle(Microseconds now) override;
  void observe(Observation& out) override;
  void out_line(std::uint16_t slot, std::uint32_t index, std::span<std::byte, regs::kLineBytes> line) override;

  sim::SimCore& core() { return *core_; }

 private:
  void on(const Advance&) {}
  void on(const Write& a);
  void on(const InTail& a) { driver_->doorbell(a.slot, false, a.value); }
  void on(const OutHead& a) { driver_->doorbell(a.slot, true, a.value); }
  void on(const FrameIn& a);
  void on(const RefusedFrame& a);
  void on(const Stray& a);
  void on(const Bind& a);
  void on(const Unbind& a);
  void on(const Figures& a);
  void on(const LinkUp& a);
  void on(const LinkDown& a);
  void on(const FaultSlot& a);
  void on(const Reset&);

  void push(sim::FrameQueue& queue, const Bytes& frame, bool damaged);
  void take_frames();
  void write_link(std::uint16_t link);
  void clear_lines(std::uint32_t base, std::uint32_t lines);
  void problem(const std::string& what);
  void sort_written(Observation& out);

  RtlOptions options_;
  Program shape_;  ///< the program without its steps
  std::unique_ptr<sim::SimCore> core_;
  std::unique_ptr<sim::SimCardDriver> driver_;
  std::vector<regs::LinkRow> links_;
  std::vector<regs::SlotRow> places_;  ///< the rows as bound: where the rings are
  std::vector<regs::SlotRow> rows_;    ///< as last read
  Observation observation_;
  std::vector<std::uint32_t> addresses_;
  std::vector<sim::Line> lines_;
  std::size_t frames_ = 0;
  std::string problem_;
  Bytes frame_;
};

}  // namespace slotwire::lockstep
