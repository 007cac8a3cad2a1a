// A card: the core with slot memory on the chip, an AXI4 port for the host, and the port's streams on a clock of their own.
// What is left to a shell is the MAC, the way to the host (PCIe) and, on one that has it, the host's own network interface.
//
// Resets: rst_ni may fall at any time and is taken over by both clocks; the streams of the port must stand still meanwhile
// (a frame under way is cut).

module slotwire_card #(
  parameter int unsigned Slots = 1024,  // As slotwire_core's.
  parameter int unsigned Links = 64,
  parameter int unsigned MemLineBits = 16,  // 4 MiB
  parameter int unsigned MaxOrder = 12,
  parameter int unsigned FrameLines = 32,
  parameter int unsigned Vectors = 32,
  parameter int unsigned SweepClocks = 4,
  parameter int unsigned HostLines = 512,
  parameter int unsigned MicrosecondClocks = 250,  // Clocks of clk_i in a microsecond.
  parameter int unsigned MemLatency = 3,  // Of the slot memory, as sw_slot_mem's; 2 for small ones.
  parameter int unsigned MemStyle = 2,  // Of its RAM, as sw_ram_sdp's: 2 UltraRAM.
  parameter int unsigned IdW = 4,
  parameter logic [31:0] BuildId = 32'd0
) (
  input logic clk_i,
  input logic rst_ni,
  input logic mac_clk_i,

  // The host: AXI4, card addresses (docs/registers.md).
  input  logic [IdW-1:0] s_axi_awid_i,
  input  logic [28:0]    s_axi_awaddr_i,
  input  logic [7:0]     s_axi_awlen_i,
  input  logic [2:0]     s_axi_awsize_i,
  input  logic [1:0]     s_axi_awburst_i,
  input  logic           s_axi_awvalid_i,
  output logic           s_axi_awready_o,
  input  logic [511:0]   s_axi_wdata_i,
  input  logic [63:0]    s_axi_wstrb_i,
  input  logic           s_axi_wlast_i,
  input  logic           s_axi_wvalid_i,
  output logic           s_axi_wready_o,
  output logic [IdW-1:0] s_axi_bid_o,
  output logic [1:0]     s_axi_bresp_o,
  output logic           s_axi_bvalid_o,
  input  logic           s_axi_bready_i,
  input  logic [IdW-1:0] s_axi_arid_i,
  input  logic [28:0]    s_axi_araddr_i,
  input  logic [7:0]     s_axi_arlen_i,
  input  logic [2:0]     s_axi_arsize_i,
  input  logic [1:0]     s_axi_arburst_i,
  input  logic           s_axi_arvalid_i,
  output logic           s_axi_arready_o,
  output logic [IdW-1:0] s_axi_rid_o,
  output logic [511:0]   s_axi_rdata_o,
  output logic [1:0]     s_axi_rresp_o,
  output logic           s_axi_rlast_o,
  output logic           s_axi_rvalid_o,
  input  logic           s_axi_rready_i,
  output logic [Vectors-1:0] irq_o,

  // The port, on mac_clk_i.
  input  logic         rx_tvalid_i,
  output logic         rx_tready_o,
  input  logic [511:0] rx_tdata_i,
  input  logic [63:0]  rx_tkeep_i,
  input  logic         rx_tlast_i,
  input  logic         rx_tuser_i,
  output logic         tx_tvalid_o,
  input  logic         tx_tready_i,
  output logic [511:0] tx_tdata_o,
  output logic [63:0]  tx_tkeep_o,
  output logic         tx_tlast_o,

  // The host's own traffic, on clk_i.
  output logic         to_host_tvalid_o,
  input  logic         to_host_tready_i,
  output logic [511:0] to_host_tdata_o,
  output logic [63:0]  to_host_tkeep_o,
  output logic         to_host_tlast_o,
  output logic [slotwire_pkg::VerdictBits-1:0] to_host_tuser_o,  // Of slotwire_core.
  input  logic         from_host_tvalid_i,
  output logic         from_host_tready_o,
  input  logic [511:0] from_host_tdata_i,
  input  logic [63:0]  from_host_tkeep_i,
  input  logic         from_host_tlast_i,

  input  logic inject_err_i  // Test hook of the slot memory.
);

  logic rst_core_n, rst_mac_n;
  sw_reset_sync u_reset_core (.clk_i, .rst_ni, .rst_no(rst_core_n));
  sw_reset_sync u_reset_mac (.clk_i(mac_clk_i), .rst_ni, .rst_no(rst_mac_n));

  // Time in microseconds.
  logic [31:0] now_us_q;
  logic [$clog2(MicrosecondClocks + 1)-1:0] clocks_q;
  always_ff @(posedge clk_i) begin
    if (!rst_core_n) begin
      clocks_q <= '0;
      now_us_q <= '0;
    end else if (32'(clocks_q) == MicrosecondClocks - 1) begin
      clocks_q <= '0;
      now_us_q <= now_us_q + 32'd1;
    end else begin
      clocks_q <= clocks_q + 1'b1;
    end
  end

  // ---- the host -----------------------------------------------------------------------------------------------------------

  logic         req_valid, req_ready, req_write, rsp_valid, rsp_err;
  logic [28:0]  req_addr;
  logic [511:0] req_wdata, rsp_rdata;
  logic [63:0]  req_wstrb;
  sw_axi_slave #(.AddrW(29), .IdW(IdW)) u_axi (
    .clk_i, .rst_ni(rst_core_n), .s_axi_awid_i, .s_axi_awaddr_i, .s_axi_awlen_i, .s_axi_awsize_i, .s_axi_awburst_i,
    .s_axi_awvalid_i, .s_axi_awready_o, .s_axi_wdata_i, .s_axi_wstrb_i, .s_axi_wlast_i, .s_axi_wvalid_i, .s_axi_wready_o,
    .s_axi_bid_o, .s_axi_bresp_o, .s_axi_bvalid_o, .s_axi_bready_i, .s_axi_arid_i, .s_axi_araddr_i, .s_axi_arlen_i,
    .s_axi_arsize_i, .s_axi_arburst_i, .s_axi_arvalid_i, .s_axi_arready_o, .s_axi_rid_o, .s_axi_rdata_o, .s_axi_rresp_o,
    .s_axi_rlast_o, .s_axi_rvalid_o, .s_axi_rready_i, .host_req_valid_o(req_valid), .host_req_ready_i(req_ready),
    .host_req_write_o(req_write), .host_req_addr_o(req_addr), .host_req_wdata_o(req_wdata), .host_req_wstrb_o(req_wstrb),
    .host_rsp_valid_i(rsp_valid), .host_rsp_rdata_i(rsp_rdata), .host_rsp_err_i(rsp_err));

  // ---- slot memory --------------------------------------------------------------------------------------------------------

  logic                   rd_valid, rd_ready, mem_rsp_valid, mem_rsp_err, wr_valid, wr_ready, wr_done;
  logic [MemLineBits-1:0] rd_addr, wr_addr;
  logic [511:0]           mem_rsp_data, wr_data;
  logic [63:0]            wr_strb;
  sw_slot_mem #(.Lines(1 << MemLineBits), .ReadLatency(MemLatency), .Style(MemStyle)) u_memory (
    .clk_i, .rst_ni(rst_core_n), .rd_valid_i(rd_valid), .rd_ready_o(rd_ready), .rd_addr_i(rd_addr), .rsp_valid_o(mem_rsp_valid),
    .rsp_data_o(mem_rsp_data), .rsp_err_o(mem_rsp_err), .wr_valid_i(wr_valid), .wr_ready_o(wr_ready), .wr_addr_i(wr_addr),
    .wr_data_i(wr_data), .wr_strb_i(wr_strb), .wr_done_o(wr_done), .inject_err_i);

  // ---- the port -----------------------------------------------------------------------------------------------------------

  logic         rx_tvalid, rx_tready, rx_tlast, rx_tuser, tx_tvalid, tx_tready, tx_tlast, tx_tuser;
  logic [511:0] rx_tdata, tx_tdata;
  logic [63:0]  rx_tkeep, tx_tkeep;
  sw_axis_cdc u_rx (
    .s_clk_i(mac_clk_i), .s_rst_ni(rst_mac_n), .s_tvalid_i(rx_tvalid_i), .s_tready_o(rx_tready_o), .s_tdata_i(rx_tdata_i),
    .s_tkeep_i(rx_tkeep_i), .s_tlast_i(rx_tlast_i), .s_tuser_i(rx_tuser_i), .m_clk_i(clk_i), .m_rst_ni(rst_core_n),
    .m_tvalid_o(rx_tvalid), .m_tready_i(rx_tready), .m_tdata_o(rx_tdata), .m_tkeep_o(rx_tkeep), .m_tlast_o(rx_tlast),
    .m_tuser_o(rx_tuser));
  sw_axis_cdc u_tx (
    .s_clk_i(clk_i), .s_rst_ni(rst_core_n), .s_tvalid_i(tx_tvalid), .s_tready_o(tx_tready), .s_tdata_i(tx_tdata),
    .s_tkeep_i(tx_tkeep), .s_tlast_i(tx_tlast), .s_tuser_i(1'b0), .m_clk_i(mac_clk_i), .m_rst_ni(rst_mac_n),
    .m_tvalid_o(tx_tvalid_o), .m_tready_i(tx_tready_i), .m_tdata_o(tx_tdata_o), .m_tkeep_o(tx_tkeep_o), .m_tlast_o(tx_tlast_o),
    .m_tuser_o(tx_tuser));

  logic idle, sweep;
  // Without DMA.
  logic                         wr_dma;
  logic [15:0]                  wr_slot;
  slotwire_pkg::dma_from_core_t dma;
  slotwire_core #(
    .Slots(Slots), .Links(Links), .MemLineBits(MemLineBits), .MaxOrder(MaxOrder), .FrameLines(FrameLines), .Vectors(Vectors),
    .SweepClocks(SweepClocks), .HostLines(HostLines), .BuildId(BuildId)
  ) u_core (
    .clk_i, .rst_ni(rst_core_n), .now_us_i(now_us_q), .host_req_valid_i(req_valid), .host_req_ready_o(req_ready),
    .host_req_write_i(req_write), .host_req_addr_i(req_addr), .host_req_wdata_i(req_wdata), .host_req_wstrb_i(req_wstrb),
    .host_rsp_valid_o(rsp_valid), .host_rsp_rdata_o(rsp_rdata), .host_rsp_err_o(rsp_err), .irq_o, .mem_rd_valid_o(rd_valid),
    .mem_rd_ready_i(rd_ready), .mem_rd_addr_o(rd_addr), .mem_rsp_valid_i(mem_rsp_valid), .mem_rsp_data_i(mem_rsp_data),
    .mem_rsp_err_i(mem_rsp_err), .mem_wr_valid_o(wr_valid), .mem_wr_ready_i(wr_ready), .mem_wr_addr_o(wr_addr),
    .mem_wr_data_o(wr_data), .mem_wr_strb_o(wr_strb), .mem_wr_done_i(wr_done), .mem_wr_err_i(1'b0), .mem_wr_dma_o(wr_dma),
    .mem_wr_slot_o(wr_slot), .dma_o(dma), .dma_i('0), .rx_tvalid_i(rx_tvalid), .rx_tready_o(rx_tready),
    .rx_tdata_i(rx_tdata), .rx_tkeep_i(rx_tkeep), .rx_tlast_i(rx_tlast), .rx_tuser_i(rx_tuser), .tx_tvalid_o(tx_tvalid),
    .tx_tready_i(tx_tready), .tx_tdata_o(tx_tdata), .tx_tkeep_o(tx_tkeep), .tx_tlast_o(tx_tlast), .to_host_tvalid_o,
    .to_host_tready_i, .to_host_tdata_o, .to_host_tkeep_o, .to_host_tlast_o, .to_host_tuser_o, .from_host_tvalid_i, .from_host_tready_o,
    .from_host_tdata_i, .from_host_tkeep_i, .from_host_tlast_i, .idle_o(idle), .sweep_o(sweep));

  logic unused;
  assign unused = &{1'b0, wr_dma, wr_slot, dma, idle, sweep, tx_tuser};

endmodule
