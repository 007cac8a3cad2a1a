// One Verilated card as a CardModel. Compiled once for each kind, with SLOTWIRE_CARD its name.
#include <verilated.h>
#if SLOTWIRE_CARD_COVERED
#include <verilated_cov.h>
#endif
#if VM_TRACE_FST
#include <verilated_fst_c.h>
#endif

#include "sim/card/card_model.hpp"

#define SLOTWIRE_JOIN2(a, b) a##b
#define SLOTWIRE_JOIN(a, b) SLOTWIRE_JOIN2(a, b)
#define SLOTWIRE_TEXT2(a) #a
#define SLOTWIRE_TEXT(a) SLOTWIRE_TEXT2(a)
#define SLOTWIRE_MODEL SLOTWIRE_JOIN(V, SLOTWIRE_CARD)
#include SLOTWIRE_TEXT(SLOTWIRE_MODEL.h)

namespace slotwire::sim {
namespace {

template <typename T>
T* port(T& value) {
  return &value;
}
template <std::size_t Words>
std::uint32_t* port(VlWide<Words>& value) {
  return value.data();
}

class VerilatedCard final : public CardModel {
 public:
  explicit VerilatedCard(std::uint64_t seed) {
    context_.randReset(2);
    // 0 would mean that the library draws one itself.
    context_.randSeed(static_cast<int>(1 + seed % 0x3fff'ffff));
#if VM_TRACE_FST
    context_.traceEverOn(true);
#endif
    Verilated::threadContextp(&context_);
    model_ = std::make_unique<SLOTWIRE_MODEL>(&context_, "card");
    SLOTWIRE_MODEL& m = *model_;
#define SLOTWIRE_PORT(name) ports_.name = port(m.name)
    SLOTWIRE_PORT(clk_i), SLOTWIRE_PORT(rst_ni), SLOTWIRE_PORT(now_us_i);
    SLOTWIRE_PORT(host_req_valid_i), SLOTWIRE_PORT(host_req_ready_o), SLOTWIRE_PORT(host_req_write_i);
    SLOTWIRE_PORT(host_rsp_valid_o), SLOTWIRE_PORT(host_rsp_err_o), SLOTWIRE_PORT(host_req_addr_i);
    SLOTWIRE_PORT(host_req_wdata_i), SLOTWIRE_PORT(host_rsp_rdata_o), SLOTWIRE_PORT(irq_o);
    SLOTWIRE_PORT(host_req_wstrb_i);
    SLOTWIRE_PORT(mem_rd_valid_o), SLOTWIRE_PORT(mem_rd_ready_i), SLOTWIRE_PORT(mem_rsp_valid_i);
    SLOTWIRE_PORT(mem_rsp_err_i), SLOTWIRE_PORT(mem_wr_valid_o), SLOTWIRE_PORT(mem_wr_ready_i);
    SLOTWIRE_PORT(mem_wr_done_i), SLOTWIRE_PORT(mem_wr_err_i), SLOTWIRE_PORT(mem_rd_taken_o),
        SLOTWIRE_PORT(mem_wr_taken_o);
    SLOTWIRE_PORT(mem_rd_addr_o), SLOTWIRE_PORT(mem_rsp_data_i), SLOTWIRE_PORT(mem_wr_addr_o);
    SLOTWIRE_PORT(mem_wr_data_o), SLOTWIRE_PORT(mem_wr_strb_o);
    SLOTWIRE_PORT(rx_tvalid_i), SLOTWIRE_PORT(rx_tready_o), SLOTWIRE_PORT(rx_tlast_i), SLOTWIRE_PORT(rx_tuser_i);
    SLOTWIRE_PORT(rx_tdata_i), SLOTWIRE_PORT(rx_tkeep_i);
    SLOTWIRE_PORT(tx_tvalid_o), SLOTWIRE_PORT(tx_tready_i), SLOTWIRE_PORT(tx_tlast_o), SLOTWIRE_PORT(tx_tdata_o);
    SLOTWIRE_PORT(tx_tkeep_o);
    SLOTWIRE_PORT(to_host_tvalid_o), SLOTWIRE_PORT(to_host_tready_i), SLOTWIRE_PORT(to_host_tlast_o);
    SLOTWIRE_PORT(to_host_tdata_o), SLOTWIRE_PORT(to_host_tkeep_o), SLOTWIRE_PORT(to_host_tuser_o);
    SLOTWIRE_PORT(from_host_tvalid_i), SLOTWIRE_PORT(from_host_tready_o), SLOTWIRE_PORT(from_host_tlast_i);
    SLOTWIRE_PORT(from_host_tdata_i), SLOTWIRE_PORT(from_host_tkeep_i);
    SLOTWIRE_PORT(idle_o), SLOTWIRE_PORT(sweep_o), SLOTWIRE_PORT(shown_o), SLOTWIRE_PORT(rtl_memory_o),
        SLOTWIRE_PORT(memory_lines_o);
    SLOTWIRE_PORT(bus_rst_ni), SLOTWIRE_PORT(dma_awvalid_o), SLOTWIRE_PORT(dma_awready_i), SLOTWIRE_PORT(dma_awaddr_o);
    SLOTWIRE_PORT(dma_wvalid_o), SLOTWIRE_PORT(dma_wready_i), SLOTWIRE_PORT(dma_wdata_o), SLOTWIRE_PORT(dma_wstrb_o);
    SLOTWIRE_PORT(dma_bvalid_i), SLOTWIRE_PORT(dma_berr_i), SLOTWIRE_PORT(dma_bready_o), SLOTWIRE_PORT(dma_busy_o);
#undef SLOTWIRE_PORT
  }
  ~VerilatedCard() override {
#if VM_TRACE_FST
    if (trace_) trace_->close();
#endif
    // The library looks for what it frees in the thread's context, which may be that of another card, or of one that is
    // gone.
    Verilated::threadContextp(&context_);
    model_->final();
    model_.reset();
    Verilated::threadContextp(Verilated::defaultContextp());
  }
  VerilatedCard(const VerilatedCard&) = delete;
  VerilatedCard& operator=(const VerilatedCard&) = delete;

  void eval() override {
    model_->eval();
  }

  bool open_trace([[maybe_unused]] const std::string& file) override {
#if VM_TRACE_FST
    trace_ = std::make_unique<VerilatedFstC>();
    model_->trace(trace_.get(), kTraceLevels);
    trace_->open(file.c_str());
    return trace_->isOpen();
#else
    return false;
#endif
  }
  void dump([[maybe_unused]] std::uint64_t time) override {
#if VM_TRACE_FST
    if (trace_) trace_->dump(time);
#endif
  }
  bool write_coverage([[maybe_unused]] const std::string& file) override {
#if SLOTWIRE_CARD_COVERED
    context_.coveragep()->write(file.c_str());
    return true;
#else
    return false;
#endif
  }

 private:
#if VM_TRACE_FST
  static constexpr int kTraceLevels = 99;
#endif
  VerilatedContext context_;
  std::unique_ptr<SLOTWIRE_MODEL> model_;
#if VM_TRACE_FST
  std::unique_ptr<VerilatedFstC> trace_;
#endif
};

}  // namespace

std::unique_ptr<CardModel> SLOTWIRE_JOIN(make_, SLOTWIRE_CARD)(std::uint64_t seed);
std::unique_ptr<CardModel> SLOTWIRE_JOIN(make_, SLOTWIRE_CARD)(std::uint64_t seed) {
  return std::make_unique<VerilatedCard>(seed);
}

}  // namespace slotwire::sim
