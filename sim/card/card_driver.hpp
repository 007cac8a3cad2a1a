// The host's side of a simulated card: the sequences of reads and writes that a driver makes. Writes are posted: they
// are in the card when a later read has been answered. One thread.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "core/pipeline/pipeline.hpp"
#include "sim/card/ethernet.hpp"
#include "sim/card/sim_core.hpp"

namespace slotwire::sim {

class SimCardDriver {
 public:
  /// Longest that the driver waits for the card to take or answer something, in clocks.
  static constexpr std::uint64_t kPatience = 200'000;
  /// Longest that rest() waits. Everything in all rings leaves a card in this time.
  static constexpr std::uint64_t kRestPatience = 20'000'000;
  /// Whole sweeps over the timers without anything happening that make rest.
  static constexpr std::uint64_t kQuietSweeps = 2;

  explicit SimCardDriver(SimCore& core) : core_(core) {}

  /// Called after every clock that the driver lets pass; takes frames from the queues, so that they do not fill up.
  void each_clock(std::function<void()> call) { each_clock_ = std::move(call); }
  void clock(std::uint64_t n = 1);

  // False or nothing: the card did not answer in time or refused; error() says what.
  bool write_line(std::uint32_t address, const Line& data, std::uint64_t strobes = ~std::uint64_t{0});
  bool write_word(std::uint32_t address, std::uint32_t value);
  std::optional<Line> read_line(std::uint32_t address);
  std::optional<std::uint32_t> read_word(std::uint32_t address);
  /// Reads `addresses` one after the other without waiting in between.
  bool read_lines(std::span<const std::uint32_t> addresses, std::span<Line> out);

  /// Magic, version, and what the card is made for.
  struct Capabilities {
    std::uint32_t slots = 0, links = 0, max_ring_order = 0, memory_lines = 0, max_frame_lines = 0, vectors = 0;
    std::uint32_t rules = 0;  ///< of the classifier
  };
  std::optional<Capabilities> probe();
  bool configure(const Endpoint& own);
  bool write_link(std::uint16_t link, const regs::LinkRow& row);
  /// Starts a command and waits until it has ended.
  bool write_rule(std::size_t index, const regs::ClassifierRule& rule);
  /// What becomes of frames for the host that no rule matches.
  bool write_default_rule(regs::ClassifierAction action, std::uint16_t queue = 0);
  bool command(regs::CardCommand command, std::uint16_t target, regs::Fault cause = regs::Fault::none);
  bool write_row(std::uint16_t slot, const regs::SlotRow& row);
  std::optional<regs::SlotRow> read_row(std::uint16_t slot);
  bool doorbell(std::uint16_t slot, bool out_head, std::uint32_t value);
  std::optional<pipeline::SlotEvent> pop_event();
  std::optional<std::uint16_t> pop_moved();
  bool read_counters(std::array<std::uint64_t, regs::kCounterCount>& counters,
                     std::array<std::uint64_t, regs::kCardCounterCount>& card);

  /// Lets clocks pass until nothing is under way and the timers were looked at. False: there is no end.
  bool rest();
  /// Line writes that this driver made since the card was reset.
  std::uint64_t writes() const { return writes_; }
  void forget_writes() { writes_ = 0; }
  const std::string& error() const { return error_; }

  static std::uint32_t row_address(std::uint16_t slot);
  static std::uint32_t link_address(std::uint16_t link);
  static std::uint32_t process_page(std::uint16_t slot);
  static std::uint32_t proxy_page(std::uint16_t slot);
  static std::uint32_t memory_address(std::uint32_t line);

 private:
  bool failed(const std::string& what);
  bool wait_for_room();
  bool wait_for_answer();

  SimCore& core_;
  std::function<void()> each_clock_;
  std::uint64_t writes_ = 0;
  std::string error_;
};

}  // namespace slotwire::sim
