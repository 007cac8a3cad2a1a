// For tests: a slot memory port that goes through both AXI adapters to a slow memory, so that it must still keep the contract.
module rtl_axi_loop #(
  parameter int unsigned Lines = 16,
  localparam int unsigned AddrW = $clog2(Lines)
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic [31:0]      seed_i,
  input  logic             rd_valid_i,
  output logic             rd_ready_o,
  input  logic [AddrW-1:0] rd_addr_i,
  output logic             rsp_valid_o,
  output logic [511:0]     rsp_data_o,
  output logic             rsp_err_o,
  input  logic             wr_valid_i,
  output logic             wr_ready_o,
  input  logic [AddrW-1:0] wr_addr_i,
  input  logic [511:0]     wr_data_i,
  input  logic [63:0]      wr_strb_i,
  output logic             wr_done_o,
  output logic             wr_err_o,
  input  logic             stall_data_i,  // No data of writes passes in this clock.
  input  logic             refuse_i,  // What memory answers in this clock it refuses.
  input  logic             inject_err_i
);

  localparam int unsigned ByteW = 16;
  localparam logic [ByteW-1:0] Base = 16'h4000;

  logic awid, bid, arid, rid, awvalid, awready, wlast, wvalid, wready, bvalid, bready, arvalid, arready, rlast, rvalid, rready;
  logic [ByteW-1:0] awaddr, araddr;
  logic [7:0] awlen, arlen;
  logic [2:0] awsize, arsize;
  logic [1:0] awburst, arburst, bresp, rresp;
  logic [511:0] wdata, rdata;
  logic [63:0] wstrb;

  sw_axi_master #(
    .Lines(Lines),
    .AddrW(ByteW),
    .MaxReads(8),
    .MaxWrites(4)
  ) u_master (
    .clk_i,
    .rst_ni,
    .base_i         (Base),
    .rd_valid_i,
    .rd_ready_o,
    .rd_addr_i,
    .rsp_valid_o,
    .rsp_data_o,
    .rsp_err_o,
    .wr_valid_i,
    .wr_ready_o,
    .wr_addr_i,
    .wr_data_i,
    .wr_strb_i,
    .wr_done_o,
    .wr_err_o,
    .m_axi_awid_o   (awid),
    .m_axi_awaddr_o (awaddr),
    .m_axi_awlen_o  (awlen),
    .m_axi_awsize_o (awsize),
    .m_axi_awburst_o(awburst),
    .m_axi_awvalid_o(awvalid),
    .m_axi_awready_i(awready),
    .m_axi_wdata_o  (wdata),
    .m_axi_wstrb_o  (wstrb),
    .m_axi_wlast_o  (wlast),
    .m_axi_wvalid_o (wvalid),
    .m_axi_wready_i (wready && !stall_data_i),
    .m_axi_bresp_i  (refuse_i ? 2'b10 : bresp),
    .m_axi_bvalid_i (bvalid),
    .m_axi_bready_o (bready),
    .m_axi_arid_o   (arid),
    .m_axi_araddr_o (araddr),
    .m_axi_arlen_o  (arlen),
    .m_axi_arsize_o (arsize),
    .m_axi_arburst_o(arburst),
    .m_axi_arvalid_o(arvalid),
    .m_axi_arready_i(arready),
    .m_axi_rdata_i  (rdata),
    .m_axi_rresp_i  (rresp),
    .m_axi_rvalid_i (rvalid),
    .m_axi_rready_o (rready)
  );

  logic req_valid, req_ready, req_write, line_valid, line_err;
  logic [ByteW-1:0] req_addr;
  logic [511:0] req_wdata, line;
  logic [63:0] req_wstrb;

  sw_axi_slave #(
    .AddrW(ByteW),
    .IdW(1),
    .MaxReads(8)
  ) u_slave (
    .clk_i,
    .rst_ni,
    .s_axi_awid_i    (awid),
    .s_axi_awaddr_i  (awaddr),
    .s_axi_awlen_i   (awlen),
    .s_axi_awsize_i  (awsize),
    .s_axi_awburst_i (awburst),
    .s_axi_awvalid_i (awvalid),
    .s_axi_awready_o (awready),
    .s_axi_wdata_i   (wdata),
    .s_axi_wstrb_i   (wstrb),
    .s_axi_wlast_i   (wlast),
    .s_axi_wvalid_i  (wvalid && !stall_data_i),
    .s_axi_wready_o  (wready),
    .s_axi_bid_o     (bid),
    .s_axi_bresp_o   (bresp),
    .s_axi_bvalid_o  (bvalid),
    .s_axi_bready_i  (bready),
    .s_axi_arid_i    (arid),
    .s_axi_araddr_i  (araddr),
    .s_axi_arlen_i   (arlen),
    .s_axi_arsize_i  (arsize),
    .s_axi_arburst_i (arburst),
    .s_axi_arvalid_i (arvalid),
    .s_axi_arready_o (arready),
    .s_axi_rid_o     (rid),
    .s_axi_rdata_o   (rdata),
    .s_axi_rresp_o   (rresp),
    .s_axi_rlast_o   (rlast),
    .s_axi_rvalid_o  (rvalid),
    .s_axi_rready_i  (rready),
    .host_req_valid_o(req_valid),
    .host_req_ready_i(req_ready),
    .host_req_write_o(req_write),
    .host_req_addr_o (req_addr),
    .host_req_wdata_o(req_wdata),
    .host_req_wstrb_o(req_wstrb),
    .host_rsp_valid_i(line_valid),
    .host_rsp_rdata_i(line),
    .host_rsp_err_i  (line_err)
  );

  // A write is taken when it is done: B means that a read sees it.
  logic mem_rd_ready, mem_wr_ready, mem_wr_done, writing_q;

  assign req_ready = req_write ? mem_wr_done : mem_rd_ready;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) writing_q <= 1'b0;
    else if (mem_wr_done) writing_q <= 1'b0;
    else if (req_valid && req_write && mem_wr_ready) writing_q <= 1'b1;
  end

  sw_slot_mem_delay #(
    .Lines(Lines)
  ) u_mem (
    .clk_i,
    .rst_ni,
    .seed_i,
    .rd_valid_i (req_valid && !req_write),
    .rd_ready_o (mem_rd_ready),
    .rd_addr_i  (req_addr[6+:AddrW]),
    .rsp_valid_o(line_valid),
    .rsp_data_o (line),
    .rsp_err_o  (line_err),
    .wr_valid_i (req_valid && req_write && !writing_q),
    .wr_ready_o (mem_wr_ready),
    .wr_addr_i  (req_addr[6+:AddrW]),
    .wr_data_i  (req_wdata),
    .wr_strb_i  (req_wstrb),
    .wr_done_o  (mem_wr_done),
    .inject_err_i
  );

  // Both ends agree on where line 0 is.
  logic [ByteW-1:0] unused_addr;
  assign unused_addr = req_addr ^ Base;
  logic unused_ids;
  assign unused_ids = bid ^ rid ^ rlast;

endmodule
