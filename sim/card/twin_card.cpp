#include "sim/card/twin_card.hpp"

#include <algorithm>
#include <utility>

namespace slotwire::sim {
namespace {

constexpr std::size_t kLineWords = 16;

template <typename T>
void copy(T* CardPorts::*port, const CardPorts& from, const CardPorts& to, std::size_t words = 1) {
  std::copy_n(from.*port, words, to.*port);
}
template <typename T>
bool same(T* CardPorts::*port, const CardPorts& a, const CardPorts& b, std::size_t words = 1) {
  return std::equal(a.*port, a.*port + words, b.*port);
}

}  // namespace

TwinCard::TwinCard(std::unique_ptr<CardModel> first, std::unique_ptr<CardModel> second)
    : first_(std::move(first)), second_(std::move(second)) {
  ports_ = first_->ports();
}

void TwinCard::eval() {
  const CardPorts& to = second_->ports();
  for (const auto port : {&CardPorts::clk_i,
                          &CardPorts::rst_ni,
                          &CardPorts::host_req_valid_i,
                          &CardPorts::host_req_write_i,
                          &CardPorts::mem_rd_ready_i,
                          &CardPorts::mem_rsp_valid_i,
                          &CardPorts::mem_rsp_err_i,
                          &CardPorts::mem_wr_ready_i,
                          &CardPorts::mem_wr_done_i,
                          &CardPorts::mem_wr_err_i,
                          &CardPorts::rx_tvalid_i,
                          &CardPorts::rx_tlast_i,
                          &CardPorts::rx_tuser_i,
                          &CardPorts::tx_tready_i,
                          &CardPorts::to_host_tready_i,
                          &CardPorts::from_host_tvalid_i,
                          &CardPorts::from_host_tlast_i,
                          &CardPorts::bus_rst_ni,
                          &CardPorts::dma_awready_i,
                          &CardPorts::dma_wready_i,
                          &CardPorts::dma_bvalid_i,
                          &CardPorts::dma_berr_i}) {
    copy(port, ports_, to);
  }
  for (const auto port : {&CardPorts::now_us_i, &CardPorts::host_req_addr_i}) copy(port, ports_, to);
  for (const auto port : {&CardPorts::host_req_wdata_i, &CardPorts::mem_rsp_data_i, &CardPorts::rx_tdata_i,
                          &CardPorts::from_host_tdata_i}) {
    copy(port, ports_, to, kLineWords);
  }
  for (const auto port : {&CardPorts::host_req_wstrb_i, &CardPorts::rx_tkeep_i, &CardPorts::from_host_tkeep_i}) {
    copy(port, ports_, to);
  }
  first_->eval();
  second_->eval();
  if (*ports_.clk_i != 0) {
    if (*ports_.rst_ni == 0 && reset_clocks_ < kResetClocks) ++reset_clocks_;
  } else if (reset_clocks_ == kResetClocks) {
    compare();
  }
}

void TwinCard::compare() {
  if (!difference_.empty()) return;
  const CardPorts& a = ports_;
  const CardPorts& b = second_->ports();
  const auto check = [&](const char* name, bool equal) {
    if (!equal && difference_.empty()) {
      difference_ = std::string(name) + " depends on what registers held before the reset";
    }
  };
#define SLOTWIRE_SAME(name, ...) check(#name, same(&CardPorts::name, a, b __VA_OPT__(, ) __VA_ARGS__))
  SLOTWIRE_SAME(host_req_ready_o);
  SLOTWIRE_SAME(host_rsp_valid_o);
  SLOTWIRE_SAME(irq_o);
  SLOTWIRE_SAME(mem_rd_valid_o);
  SLOTWIRE_SAME(mem_wr_valid_o);
  SLOTWIRE_SAME(mem_rd_taken_o);
  SLOTWIRE_SAME(mem_wr_taken_o);
  SLOTWIRE_SAME(rx_tready_o);
  SLOTWIRE_SAME(tx_tvalid_o);
  SLOTWIRE_SAME(to_host_tvalid_o);
  SLOTWIRE_SAME(from_host_tready_o);
  SLOTWIRE_SAME(idle_o);
  SLOTWIRE_SAME(sweep_o);
  SLOTWIRE_SAME(shown_o);
  if (*a.host_rsp_valid_o != 0) {
    SLOTWIRE_SAME(host_rsp_rdata_o, kLineWords);
    SLOTWIRE_SAME(host_rsp_err_o);
  }
  if (*a.mem_rd_valid_o != 0) SLOTWIRE_SAME(mem_rd_addr_o);
  if (*a.mem_wr_valid_o != 0) {
    SLOTWIRE_SAME(mem_wr_addr_o);
    SLOTWIRE_SAME(mem_wr_data_o, kLineWords);
    SLOTWIRE_SAME(mem_wr_strb_o);
  }
  if (*a.tx_tvalid_o != 0) {
    SLOTWIRE_SAME(tx_tdata_o, kLineWords);
    SLOTWIRE_SAME(tx_tkeep_o);
    SLOTWIRE_SAME(tx_tlast_o);
  }
  if (*a.to_host_tvalid_o != 0) {
    SLOTWIRE_SAME(to_host_tdata_o, kLineWords);
    SLOTWIRE_SAME(to_host_tkeep_o);
    SLOTWIRE_SAME(to_host_tlast_o);
    SLOTWIRE_SAME(to_host_tuser_o);
  }
#undef SLOTWIRE_SAME
}

}  // namespace slotwire::sim
