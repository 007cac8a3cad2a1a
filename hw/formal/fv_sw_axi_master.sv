// Proof of sw_axi_master: every read and write goes out once, in order, to its address; what the memory answers comes back in
// order; no more is outstanding than it says; AXI's rule that what is offered stays.
`include "fv_reset.svh"
`include "sw_assert.svh"

module fv_sw_axi_master (
  input logic       clk_i,
  input logic       rst_ni,
  input logic       mark_i,
  input logic       rd_valid_i,
  input logic [1:0] rd_addr_i,
  input logic       wr_valid_i,
  input logic [1:0] wr_addr_i,
  input logic [1:0] wr_data_i,
  input logic [1:0] wr_strb_i,
  input logic       awready_i,
  input logic       wready_i,
  input logic [1:0] bresp_i,
  input logic       bvalid_i,
  input logic       arready_i,
  input logic [1:0] rdata_i,
  input logic [1:0] rresp_i,
  input logic       rvalid_i
);

  `FV_RESET

  localparam int unsigned MaxReads = 4;
  localparam int unsigned MaxWrites = 4;
  localparam logic [7:0] Base = 8'h48;

  logic rd_ready, rsp_valid, rsp_err, wr_ready, wr_done, wr_err, unused_awid, unused_arid, awvalid, wvalid, wlast, arvalid;
  logic rready, bready;
  logic [15:0] rsp_data, wdata;
  logic [7:0] awaddr, araddr, awlen, arlen;
  logic [2:0] awsize, arsize;
  logic [1:0] awburst, arburst, wstrb;

  sw_axi_master #(
    .Lines(4),
    .AddrW(8),
    .MaxReads(MaxReads),
    .MaxWrites(MaxWrites),
    .DataW(16)
  ) u_dut (
    .clk_i,
    .rst_ni,
    .base_i         (Base),
    .rd_valid_i,
    .rd_ready_o     (rd_ready),
    .rd_addr_i,
    .rsp_valid_o    (rsp_valid),
    .rsp_data_o     (rsp_data),
    .rsp_err_o      (rsp_err),
    .wr_valid_i,
    .wr_ready_o     (wr_ready),
    .wr_addr_i,
    .wr_data_i      ({14'h0, wr_data_i}),
    .wr_strb_i,
    .wr_done_o      (wr_done),
    .wr_err_o       (wr_err),
    .m_axi_awid_o   (unused_awid),
    .m_axi_awaddr_o (awaddr),
    .m_axi_awlen_o  (awlen),
    .m_axi_awsize_o (awsize),
    .m_axi_awburst_o(awburst),
    .m_axi_awvalid_o(awvalid),
    .m_axi_awready_i(awready_i),
    .m_axi_wdata_o  (wdata),
    .m_axi_wstrb_o  (wstrb),
    .m_axi_wlast_o  (wlast),
    .m_axi_wvalid_o (wvalid),
    .m_axi_wready_i (wready_i),
    .m_axi_bresp_i  (bresp_i),
    .m_axi_bvalid_i (bvalid_i),
    .m_axi_bready_o (bready),
    .m_axi_arid_o   (unused_arid),
    .m_axi_araddr_o (araddr),
    .m_axi_arlen_o  (arlen),
    .m_axi_arsize_o (arsize),
    .m_axi_arburst_o(arburst),
    .m_axi_arvalid_o(arvalid),
    .m_axi_arready_i(arready_i),
    .m_axi_rdata_i  ({14'h0, rdata_i}),
    .m_axi_rresp_i  (rresp_i),
    .m_axi_rvalid_i (rvalid_i),
    .m_axi_rready_o (rready)
  );

  // The memory answers what it was asked, when it has been asked: B after both address and data.
  logic [3:0] ar_q, aw_q, w_q;  // taken by the memory and not answered
  logic [3:0] reads_q, writes_q;  // taken at the port and not answered there
  logic rd, wr;
  assign rd = rd_valid_i && rd_ready;
  assign wr = wr_valid_i && wr_ready;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      ar_q <= '0;
      aw_q <= '0;
      w_q <= '0;
      reads_q <= '0;
      writes_q <= '0;
    end else begin
      ar_q <= ar_q + 4'(arvalid && arready_i) - 4'(rvalid_i);
      aw_q <= aw_q + 4'(awvalid && awready_i) - 4'(bvalid_i);
      w_q <= w_q + 4'(wvalid && wready_i) - 4'(bvalid_i);
      reads_q <= reads_q + 4'(rd) - 4'(rsp_valid);
      writes_q <= writes_q + 4'(wr) - 4'(wr_done);
    end
  end

  `SW_ASSUME(AnswersToReads, !rvalid_i || ar_q != '0)
  `SW_ASSUME(AnswersToWrites, !bvalid_i || (aw_q != '0 && w_q != '0))
  `SW_ASSERT(AnswersAreTaken, rready && bready)
  `SW_ASSERT(ReadsBounded, ar_q <= 4'(MaxReads) && reads_q <= 4'(MaxReads + 1))
  `SW_ASSERT(WritesBounded, aw_q <= 4'(MaxWrites) && w_q <= 4'(MaxWrites) && writes_q <= 4'(MaxWrites + 1))
  `SW_ASSERT(ReadsWereAsked, !rsp_valid || reads_q != '0)
  `SW_ASSERT(WritesWereAsked, !wr_done || writes_q != '0)
  `SW_ASSERT(OneBeat, awlen == '0 && arlen == '0 && wlast && awsize == 3'd1 && arsize == 3'd1 && awburst == 2'b01 && arburst == 2'b01)
  `SW_COVER(AllReads, reads_q == 4'(MaxReads))
  `SW_COVER(WriteDone, wr_done && wr_err)

  fv_stable #(.Width(8)) u_stable_ar (.clk_i, .rst_ni, .valid_i(arvalid), .ready_i(arready_i), .data_i(araddr));
  fv_stable #(.Width(8)) u_stable_aw (.clk_i, .rst_ni, .valid_i(awvalid), .ready_i(awready_i), .data_i(awaddr));
  fv_stable #(.Width(18)) u_stable_w (.clk_i, .rst_ni, .valid_i(wvalid), .ready_i(wready_i), .data_i({wstrb, wdata}));

  logic [1:0] unused_inside_ar, unused_inside_aw, unused_inside_w, unused_inside_r, unused_inside_b;
  fv_scoreboard #(.Width(8), .Capacity(2), .MaxWait(0)) u_ar (
    .clk_i, .rst_ni, .mark_i, .in_i(rd), .in_data_i(Base + {5'h0, rd_addr_i, 1'b0}),
    .out_valid_i(arvalid), .out_ready_i(arready_i), .out_data_i(araddr), .inside_o(unused_inside_ar)
  );
  fv_scoreboard #(.Width(8), .Capacity(2), .MaxWait(0)) u_aw (
    .clk_i, .rst_ni, .mark_i, .in_i(wr), .in_data_i(Base + {5'h0, wr_addr_i, 1'b0}),
    .out_valid_i(awvalid), .out_ready_i(awready_i), .out_data_i(awaddr), .inside_o(unused_inside_aw)
  );
  fv_scoreboard #(.Width(18), .Capacity(2), .MaxWait(0)) u_w (
    .clk_i, .rst_ni, .mark_i, .in_i(wr), .in_data_i({wr_strb_i, 14'h0, wr_data_i}),
    .out_valid_i(wvalid), .out_ready_i(wready_i), .out_data_i({wstrb, wdata}), .inside_o(unused_inside_w)
  );
  fv_scoreboard #(.Width(17), .Capacity(1), .MaxWait(0)) u_r (
    .clk_i, .rst_ni, .mark_i, .in_i(rvalid_i), .in_data_i({rresp_i[1], 14'h0, rdata_i}),
    .out_valid_i(rsp_valid), .out_ready_i(1'b1), .out_data_i({rsp_err, rsp_data}), .inside_o(unused_inside_r)
  );
  fv_scoreboard #(.Width(1), .Capacity(1), .MaxWait(0)) u_b (
    .clk_i, .rst_ni, .mark_i, .in_i(bvalid_i), .in_data_i(bresp_i[1]),
    .out_valid_i(wr_done), .out_ready_i(1'b1), .out_data_i(wr_err), .inside_o(unused_inside_b)
  );

endmodule
