// The core in the 250 MHz user box of OpenNIC: one physical function and one port, with slot memory on the chip. Adapters only; port
// names are the box's.
//
// What is the card's goes no further than here; all other packets of the port go to the host's network interface, and the host's
// packets go out. Packets that enter the shell carry their sizes from their first beat on, so they are kept until they are whole.

module slotwire_opennic #(
  parameter int unsigned Slots = 1024,  // As slotwire_core's.
  parameter int unsigned Links = 64,
  parameter int unsigned MemLineBits = 16,  // 4 MiB of slot memory, in UltraRAM.
  parameter int unsigned MaxOrder = 12,
  parameter int unsigned FrameLines = 22,  // A packet of OpenNIC's 1518 bytes.
  parameter int unsigned HostLines = 512,
  parameter int unsigned MicrosecondClocks = 250,  // Of axis_aclk.
  parameter int unsigned MemLatency = 3,
  parameter int unsigned MemStyle = 2,
  parameter int unsigned Function = 0,  // The host's side: number of the physical function.
  parameter int unsigned Port = 0,  // The wire's side: number of the port.
  parameter logic [31:0] BuildId = 32'd0
) (
  input  logic         s_axil_awvalid,
  input  logic [31:0]  s_axil_awaddr,
  output logic         s_axil_awready,
  input  logic         s_axil_wvalid,
  input  logic [31:0]  s_axil_wdata,
  output logic         s_axil_wready,
  output logic         s_axil_bvalid,
  output logic [1:0]   s_axil_bresp,
  input  logic         s_axil_bready,
  input  logic         s_axil_arvalid,
  input  logic [31:0]  s_axil_araddr,
  output logic         s_axil_arready,
  output logic         s_axil_rvalid,
  output logic [31:0]  s_axil_rdata,
  output logic [1:0]   s_axil_rresp,
  input  logic         s_axil_rready,

  input  logic         s_axis_qdma_h2c_tvalid,
  input  logic [511:0] s_axis_qdma_h2c_tdata,
  input  logic [63:0]  s_axis_qdma_h2c_tkeep,
  input  logic         s_axis_qdma_h2c_tlast,
  input  logic [15:0]  s_axis_qdma_h2c_tuser_size,
  input  logic [15:0]  s_axis_qdma_h2c_tuser_src,
  input  logic [15:0]  s_axis_qdma_h2c_tuser_dst,
  output logic         s_axis_qdma_h2c_tready,

  output logic         m_axis_qdma_c2h_tvalid,
  output logic [511:0] m_axis_qdma_c2h_tdata,
  output logic [63:0]  m_axis_qdma_c2h_tkeep,
  output logic         m_axis_qdma_c2h_tlast,
  output logic [15:0]  m_axis_qdma_c2h_tuser_size,
  output logic [15:0]  m_axis_qdma_c2h_tuser_src,
  output logic [15:0]  m_axis_qdma_c2h_tuser_dst,
  input  logic         m_axis_qdma_c2h_tready,

  output logic         m_axis_adap_tx_250mhz_tvalid,
  output logic [511:0] m_axis_adap_tx_250mhz_tdata,
  output logic [63:0]  m_axis_adap_tx_250mhz_tkeep,
  output logic         m_axis_adap_tx_250mhz_tlast,
  output logic [15:0]  m_axis_adap_tx_250mhz_tuser_size,
  output logic [15:0]  m_axis_adap_tx_250mhz_tuser_src,
  output logic [15:0]  m_axis_adap_tx_250mhz_tuser_dst,
  input  logic         m_axis_adap_tx_250mhz_tready,

  input  logic         s_axis_adap_rx_250mhz_tvalid,
  input  logic [511:0] s_axis_adap_rx_250mhz_tdata,
  input  logic [63:0]  s_axis_adap_rx_250mhz_tkeep,
  input  logic         s_axis_adap_rx_250mhz_tlast,
  input  logic [15:0]  s_axis_adap_rx_250mhz_tuser_size,
  input  logic [15:0]  s_axis_adap_rx_250mhz_tuser_src,
  input  logic [15:0]  s_axis_adap_rx_250mhz_tuser_dst,
  output logic         s_axis_adap_rx_250mhz_tready,

  input  logic         mod_rstn,
  output logic         mod_rst_done,
  input  logic         axil_aclk,
  input  logic         axis_aclk
);

  localparam int unsigned Vectors = 1;
  localparam int unsigned PortBit = 6;  // Of tuser_src and tuser_dst, where the ports begin.

  logic clk, rst_n, axil_rst_n;
  assign clk = axis_aclk;
  sw_reset_sync u_reset (.clk_i(clk), .rst_ni(mod_rstn), .rst_no(rst_n));
  sw_reset_sync u_reset_axil (.clk_i(axil_aclk), .rst_ni(mod_rstn), .rst_no(axil_rst_n));
  logic up_q;
  always_ff @(posedge clk) up_q <= rst_n;
  sw_sync_level u_done (.clk_i(axil_aclk), .rst_ni(axil_rst_n), .d_i(up_q), .q_o(mod_rst_done));

  logic [31:0] now_us;
  sw_microseconds #(.Clocks(MicrosecondClocks)) u_time (.clk_i(clk), .rst_ni(rst_n), .now_us_o(now_us));

  // ---- the window ---------------------------------------------------------------------------------------------------------

  logic         axl_valid, axl_ready, axl_write, axl_rsp_valid, axl_rsp_err;
  logic [19:0]  axl_addr;
  logic [3:0]   axl_word;
  logic [511:0] axl_wdata, axl_rdata;
  logic [63:0]  axl_wstrb;
  // The box has no strobes.
  sw_axil_slave #(.AddrW(slotwire_pkg::WindowBits)) u_axil (
    .clk_i(axil_aclk), .rst_ni(axil_rst_n), .s_axil_awaddr_i(s_axil_awaddr[19:0]), .s_axil_awvalid_i(s_axil_awvalid),
    .s_axil_awready_o(s_axil_awready), .s_axil_wdata_i(s_axil_wdata), .s_axil_wstrb_i(4'hf), .s_axil_wvalid_i(s_axil_wvalid),
    .s_axil_wready_o(s_axil_wready), .s_axil_bresp_o(s_axil_bresp), .s_axil_bvalid_o(s_axil_bvalid),
    .s_axil_bready_i(s_axil_bready), .s_axil_araddr_i(s_axil_araddr[19:0]), .s_axil_arvalid_i(s_axil_arvalid),
    .s_axil_arready_o(s_axil_arready), .s_axil_rdata_o(s_axil_rdata), .s_axil_rresp_o(s_axil_rresp),
    .s_axil_rvalid_o(s_axil_rvalid), .s_axil_rready_i(s_axil_rready), .host_req_valid_o(axl_valid), .host_req_ready_i(axl_ready),
    .host_req_write_o(axl_write), .host_req_addr_o(axl_addr), .host_req_word_o(axl_word), .host_req_wdata_o(axl_wdata),
    .host_req_wstrb_o(axl_wstrb), .host_rsp_valid_i(axl_rsp_valid), .host_rsp_rdata_i(axl_rdata), .host_rsp_err_i(axl_rsp_err));

  logic         win_valid, win_ready, win_write, win_rsp_valid, win_rsp_err;
  logic [19:0]  win_addr;
  logic [3:0]   win_word;
  logic [511:0] win_wdata, win_rdata;
  logic [63:0]  win_wstrb;
  sw_window_cdc u_cdc (
    .s_clk_i(axil_aclk), .s_rst_ni(axil_rst_n), .s_req_valid_i(axl_valid), .s_req_ready_o(axl_ready), .s_req_write_i(axl_write),
    .s_req_addr_i(axl_addr), .s_req_word_i(axl_word), .s_req_wdata_i(axl_wdata), .s_req_wstrb_i(axl_wstrb),
    .s_rsp_valid_o(axl_rsp_valid), .s_rsp_rdata_o(axl_rdata), .s_rsp_err_o(axl_rsp_err), .m_clk_i(clk), .m_rst_ni(rst_n),
    .m_req_valid_o(win_valid), .m_req_ready_i(win_ready), .m_req_write_o(win_write), .m_req_addr_o(win_addr),
    .m_req_word_o(win_word), .m_req_wdata_o(win_wdata), .m_req_wstrb_o(win_wstrb), .m_rsp_valid_i(win_rsp_valid),
    .m_rsp_rdata_i(win_rdata), .m_rsp_err_i(win_rsp_err));

  logic               req_valid, req_ready, req_write, rsp_valid, rsp_err, interrupt_line, frames_write;
  logic [28:0]        req_addr;
  logic [511:0]       req_wdata, rsp_rdata;
  logic [63:0]        req_wstrb, memory_base;
  logic [5:0]         frames_word;
  logic [31:0]        frames_wdata;
  logic [Vectors-1:0] irq;
  sw_window #(.Vectors(Vectors)) u_window (
    .clk_i(clk), .rst_ni(rst_n), .req_valid_i(win_valid), .req_ready_o(win_ready), .req_write_i(win_write), .req_addr_i(win_addr),
    .req_word_i(win_word), .req_wdata_i(win_wdata), .req_wstrb_i(win_wstrb), .rsp_valid_o(win_rsp_valid), .rsp_rdata_o(win_rdata),
    .rsp_err_o(win_rsp_err), .host_req_valid_o(req_valid), .host_req_ready_i(req_ready), .host_req_write_o(req_write),
    .host_req_addr_o(req_addr), .host_req_wdata_o(req_wdata), .host_req_wstrb_o(req_wstrb), .host_rsp_valid_i(rsp_valid),
    .host_rsp_rdata_i(rsp_rdata), .host_rsp_err_i(rsp_err), .frames_write_o(frames_write), .frames_word_o(frames_word),
    .frames_wdata_o(frames_wdata), .frames_rdata_i(32'd0), .irq_i(irq), .interrupt_o(interrupt_line),
    .memory_base_o(memory_base));

  // ---- slot memory --------------------------------------------------------------------------------------------------------

  logic                   rd_valid, rd_ready, mem_rsp_valid, mem_rsp_err, wr_valid, wr_ready, wr_done;
  logic [MemLineBits-1:0] rd_addr, wr_addr;
  logic [511:0]           mem_rsp_data, wr_data;
  logic [63:0]            wr_strb;
  sw_slot_mem #(.Lines(1 << MemLineBits), .ReadLatency(MemLatency), .Style(MemStyle)) u_memory (
    .clk_i(clk), .rst_ni(rst_n), .rd_valid_i(rd_valid), .rd_ready_o(rd_ready), .rd_addr_i(rd_addr), .rsp_valid_o(mem_rsp_valid),
    .rsp_data_o(mem_rsp_data), .rsp_err_o(mem_rsp_err), .wr_valid_i(wr_valid), .wr_ready_o(wr_ready), .wr_addr_i(wr_addr),
    .wr_data_i(wr_data), .wr_strb_i(wr_strb), .wr_done_o(wr_done), .inject_err_i(1'b0));

  // ---- the core -----------------------------------------------------------------------------------------------------------

  logic         tx_tvalid, tx_tready, tx_tlast, to_host_tvalid, to_host_tready, to_host_tlast, idle, sweep;
  logic [511:0] tx_tdata, to_host_tdata;
  logic [slotwire_pkg::VerdictBits-1:0] verdict;  // The shell itself chooses the host's queue.
  logic [63:0]  tx_tkeep, to_host_tkeep;
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
    .mem_wr_data_o(wr_data), .mem_wr_strb_o(wr_strb), .mem_wr_done_i(wr_done), .mem_wr_err_i(1'b0), .mem_wr_dma_o(wr_dma),
    .mem_wr_slot_o(wr_slot), .dma_o(dma), .dma_i('0), .rx_tvalid_i(s_axis_adap_rx_250mhz_tvalid),
    .rx_tready_o(s_axis_adap_rx_250mhz_tready), .rx_tdata_i(s_axis_adap_rx_250mhz_tdata),
    .rx_tkeep_i(s_axis_adap_rx_250mhz_tkeep), .rx_tlast_i(s_axis_adap_rx_250mhz_tlast), .rx_tuser_i(1'b0),
    .tx_tvalid_o(tx_tvalid), .tx_tready_i(tx_tready), .tx_tdata_o(tx_tdata), .tx_tkeep_o(tx_tkeep), .tx_tlast_o(tx_tlast),
    .to_host_tvalid_o(to_host_tvalid), .to_host_tready_i(to_host_tready), .to_host_tdata_o(to_host_tdata),
    .to_host_tkeep_o(to_host_tkeep), .to_host_tlast_o(to_host_tlast), .to_host_tuser_o(verdict), .from_host_tvalid_i(s_axis_qdma_h2c_tvalid),
    .from_host_tready_o(s_axis_qdma_h2c_tready), .from_host_tdata_i(s_axis_qdma_h2c_tdata),
    .from_host_tkeep_i(s_axis_qdma_h2c_tkeep), .from_host_tlast_i(s_axis_qdma_h2c_tlast), .idle_o(idle), .sweep_o(sweep));

  // ---- into the shell -----------------------------------------------------------------------------------------------------

  sw_axis_size u_tx (
    .clk_i(clk), .rst_ni(rst_n), .s_tvalid_i(tx_tvalid), .s_tready_o(tx_tready), .s_tdata_i(tx_tdata), .s_tkeep_i(tx_tkeep),
    .s_tlast_i(tx_tlast), .m_tvalid_o(m_axis_adap_tx_250mhz_tvalid), .m_tready_i(m_axis_adap_tx_250mhz_tready),
    .m_tdata_o(m_axis_adap_tx_250mhz_tdata), .m_tkeep_o(m_axis_adap_tx_250mhz_tkeep), .m_tlast_o(m_axis_adap_tx_250mhz_tlast),
    .m_size_o(m_axis_adap_tx_250mhz_tuser_size));
  assign m_axis_adap_tx_250mhz_tuser_src = 16'd1 << Function;
  assign m_axis_adap_tx_250mhz_tuser_dst = 16'd1 << (PortBit + Port);

  sw_axis_size u_c2h (
    .clk_i(clk), .rst_ni(rst_n), .s_tvalid_i(to_host_tvalid), .s_tready_o(to_host_tready), .s_tdata_i(to_host_tdata),
    .s_tkeep_i(to_host_tkeep), .s_tlast_i(to_host_tlast), .m_tvalid_o(m_axis_qdma_c2h_tvalid),
    .m_tready_i(m_axis_qdma_c2h_tready), .m_tdata_o(m_axis_qdma_c2h_tdata), .m_tkeep_o(m_axis_qdma_c2h_tkeep),
    .m_tlast_o(m_axis_qdma_c2h_tlast), .m_size_o(m_axis_qdma_c2h_tuser_size));
  assign m_axis_qdma_c2h_tuser_src = 16'd1 << (PortBit + Port);
  assign m_axis_qdma_c2h_tuser_dst = 16'd1 << Function;

  // Of packets that leave the shell the bytes in tkeep tell the size; sources and destinations do not matter to one port.
  logic unused;
  assign unused = &{1'b0, wr_dma, wr_slot, dma, verdict, s_axil_awaddr[31:20], s_axil_araddr[31:20], s_axis_qdma_h2c_tuser_size, s_axis_qdma_h2c_tuser_src,
                    s_axis_qdma_h2c_tuser_dst, s_axis_adap_rx_250mhz_tuser_size, s_axis_adap_rx_250mhz_tuser_src,
                    s_axis_adap_rx_250mhz_tuser_dst, interrupt_line, memory_base, frames_write, frames_word, frames_wdata, idle,
                    sweep};

endmodule
