// The comparison of two cards whose registers began with different values, tried against cards that are none.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <utility>

#include "sim/card/twin_card.hpp"

namespace {
using slotwire::sim::CardModel;
using slotwire::sim::CardPorts;
using slotwire::sim::TwinCard;

/// Ports without anything behind them.
class NoCard final : public CardModel {
 public:
  NoCard() {
    ports_ = {};
    std::size_t bytes = 0, words = 0, longs = 0;
#define SLOTWIRE_BYTE(name) (ports_.name = &bytes_.at(bytes++))
#define SLOTWIRE_WORDS(name) (ports_.name = words_.at(words++).data())
#define SLOTWIRE_LONG(name) (ports_.name = &longs_.at(longs++))
    SLOTWIRE_BYTE(clk_i), SLOTWIRE_BYTE(rst_ni), SLOTWIRE_BYTE(host_req_valid_i), SLOTWIRE_BYTE(host_req_ready_o);
    SLOTWIRE_BYTE(host_req_write_i), SLOTWIRE_BYTE(host_rsp_valid_o), SLOTWIRE_BYTE(host_rsp_err_o);
    SLOTWIRE_BYTE(mem_rd_valid_o), SLOTWIRE_BYTE(mem_rd_ready_i), SLOTWIRE_BYTE(mem_rsp_valid_i);
    SLOTWIRE_BYTE(mem_rsp_err_i), SLOTWIRE_BYTE(mem_wr_valid_o), SLOTWIRE_BYTE(mem_wr_ready_i);
    SLOTWIRE_BYTE(mem_wr_done_i), SLOTWIRE_BYTE(mem_wr_err_i), SLOTWIRE_BYTE(mem_rd_taken_o),
        SLOTWIRE_BYTE(mem_wr_taken_o);
    SLOTWIRE_BYTE(rx_tvalid_i), SLOTWIRE_BYTE(rx_tready_o), SLOTWIRE_BYTE(rx_tlast_i), SLOTWIRE_BYTE(rx_tuser_i);
    SLOTWIRE_BYTE(tx_tvalid_o), SLOTWIRE_BYTE(tx_tready_i), SLOTWIRE_BYTE(tx_tlast_o);
    SLOTWIRE_BYTE(to_host_tvalid_o), SLOTWIRE_BYTE(to_host_tready_i), SLOTWIRE_BYTE(to_host_tlast_o);
    SLOTWIRE_BYTE(from_host_tvalid_i), SLOTWIRE_BYTE(from_host_tready_o), SLOTWIRE_BYTE(from_host_tlast_i);
    SLOTWIRE_BYTE(idle_o), SLOTWIRE_BYTE(sweep_o), SLOTWIRE_BYTE(shown_o), SLOTWIRE_BYTE(rtl_memory_o);
    SLOTWIRE_WORDS(now_us_i), SLOTWIRE_WORDS(host_req_addr_i), SLOTWIRE_WORDS(host_req_wdata_i);
    SLOTWIRE_WORDS(host_rsp_rdata_o), SLOTWIRE_WORDS(irq_o), SLOTWIRE_WORDS(mem_rd_addr_o);
    SLOTWIRE_WORDS(mem_rsp_data_i), SLOTWIRE_WORDS(mem_wr_addr_o), SLOTWIRE_WORDS(mem_wr_data_o);
    SLOTWIRE_WORDS(rx_tdata_i), SLOTWIRE_WORDS(tx_tdata_o), SLOTWIRE_WORDS(to_host_tdata_o);
    SLOTWIRE_WORDS(from_host_tdata_i), SLOTWIRE_WORDS(memory_lines_o);
    SLOTWIRE_BYTE(bus_rst_ni), SLOTWIRE_BYTE(dma_awvalid_o), SLOTWIRE_BYTE(dma_awready_i);
    SLOTWIRE_BYTE(dma_wvalid_o), SLOTWIRE_BYTE(dma_wready_i), SLOTWIRE_BYTE(dma_bvalid_i);
    SLOTWIRE_BYTE(dma_berr_i), SLOTWIRE_BYTE(dma_bready_o), SLOTWIRE_BYTE(dma_busy_o);
    SLOTWIRE_LONG(dma_awaddr_o), SLOTWIRE_LONG(dma_wstrb_o), SLOTWIRE_WORDS(dma_wdata_o);
    SLOTWIRE_LONG(host_req_wstrb_i), SLOTWIRE_LONG(mem_wr_strb_o), SLOTWIRE_LONG(rx_tkeep_i);
    SLOTWIRE_LONG(tx_tkeep_o), SLOTWIRE_LONG(to_host_tkeep_o), SLOTWIRE_LONG(from_host_tkeep_i);
#undef SLOTWIRE_BYTE
#undef SLOTWIRE_WORDS
#undef SLOTWIRE_LONG
  }
  void eval() override {}
  bool open_trace(const std::string& /*file*/) override {
    return false;
  }
  void dump(std::uint64_t /*time*/) override {}
  bool write_coverage(const std::string& /*file*/) override {
    return false;
  }

 private:
  std::array<std::uint8_t, 48> bytes_{};
  std::array<std::array<std::uint32_t, 16>, 17> words_{};
  std::array<std::uint64_t, 10> longs_{};
};

class Twins : public testing::Test {
 protected:
  void SetUp() override {
    auto first = std::make_unique<NoCard>(), second = std::make_unique<NoCard>();
    one = first->ports();
    other = second->ports();
    twins = std::make_unique<TwinCard>(std::move(first), std::move(second));
  }
  void clock(bool reset) {
    *one.rst_ni = reset ? 0 : 1;
    for (const unsigned level : {0U, 1U}) {
      *one.clk_i = static_cast<std::uint8_t>(level);
      twins->eval();
    }
  }
  void after_reset() {
    for (unsigned i = 0; i < TwinCard::kResetClocks; ++i) clock(true);
    clock(false);
    ASSERT_EQ(twins->difference(), "");
  }
  CardPorts one{}, other{};
  std::unique_ptr<TwinCard> twins;
};

TEST_F(Twins, InputsReachBoth) {
  after_reset();
  one.rx_tdata_i[15] = 7;
  *one.from_host_tkeep_i = 9;
  *one.mem_wr_done_i = 1;
  clock(false);
  EXPECT_EQ(other.rx_tdata_i[15], 7U);
  EXPECT_EQ(*other.from_host_tkeep_i, 9U);
  EXPECT_EQ(*other.mem_wr_done_i, 1U);
}

TEST_F(Twins, NothingCountsBeforeTheReset) {
  *one.tx_tvalid_o = 1;
  clock(false);
  clock(true);
  *one.tx_tvalid_o = 0;
  after_reset();
}

TEST_F(Twins, ControlCountsAlways) {
  for (const auto port : {&CardPorts::host_req_ready_o, &CardPorts::mem_wr_valid_o, &CardPorts::rx_tready_o,
                          &CardPorts::tx_tvalid_o, &CardPorts::sweep_o, &CardPorts::shown_o}) {
    SetUp();
    after_reset();
    *(other.*port) = 1;
    clock(false);
    EXPECT_NE(twins->difference(), "");
  }
}

TEST_F(Twins, PayloadCountsWithItsValid) {
  after_reset();
  other.tx_tdata_o[3] = 1;
  clock(false);
  EXPECT_EQ(twins->difference(), "");
  *one.tx_tvalid_o = *other.tx_tvalid_o = 1;
  clock(false);
  EXPECT_EQ(twins->difference(), "tx_tdata_o depends on what registers held before the reset");
}

}  // namespace
