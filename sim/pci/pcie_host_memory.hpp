// The vendor's PCIe bridge in simulation, its other direction: what a card writes through the bridge's slave port into
// the memory of the host, behind an IOMMU.
//
//   - A write is answered (B) when the bridge has sent it; until then it is not on the bus. It arrives kPostedClocks
//     later, in order.
//   - A completion or a message of the function that the host sees has pushed all writes that were sent before it
//     (deliver()).
//   - A write to an address that is not mapped changes nothing; the card is not told (iommu_faults()).
//   - A write that the bridge refuses is answered with SLVERR and not sent.
//
// `Model` is a Verilated module with the ports m_axib_* of slotwire_pcie. drive() before each rising edge of axi_aclk
// and settling, then sample(). Thread rules: one thread.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <span>
#include <string>

#include "core/regs/regs.hpp"
#include "sim/axi/check.hpp"
#include "sim/random.hpp"

namespace slotwire::sim {

struct PcieHostMemoryOptions {
  std::uint64_t seed = 1;
  unsigned stall_permille = 0;            ///< of 1000 clocks, those in which a channel does nothing
  std::uint64_t answer_clocks = 1;        ///< at most, from a write's beat to its answer; 1 or more
  std::uint64_t least_answer_clocks = 1;  ///< at least; 1 to answer_clocks
};

template <typename Model>
class PcieHostMemory {
 public:
  static constexpr std::size_t kPage = regs::kPageBytes, kLine = regs::kLineBytes;
  static constexpr std::size_t kMostWrites = 32;      ///< that the bridge has under way
  static constexpr std::uint64_t kPostedClocks = 68;  ///< half of a read across the bus (bench/card/pcie_model.hpp)
  static constexpr std::uint32_t kSlaveError = 2;

  PcieHostMemory(Model& model, const PcieHostMemoryOptions& options)
      : model_(model), random_(options.seed ^ 0xd3a), options_(options) {
    idle_port();
  }

  /// Maps `bytes` from bus address `at` on; both multiples of a page. What is mapped already stays.
  void map(std::uint64_t at, std::size_t bytes) {
    for (std::uint64_t page = at; page < at + bytes; page += kPage) pages_.try_emplace(page);
  }
  void unmap(std::uint64_t at, std::size_t bytes) {
    for (std::uint64_t page = at; page < at + bytes; page += kPage) pages_.erase(page);
  }
  /// Puts `value` into all bytes of the page at `at`, but for the marks of a mark page.
  void fill(std::uint64_t at, std::byte value) {
    auto& page = pages_.at(at);
    for (std::size_t i = 0; i < kPage; ++i) {
      if (i / 4 != regs::kMarkTail / 4 && i / 4 != regs::kMarkHead / 4) page[i] = value;
    }
  }
  /// A line that is mapped.
  std::span<const std::byte, kLine> line(std::uint64_t at) const {
    return std::span(pages_.at(at / kPage * kPage)).subspan(at % kPage / kLine * kLine).template first<kLine>();
  }
  std::uint32_t word(std::uint64_t at) const {
    std::uint32_t value = 0;
    std::memcpy(&value, line(at).data() + at % kLine, sizeof value);
    return value;
  }
  /// The bridge refuses what `refuses` says of its address.
  std::function<bool(std::uint64_t at)> refuses;
  /// After each write that changed memory.
  std::function<void(std::uint64_t at)> written;
  /// Takes nothing as long as it is set.
  bool hold = false;

  std::uint64_t writes() const { return writes_; }  ///< that arrived in memory
  std::uint64_t iommu_faults() const { return faults_; }
  /// Nothing that the card has begun is without its answer.
  bool answered() const { return addresses_.empty() && beats_.empty() && sent_.empty(); }
  const std::string& violation() const { return violation_.empty() ? check_.violation() : violation_; }

  /// All that was answered arrives.
  void deliver() {
    for (; !posted_.empty(); posted_.pop_front()) arrive(posted_.front());
  }

  void drive() {
    if (model_.axi_aresetn == 0) return idle_port();
    const bool room = addresses_.size() + sent_.size() < kMostWrites && beats_.size() < kMostWrites;
    model_.m_axib_awready = room && !hold && !stalls();
    model_.m_axib_wready = room && !hold && !stalls();
    if (!answers_ && !sent_.empty() && sent_.front().at_clock <= clock_ && !stalls()) answers_ = true;
    model_.m_axib_bvalid = answers_;
    model_.m_axib_bresp = answers_ && sent_.front().refused ? kSlaveError : 0;
  }

