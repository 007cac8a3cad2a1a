// The core as an RTL kernel for Vitis and XRT ("user managed"): a window of registers on AXI4-Lite, slot memory in HBM, DDR or host
// memory on AXI4, the 100G network kernel on two AXI4-Streams. Adapters only; slotwire_xrt.v is the kernel's top around it.
//
// The host's own frames (ARP, and the node's control connection) go through the window's page of frames, as a platform has no
// network interface for the host behind the kernel's port.

module slotwire_xrt_kernel #(
  parameter int unsigned Slots = 1024,  // As slotwire_core's.
  parameter int unsigned Links = 64,
  parameter int unsigned MemLineBits = 20,  // 64 MiB of slot memory.
  parameter int unsigned MaxOrder = 12,
  parameter int unsigned FrameLines = 23,  // A frame of an MTU of 1500 bytes.
  parameter int unsigned MicrosecondClocks = 250,  // Of ap_clk; the link configurations ask for 250 MHz.
  parameter int unsigned HostLines = 512,
  parameter logic [31:0] BuildId = 32'd0
) (
  input  logic         ap_clk,
  input  logic         ap_rst_n,
  output logic         interrupt_o,

  input  logic [19:0]  s_axi_control_awaddr,
  input  logic         s_axi_control_awvalid,
  output logic         s_axi_control_awready,
  input  logic [31:0]  s_axi_control_wdata,
  input  logic [3:0]   s_axi_control_wstrb,
  input  logic         s_axi_control_wvalid,
  output logic         s_axi_control_wready,
  output logic [1:0]   s_axi_control_bresp,
  output logic         s_axi_control_bvalid,
  input  logic         s_axi_control_bready,
  input  logic [19:0]  s_axi_control_araddr,
  input  logic         s_axi_control_arvalid,
  output logic         s_axi_control_arready,
  output logic [31:0]  s_axi_control_rdata,
  output logic [1:0]   s_axi_control_rresp,
  output logic         s_axi_control_rvalid,
  input  logic         s_axi_control_rready,

  output logic [0:0]   m_axi_memory_awid,
  output logic [63:0]  m_axi_memory_awaddr,
  output logic [7:0]   m_axi_memory_awlen,
  output logic [2:0]   m_axi_memory_awsize,
  output logic [1:0]   m_axi_memory_awburst,
  output logic         m_axi_memory_awvalid,
  input  logic         m_axi_memory_awready,
  output logic [511:0] m_axi_memory_wdata,
  output logic [63:0]  m_axi_memory_wstrb,
  output logic         m_axi_memory_wlast,
  output logic         m_axi_memory_wvalid,
  input  logic         m_axi_memory_wready,
  input  logic [0:0]   m_axi_memory_bid,
  input  logic [1:0]   m_axi_memory_bresp,
  input  logic         m_axi_memory_bvalid,
  output logic         m_axi_memory_bready,
  output logic [0:0]   m_axi_memory_arid,
  output logic [63:0]  m_axi_memory_araddr,
  output logic [7:0]   m_axi_memory_arlen,
  output logic [2:0]   m_axi_memory_arsize,
  output logic [1:0]   m_axi_memory_arburst,
  output logic         m_axi_memory_arvalid,
  input  logic         m_axi_memory_arready,
  input  logic [0:0]   m_axi_memory_rid,
  input  logic [511:0] m_axi_memory_rdata,
  input  logic [1:0]   m_axi_memory_rresp,
  input  logic         m_axi_memory_rlast,
  input  logic         m_axi_memory_rvalid,
  output logic         m_axi_memory_rready,

  // From and to the network kernel.
  input  logic         s_axis_rx_tvalid,
  output logic         s_axis_rx_tready,
  input  logic [511:0] s_axis_rx_tdata,
  input  logic [63:0]  s_axis_rx_tkeep,
  input  logic         s_axis_rx_tlast,
  output logic         m_axis_tx_tvalid,
  input  logic         m_axis_tx_tready,
  output logic [511:0] m_axis_tx_tdata,
  output logic [63:0]  m_axis_tx_tkeep,
  output logic         m_axis_tx_tlast
);

  localparam int unsigned Vectors = 1;  // A kernel has one interrupt.

  logic clk, rst_n;
  assign clk = ap_clk;
  sw_reset_sync u_reset (.clk_i(clk), .rst_ni(ap_rst_n), .rst_no(rst_n));

  logic [31:0] now_us;
  sw_microseconds #(.Clocks(MicrosecondClocks)) u_time (.clk_i(clk), .rst_ni(rst_n), .now_us_o(now_us));

  // ---- the window ---------------------------------------------------------------------------------------------------------

  logic         win_valid, win_ready, win_write, win_rsp_valid, win_rsp_err;
  logic [19:0]  win_addr;
  logic [3:0]   win_word;
  logic [511:0] win_wdata, win_rdata;
  logic [63:0]  win_wstrb;
  sw_axil_slave #(.AddrW(slotwire_pkg::WindowBits)) u_axil (
    .clk_i(clk), .rst_ni(rst_n), .s_axil_awaddr_i(s_axi_control_awaddr), .s_axil_awvalid_i(s_axi_control_awvalid),
    .s_axil_awready_o(s_axi_control_awready), .s_axil_wdata_i(s_axi_control_wdata), .s_axil_wstrb_i(s_axi_control_wstrb),
    .s_axil_wvalid_i(s_axi_control_wvalid), .s_axil_wready_o(s_axi_control_wready), .s_axil_bresp_o(s_axi_control_bresp),
    .s_axil_bvalid_o(s_axi_control_bvalid), .s_axil_bready_i(s_axi_control_bready), .s_axil_araddr_i(s_axi_control_araddr),
    .s_axil_arvalid_i(s_axi_control_arvalid), .s_axil_arready_o(s_axi_control_arready), .s_axil_rdata_o(s_axi_control_rdata),
    .s_axil_rresp_o(s_axi_control_rresp), .s_axil_rvalid_o(s_axi_control_rvalid), .s_axil_rready_i(s_axi_control_rready),
    .host_req_valid_o(win_valid), .host_req_ready_i(win_ready), .host_req_write_o(win_write), .host_req_addr_o(win_addr),
    .host_req_word_o(win_word), .host_req_wdata_o(win_wdata), .host_req_wstrb_o(win_wstrb), .host_rsp_valid_i(win_rsp_valid),
    .host_rsp_rdata_i(win_rdata), .host_rsp_err_i(win_rsp_err));

  logic               req_valid, req_ready, req_write, rsp_valid, rsp_err;
  logic [28:0]        req_addr;
  logic [511:0]       req_wdata, rsp_rdata;
  logic [63:0]        req_wstrb, memory_base;
  logic               frames_write;
  logic [5:0]         frames_word;
  logic [31:0]        frames_wdata, frames_rdata;
  logic [Vectors-1:0] irq;
  sw_window #(.Vectors(Vectors)) u_window (
    .clk_i(clk), .rst_ni(rst_n), .req_valid_i(win_valid), .req_ready_o(win_ready), .req_write_i(win_write), .req_addr_i(win_addr),
    .req_word_i(win_word), .req_wdata_i(win_wdata), .req_wstrb_i(win_wstrb), .rsp_valid_o(win_rsp_valid), .rsp_rdata_o(win_rdata),
    .rsp_err_o(win_rsp_err), .host_req_valid_o(req_valid), .host_req_ready_i(req_ready), .host_req_write_o(req_write),
    .host_req_addr_o(req_addr), .host_req_wdata_o(req_wdata), .host_req_wstrb_o(req_wstrb), .host_rsp_valid_i(rsp_valid),
    .host_rsp_rdata_i(rsp_rdata), .host_rsp_err_i(rsp_err), .frames_write_o(frames_write), .frames_word_o(frames_word),
    .frames_wdata_o(frames_wdata), .frames_rdata_i(frames_rdata), .irq_i(irq), .interrupt_o(interrupt_o),
    .memory_base_o(memory_base));

  logic         to_host_tvalid, to_host_tready, to_host_tlast, from_host_tvalid, from_host_tready, from_host_tlast;
  logic [511:0] to_host_tdata, from_host_tdata;
  logic [slotwire_pkg::VerdictBits-1:0] verdict;  // There is one queue.
  logic [63:0]  to_host_tkeep, from_host_tkeep;
  sw_window_frames u_frames (
    .clk_i(clk), .rst_ni(rst_n), .write_i(frames_write), .word_i(frames_word), .wdata_i(frames_wdata), .rdata_o(frames_rdata),
    .to_host_tvalid_i(to_host_tvalid), .to_host_tready_o(to_host_tready), .to_host_tdata_i(to_host_tdata),
    .to_host_tkeep_i(to_host_tkeep), .to_host_tlast_i(to_host_tlast), .from_host_tvalid_o(from_host_tvalid),
    .from_host_tready_i(from_host_tready), .from_host_tdata_o(from_host_tdata), .from_host_tkeep_o(from_host_tkeep),
    .from_host_tlast_o(from_host_tlast));

  // ---- slot memory --------------------------------------------------------------------------------------------------------

  logic                   rd_valid, rd_ready, mem_rsp_valid, mem_rsp_err, wr_valid, wr_ready, wr_done, wr_err;
  logic [MemLineBits-1:0] rd_addr, wr_addr;
  logic [511:0]           mem_rsp_data, wr_data;
  logic [63:0]            wr_strb;
  // Memory of 400 ns at 100 Gb/s has 78 lines on their way in each direction.
  sw_axi_master #(.Lines(1 << MemLineBits), .AddrW(64), .MaxReads(128), .MaxWrites(128)) u_memory (
    .clk_i(clk), .rst_ni(rst_n), .base_i(memory_base), .rd_valid_i(rd_valid), .rd_ready_o(rd_ready), .rd_addr_i(rd_addr),
    .rsp_valid_o(mem_rsp_valid), .rsp_data_o(mem_rsp_data), .rsp_err_o(mem_rsp_err), .wr_valid_i(wr_valid), .wr_ready_o(wr_ready),
    .wr_addr_i(wr_addr), .wr_data_i(wr_data), .wr_strb_i(wr_strb), .wr_done_o(wr_done), .wr_err_o(wr_err),
    .m_axi_awid_o(m_axi_memory_awid), .m_axi_awaddr_o(m_axi_memory_awaddr), .m_axi_awlen_o(m_axi_memory_awlen),
    .m_axi_awsize_o(m_axi_memory_awsize), .m_axi_awburst_o(m_axi_memory_awburst), .m_axi_awvalid_o(m_axi_memory_awvalid),
    .m_axi_awready_i(m_axi_memory_awready), .m_axi_wdata_o(m_axi_memory_wdata), .m_axi_wstrb_o(m_axi_memory_wstrb),
    .m_axi_wlast_o(m_axi_memory_wlast), .m_axi_wvalid_o(m_axi_memory_wvalid), .m_axi_wready_i(m_axi_memory_wready),
    .m_axi_bresp_i(m_axi_memory_bresp), .m_axi_bvalid_i(m_axi_memory_bvalid), .m_axi_bready_o(m_axi_memory_bready),
    .m_axi_arid_o(m_axi_memory_arid), .m_axi_araddr_o(m_axi_memory_araddr), .m_axi_arlen_o(m_axi_memory_arlen),
    .m_axi_arsize_o(m_axi_memory_arsize), .m_axi_arburst_o(m_axi_memory_arburst), .m_axi_arvalid_o(m_axi_memory_arvalid),
    .m_axi_arready_i(m_axi_memory_arready), .m_axi_rdata_i(m_axi_memory_rdata), .m_axi_rresp_i(m_axi_memory_rresp),
    .m_axi_rvalid_i(m_axi_memory_rvalid), .m_axi_rready_o(m_axi_memory_rready));

  // ---- the core -----------------------------------------------------------------------------------------------------------

  logic idle, sweep;
  // Without DMA.
  logic                         wr_dma;
  logic [15:0]                  wr_slot;
  slotwire_pkg::dma_from_core_t dma;
  slotwire_core #(
    .Slots(Slots), .Links(Links), .MemLineBits(MemLineBits), .MaxOrder(MaxOrder), .FrameLines(FrameLines), .Vectors(Vectors),
    .HostLines(HostLines), .BuildId(BuildId)
  ) u_core (
    .clk_i(clk), .rst_ni(rst_n), .now_us_i(now_us), .host_req_valid_i(req_valid), .host_req_ready_o(req_ready),
    .host_req_write_i(req_write), .host_req_addr_i(req_addr), .host_req_wdata_i(req_wdata), .host_req_wstrb_i(req_wstrb),
    .host_rsp_valid_o(rsp_valid), .host_rsp_rdata_o(rsp_rdata), .host_rsp_err_o(rsp_err), .irq_o(irq), .mem_rd_valid_o(rd_valid),
    .mem_rd_ready_i(rd_ready), .mem_rd_addr_o(rd_addr), .mem_rsp_valid_i(mem_rsp_valid), .mem_rsp_data_i(mem_rsp_data),
    .mem_rsp_err_i(mem_rsp_err), .mem_wr_valid_o(wr_valid), .mem_wr_ready_i(wr_ready), .mem_wr_addr_o(wr_addr),
    .mem_wr_data_o(wr_data), .mem_wr_strb_o(wr_strb), .mem_wr_done_i(wr_done), .mem_wr_err_i(wr_err), .mem_wr_dma_o(wr_dma),
    .mem_wr_slot_o(wr_slot), .dma_o(dma), .dma_i('0), .rx_tvalid_i(s_axis_rx_tvalid),
    .rx_tready_o(s_axis_rx_tready), .rx_tdata_i(s_axis_rx_tdata), .rx_tkeep_i(s_axis_rx_tkeep), .rx_tlast_i(s_axis_rx_tlast),
    .rx_tuser_i(1'b0), .tx_tvalid_o(m_axis_tx_tvalid), .tx_tready_i(m_axis_tx_tready), .tx_tdata_o(m_axis_tx_tdata),
    .tx_tkeep_o(m_axis_tx_tkeep), .tx_tlast_o(m_axis_tx_tlast), .to_host_tvalid_o(to_host_tvalid),
    .to_host_tready_i(to_host_tready), .to_host_tdata_o(to_host_tdata), .to_host_tkeep_o(to_host_tkeep),
    .to_host_tlast_o(to_host_tlast), .to_host_tuser_o(verdict), .from_host_tvalid_i(from_host_tvalid), .from_host_tready_o(from_host_tready),
    .from_host_tdata_i(from_host_tdata), .from_host_tkeep_i(from_host_tkeep), .from_host_tlast_i(from_host_tlast), .idle_o(idle),
    .sweep_o(sweep));

  logic unused;
  assign unused = &{1'b0, wr_dma, wr_slot, dma, verdict, m_axi_memory_bid, m_axi_memory_rid, m_axi_memory_rlast, idle, sweep};

endmodule
