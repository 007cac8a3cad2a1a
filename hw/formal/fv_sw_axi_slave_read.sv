// Proof of the read side of sw_axi_slave, with writes going on: requests, and that R gives the lines that came back.
`include "fv_reset.svh"
`include "sw_assert.svh"

module fv_sw_axi_slave_read #(
  parameter int unsigned Others = 1  // 0: nothing goes on in the other direction.
) (
  input logic       clk_i,
  input logic       rst_ni,
  input logic       mark_i,
  input logic       awid_i,
  input logic [3:0] awaddr_i,
  input logic       awlen_i,
  input logic [1:0] awsize_i,
  input logic [1:0] awburst_i,
  input logic       awvalid_i,
  input logic       wdata_i,
  input logic [1:0] wstrb_i,
  input logic       wlast_i,
  input logic       wvalid_i,
  input logic       bready_i,
  input logic       arid_i,
  input logic [3:0] araddr_i,
  input logic       arlen_i,
  input logic [1:0] arsize_i,
  input logic [1:0] arburst_i,
  input logic       arvalid_i,
  input logic       rready_i,
  input logic       host_req_ready_i,
  input logic       host_rsp_valid_i,
  input logic       host_rsp_rdata_i,
  input logic       host_rsp_err_i
);

  `FV_RESET

  localparam int unsigned QueueDepth = 2;
  localparam int unsigned MaxReads = 2;

  logic awready, wready, bid, bvalid, arready, rid, rlast, rvalid, req_valid, req_write;
  logic [1:0] bresp, rresp, req_wstrb;
  logic [15:0] rdata, req_wdata;
  logic [6:0] req_addr;

  sw_axi_slave #(
    .AddrW(7),
    .IdW(1),
    .MaxReads(MaxReads),
    .QueueDepth(QueueDepth),
    .DataW(16)
  ) u_dut (
    .clk_i,
    .rst_ni,
    .s_axi_awid_i    (awid_i),
    .s_axi_awaddr_i  ({3'h0, awaddr_i}),
    .s_axi_awlen_i   ({7'h0, awlen_i}),
    .s_axi_awsize_i  ({1'b0, awsize_i}),
    .s_axi_awburst_i (awburst_i),
    .s_axi_awvalid_i (awvalid_i && Others != 0),
    .s_axi_awready_o (awready),
    .s_axi_wdata_i   ({15'h0, wdata_i}),
    .s_axi_wstrb_i   (wstrb_i),
    .s_axi_wlast_i   (wlast_i),
    .s_axi_wvalid_i  (wvalid_i),
    .s_axi_wready_o  (wready),
    .s_axi_bid_o     (bid),
    .s_axi_bresp_o   (bresp),
    .s_axi_bvalid_o  (bvalid),
    .s_axi_bready_i  (bready_i),
    .s_axi_arid_i    (arid_i),
    .s_axi_araddr_i  ({3'h0, araddr_i}),
    .s_axi_arlen_i   ({7'h0, arlen_i}),
    .s_axi_arsize_i  ({1'b0, arsize_i}),
    .s_axi_arburst_i (arburst_i),
    .s_axi_arvalid_i (arvalid_i),
    .s_axi_arready_o (arready),
    .s_axi_rid_o     (rid),
    .s_axi_rdata_o   (rdata),
    .s_axi_rresp_o   (rresp),
    .s_axi_rlast_o   (rlast),
    .s_axi_rvalid_o  (rvalid),
    .s_axi_rready_i  (rready_i),
    .host_req_valid_o(req_valid),
    .host_req_ready_i(host_req_ready_i),
    .host_req_write_o(req_write),
    .host_req_addr_o (req_addr),
    .host_req_wdata_o(req_wdata),
    .host_req_wstrb_o(req_wstrb),
    .host_rsp_valid_i(host_rsp_valid_i),
    .host_rsp_rdata_i({15'h0, host_rsp_rdata_i}),
    .host_rsp_err_i  (host_rsp_err_i)
  );

  // What the core promises: answers to reads that it took, no others.
  logic [2:0] asked_q;
  logic req, req_read;
  assign req = req_valid && host_req_ready_i;
  assign req_read = req && !req_write;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) asked_q <= '0;
    else asked_q <= asked_q + 3'(req_read) - 3'(host_rsp_valid_i);
  end
  `SW_ASSUME(AnswersAreAskedFor, !host_rsp_valid_i || asked_q != '0)
  `SW_ASSERT(ReadsBounded, asked_q <= 3'(MaxReads))

  fv_stable #(.Width(26)) u_stable_req (
    .clk_i,
    .rst_ni,
    .valid_i(req_valid),
    .ready_i(host_req_ready_i),
    .data_i ({req_write, req_addr, req_wdata, req_wstrb})
  );

  fv_stable #(.Width(20)) u_stable_r (
    .clk_i,
    .rst_ni,
    .valid_i(rvalid),
    .ready_i(rready_i),
    .data_i ({rid, rlast, rresp, rdata})
  );

  logic chosen, now, bad, mine;
  logic [4:0] taken;
  logic [7:0] len;

  fv_axi_burst #(
    .AddrW(7),
    .LineW(1),
    .MaxBeats(16)
  ) u_burst (
    .clk_i,
    .rst_ni,
    .mark_i,
    .burst_i   (arvalid_i && arready),
    .addr_i    ({3'h0, araddr_i}),
    .len_i     ({7'h0, arlen_i}),
    .size_i    ({1'b0, arsize_i}),
    .kind_i    (arburst_i),
    .req_i     (req_read),
    .req_addr_i(req_addr),
    .chosen_o  (chosen),
    .now_o     (now),
    .bad_o     (bad),
    .taken_o   (taken),
    .len_o     (len),
    .mine_o    (mine)
  );

  // The line that answers beat 0 of the burst, and beats on R before those of the burst.
  logic line_wanted_q, line_had_q, line_data_q, line_err_q, id_q, gone_q;
  logic [2:0] line_ahead_q;
  logic [4:0] beats_q, r_ahead_q;
  logic [1:0] r_beat_q;
  logic r, r_mine;
  assign r = rvalid && rready_i;
  assign r_mine = chosen && !gone_q && rvalid && r_ahead_q == '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      line_wanted_q <= 1'b0;
      line_had_q <= 1'b0;
      beats_q <= '0;
      r_beat_q <= '0;
      gone_q <= 1'b0;
    end else begin
      if (mine && taken == '0) begin
        line_wanted_q <= 1'b1;
        line_ahead_q <= asked_q - 3'(host_rsp_valid_i);
      end else if (line_wanted_q && !line_had_q && host_rsp_valid_i) begin
        if (line_ahead_q == '0) begin
          line_had_q <= 1'b1;
          line_data_q <= host_rsp_rdata_i;
          line_err_q <= host_rsp_err_i;
        end
        line_ahead_q <= line_ahead_q - 3'd1;
      end
      beats_q <= beats_q + (arvalid_i && arready ? 5'(arlen_i) + 5'd1 : 5'd0) - 5'(r);
      if (now) begin
        r_ahead_q <= beats_q - 5'(r);
        id_q <= arid_i;
      end else if (chosen && !gone_q && r) begin
        if (r_ahead_q != '0) begin
          r_ahead_q <= r_ahead_q - 5'd1;
        end else begin
          r_beat_q <= r_beat_q + 2'd1;
          if (rlast) gone_q <= 1'b1;
        end
      end
    end
  end

  `SW_ASSERT(NoBeatFromNowhere, !rvalid || beats_q != '0)
  `SW_ASSERT(LastIsLast, !r_mine || rlast == (8'(r_beat_q) == len))
  `SW_ASSERT(IdIsRight, !r_mine || rid == id_q)
  `SW_ASSERT(BadIsRefused, !(r_mine && bad) || (rresp == 2'b10 && rdata == '0))
  `SW_ASSERT(FirstBeatIsItsLine, !(r_mine && !bad && r_beat_q == '0) ||
             (line_had_q && rdata == {15'h0, line_data_q} && rresp == {line_err_q, 1'b0}))
  `SW_COVER(GoodEnd, gone_q && !bad && len == 8'd1)
  `SW_COVER(BadEnd, gone_q && bad)

endmodule