  void sample() {
    ++clock_;
    for (; !posted_.empty() && posted_.front().at_clock <= clock_; posted_.pop_front()) arrive(posted_.front());
    if (model_.axi_aresetn == 0) {
      // What was answered is on the bus, and nothing else.
      addresses_.clear();
      beats_.clear();
      sent_.clear();
      answers_ = false;
      check_.reset();
      return;
    }
    check();
    if (model_.m_axib_bvalid != 0 && model_.m_axib_bready != 0) {
      Write write = sent_.front();
      sent_.pop_front();
      answers_ = false;
      write.at_clock = clock_ + kPostedClocks;
      if (!write.refused) posted_.push_back(write);
    }
    if (model_.m_axib_awvalid != 0 && model_.m_axib_awready != 0) addresses_.push_back(model_.m_axib_awaddr);
    if (model_.m_axib_wvalid != 0 && model_.m_axib_wready != 0) {
      Write beat;
      std::memcpy(beat.data.data(), model_.m_axib_wdata.data(), kLine);
      beat.strobes = model_.m_axib_wstrb;
      beats_.push_back(beat);
    }
    while (!addresses_.empty() && !beats_.empty()) send();
  }

 private:
  struct Write {
    std::uint64_t at = 0, strobes = 0, at_clock = 0;
    bool refused = false;
    std::array<std::byte, kLine> data{};
  };

  void send() {
    Write write = beats_.front();
    beats_.pop_front();
    write.at = addresses_.front();
    addresses_.pop_front();
    write.refused = refuses && refuses(write.at);
    write.at_clock = clock_ + random_.between(static_cast<std::uint32_t>(options_.least_answer_clocks - 1),
                                              static_cast<std::uint32_t>(options_.answer_clocks - 1));
    const auto bytes = static_cast<unsigned>(std::popcount(write.strobes));
    if (write.strobes == 0 ||
        static_cast<unsigned>(std::countr_zero(write.strobes) + std::countl_zero(write.strobes)) + bytes != kLine) {
      found("strobes with a hole");
    }
    sent_.push_back(write);
  }
  void arrive(const Write& write) {
    const auto page = pages_.find(write.at / kPage * kPage);
    if (page == pages_.end()) {
      ++faults_;
      return;
    }
    for (std::size_t i = 0; i < kLine; ++i) {
      if ((write.strobes >> i & 1) != 0) page->second[write.at % kPage / kLine * kLine + i] = write.data[i];
    }
    ++writes_;
    if (written) written(write.at);
  }
  void check() {
    const auto& m = model_;
    if (m.m_axib_awvalid != 0 && (m.m_axib_awlen != 0 || m.m_axib_awsize != 6)) found("a burst, or a narrow one");
    check_.see({.aw = {.valid = m.m_axib_awvalid != 0,
                       .ready = m.m_axib_awready != 0,
                       .address = m.m_axib_awaddr,
                       .id = m.m_axib_awid,
                       .length = m.m_axib_awlen,
                       .size = m.m_axib_awsize,
                       .burst = m.m_axib_awburst},
                .ar = {},
                .wvalid = m.m_axib_wvalid != 0,
                .wready = m.m_axib_wready != 0,
                .wlast = m.m_axib_wlast != 0,
                .bvalid = m.m_axib_bvalid != 0,
                .bready = m.m_axib_bready != 0,
                .wdata = {m.m_axib_wdata.data(), kLine / 4},
                .rdata = {},
                .wstrb = m.m_axib_wstrb,
                .bresp = m.m_axib_bresp});
  }
  void found(const std::string& what) {
    if (violation_.empty()) violation_ = "host memory: " + what;
  }
  void idle_port() {
    answers_ = false;
    model_.m_axib_awready = model_.m_axib_wready = model_.m_axib_bvalid = 0;
    model_.m_axib_bresp = 0;
  }
  bool stalls() { return options_.stall_permille != 0 && random_.chance(options_.stall_permille); }

  Model& model_;
  Random random_;
  PcieHostMemoryOptions options_;
  std::uint64_t clock_ = 0, writes_ = 0, faults_ = 0;
  std::map<std::uint64_t, std::array<std::byte, kPage>> pages_;
  std::deque<std::uint64_t> addresses_;
  std::deque<Write> beats_, sent_, posted_;  ///< without their address; without their answer; on the bus
  bool answers_ = false;
  axi::MemoryCheck check_{"m_axib", kLine, kMostWrites + 4};
  std::string violation_;
};

}  // namespace slotwire::sim
