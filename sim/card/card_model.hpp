// A Verilated card: its ports as plain integers, and its clock. One for each set of parameters; this is what they
// share.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace slotwire::sim {

/// Pointers to the ports of slotwire_sim_card, by their names. Lines are 16 words of 32 bits, the first bytes first.
struct CardPorts {
  std::uint8_t *clk_i, *rst_ni;
  std::uint32_t* now_us_i;
  std::uint8_t *host_req_valid_i, *host_req_ready_o, *host_req_write_i, *host_rsp_valid_o, *host_rsp_err_o;
  std::uint32_t *host_req_addr_i, *host_req_wdata_i, *host_rsp_rdata_o, *irq_o;
  std::uint64_t* host_req_wstrb_i;
  std::uint8_t *mem_rd_valid_o, *mem_rd_ready_i, *mem_rsp_valid_i, *mem_rsp_err_i, *mem_wr_valid_o, *mem_wr_ready_i,
      *mem_wr_done_i, *mem_wr_err_i, *mem_rd_taken_o, *mem_wr_taken_o;
  std::uint32_t *mem_rd_addr_o, *mem_rsp_data_i, *mem_wr_addr_o, *mem_wr_data_o;
  std::uint64_t* mem_wr_strb_o;
  std::uint8_t *rx_tvalid_i, *rx_tready_o, *rx_tlast_i, *rx_tuser_i;
  std::uint32_t* rx_tdata_i;
  std::uint64_t* rx_tkeep_i;
  std::uint8_t *tx_tvalid_o, *tx_tready_i, *tx_tlast_o;
  std::uint32_t* tx_tdata_o;
  std::uint64_t* tx_tkeep_o;
  std::uint8_t *to_host_tvalid_o, *to_host_tready_i, *to_host_tlast_o;
  std::uint32_t* to_host_tdata_o;
  std::uint64_t *to_host_tkeep_o, *to_host_tuser_o;
  std::uint8_t *from_host_tvalid_i, *from_host_tready_o, *from_host_tlast_i;
  std::uint32_t* from_host_tdata_i;
  std::uint64_t* from_host_tkeep_i;
  std::uint8_t *idle_o, *sweep_o, *shown_o, *rtl_memory_o;
  std::uint32_t* memory_lines_o;
  // Host memory; of a card without DMA they do nothing.
  std::uint8_t *bus_rst_ni, *dma_awvalid_o, *dma_awready_i, *dma_wvalid_o, *dma_wready_i, *dma_bvalid_i, *dma_berr_i,
      *dma_bready_o, *dma_busy_o;
  std::uint64_t *dma_awaddr_o, *dma_wstrb_o;
  std::uint32_t* dma_wdata_o;
};

class CardModel {
 public:
  virtual ~CardModel() = default;
  virtual void eval() = 0;
  const CardPorts& ports() const { return ports_; }
  /// Starts an FST waveform. False: this model was built without waveforms.
  virtual bool open_trace(const std::string& file) = 0;
  /// Writes the ports' and registers' values at `time` into the waveform, if one is open.
  virtual void dump(std::uint64_t time) = 0;
  /// Writes line and toggle coverage. False: this model was built without.
  virtual bool write_coverage(const std::string& file) = 0;
  /// For a model that watches itself (TwinCard): what it saw first that must not be; else empty.
  virtual const std::string& difference() const { return no_difference_; }

 protected:
  CardPorts ports_{};

 private:
  std::string no_difference_;
};

/// A set of parameters that was built.
struct CardKind {
  const char* name;
  unsigned slots, memory_bits, max_order;  ///< 2^memory_bits lines of slot memory, rings of up to 2^max_order lines
  bool traced, covered, rtl_memory;
  /// Registers without a reset begin with values drawn from `seed`.
  std::unique_ptr<CardModel> (*make)(std::uint64_t seed);
};

/// All kinds that were built; empty where Verilator is missing.
std::span<const CardKind> card_kinds();
/// The first kind with these properties, or null.
const CardKind* find_card(unsigned slots, bool traced, bool covered);

}  // namespace slotwire::sim
