// Proof of the write side of sw_axi_slave, with reads going on: requests, their order, B and its moment.
`include "fv_reset.svh"
`include "sw_assert.svh"

module fv_sw_axi_slave_write #(
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
    .s_axi_awvalid_i (awvalid_i),
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
    .s_axi_arvalid_i (arvalid_i && Others != 0),
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

  fv_stable #(.Width(3)) u_stable_b (
    .clk_i,
    .rst_ni,
    .valid_i(bvalid),
    .ready_i(bready_i),
    .data_i ({bid, bresp})
  );

  // The data of good bursts' beats reaches the host bus in order; here all bursts are good, if the tool so chooses.
  (* anyconst *) logic all_good;
  `SW_ASSUME(AllGood, !(all_good && awvalid_i) || (awburst_i == 2'b01 && !awsize_i[1]))

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
    .burst_i   (awvalid_i && awready),
    .addr_i    ({3'h0, awaddr_i}),
    .len_i     ({7'h0, awlen_i}),
    .size_i    ({1'b0, awsize_i}),
    .kind_i    (awburst_i),
    .req_i     (req && req_write),
    .req_addr_i(req_addr),
    .chosen_o  (chosen),
    .now_o     (now),
    .bad_o     (bad),
    .taken_o   (taken),
    .len_o     (len),
    .mine_o    (mine)
  );

  // One beat of data, from W to the host bus, while all bursts are good.
  logic [3:0] beats_q, beat_ahead_q;
  logic beat_chosen_q, beat_gone_q, beat_data_q;
  logic [1:0] beat_strb_q;
  // B: answers that come before that of the burst that is followed.
  logic [3:0] bursts_q, b_ahead_q;
  logic b_gone_q, b, id_q;
  assign b = bvalid && bready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      beats_q <= '0;
      beat_chosen_q <= 1'b0;
      beat_gone_q <= 1'b0;
      bursts_q <= '0;
      b_gone_q <= 1'b0;
    end else begin
      beats_q <= beats_q + 4'(wvalid_i && wready) - 4'(req && req_write);
      if (wvalid_i && wready && mark_i && !beat_chosen_q) begin
        beat_chosen_q <= 1'b1;
        beat_data_q <= wdata_i;
        beat_strb_q <= wstrb_i;
        beat_ahead_q <= beats_q - 4'(req && req_write);
      end else if (beat_chosen_q && req && req_write) begin
        if (beat_ahead_q == '0) beat_gone_q <= 1'b1;
        beat_ahead_q <= beat_ahead_q - 4'd1;
      end
      bursts_q <= bursts_q + 4'(awvalid_i && awready) - 4'(b);
      if (now) begin
        b_ahead_q <= bursts_q - 4'(b);
        id_q <= awid_i;
      end else if (chosen && b) begin
        if (b_ahead_q == '0) b_gone_q <= 1'b1;
        b_ahead_q <= b_ahead_q - 4'd1;
      end
    end
  end

  logic b_mine;
  assign b_mine = chosen && !b_gone_q && bvalid && b_ahead_q == '0;

  `SW_ASSERT(DataUnchanged, !(all_good && beat_chosen_q && !beat_gone_q && req && req_write && beat_ahead_q == '0) ||
             (req_wdata == {15'h0, beat_data_q} && req_wstrb == beat_strb_q))
  `SW_ASSERT(NoAnswerFromNowhere, !bvalid || bursts_q != '0)
  `SW_ASSERT(AnswerWhenTaken, !(b_mine && !bad) || 8'(taken) == len + 8'd1)
  `SW_ASSERT(AnswerIsRight, !b_mine || (bid == id_q && bresp == (bad ? 2'b10 : 2'b00)))
  `SW_COVER(GoodAnswer, b_gone_q && !bad && len == 8'd1)
  `SW_COVER(BadAnswer, b_gone_q && bad)

endmodule
