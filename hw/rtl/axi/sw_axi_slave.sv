// An AXI4 slave in front of the core's host bus: every beat of a burst becomes one request for one line.
//
// Taken: INCR bursts of any length, narrow transfers, unaligned start addresses; bytes are chosen by the strobes alone.
// Answered with SLVERR, and nothing is touched: FIXED and WRAP bursts, and sizes wider than the bus.
// Order: writes reach the host bus in the order of their addresses on AW, so a doorbell never overtakes the data before it; B
// is returned when the core has taken the last beat. Reads are answered in order. Between reads and writes there is no order
// but by B and R; when both wait they take turns.
// Answers of the host bus (reads only, in order) are always taken: at most MaxReads are asked for at a time. host_rsp_err_i
// becomes SLVERR.
`include "sw_assert.svh"

module sw_axi_slave #(
  parameter int unsigned AddrW = 40,  // Bits of an address, 7 to 64.
  parameter int unsigned IdW = 4,  // Bits of an ID, 1 or more.
  parameter int unsigned MaxReads = 16,  // Beats asked for and not yet returned, a power of two, 2 or more.
  parameter int unsigned QueueDepth = 4,  // Bursts, beats of data, and answers to writes that wait: a power of two, 2 or more.
  parameter int unsigned DataW = 512,  // Bits of a line. Less in proofs only: a power of two, 16 or more.
  localparam int unsigned StrbW = DataW / 8
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  input  logic [IdW-1:0]   s_axi_awid_i,
  input  logic [AddrW-1:0] s_axi_awaddr_i,
  input  logic [7:0]       s_axi_awlen_i,
  input  logic [2:0]       s_axi_awsize_i,
  input  logic [1:0]       s_axi_awburst_i,
  input  logic             s_axi_awvalid_i,
  output logic             s_axi_awready_o,
  input  logic [DataW-1:0] s_axi_wdata_i,
  input  logic [StrbW-1:0] s_axi_wstrb_i,
  input  logic             s_axi_wlast_i,
  input  logic             s_axi_wvalid_i,
  output logic             s_axi_wready_o,
  output logic [IdW-1:0]   s_axi_bid_o,
  output logic [1:0]       s_axi_bresp_o,
  output logic             s_axi_bvalid_o,
  input  logic             s_axi_bready_i,
  input  logic [IdW-1:0]   s_axi_arid_i,
  input  logic [AddrW-1:0] s_axi_araddr_i,
  input  logic [7:0]       s_axi_arlen_i,
  input  logic [2:0]       s_axi_arsize_i,
  input  logic [1:0]       s_axi_arburst_i,
  input  logic             s_axi_arvalid_i,
  output logic             s_axi_arready_o,
  output logic [IdW-1:0]   s_axi_rid_o,
  output logic [DataW-1:0] s_axi_rdata_o,
  output logic [1:0]       s_axi_rresp_o,
  output logic             s_axi_rlast_o,
  output logic             s_axi_rvalid_o,
  input  logic             s_axi_rready_i,

  output logic             host_req_valid_o,
  input  logic             host_req_ready_i,
  output logic             host_req_write_o,
  output logic [AddrW-1:0] host_req_addr_o,  // Bytes, a multiple of the line.
  output logic [DataW-1:0] host_req_wdata_o,
  output logic [StrbW-1:0] host_req_wstrb_o,
  input  logic             host_rsp_valid_i,
  input  logic [DataW-1:0] host_rsp_rdata_i,
  input  logic             host_rsp_err_i
);

  localparam int unsigned LineW = $clog2(StrbW);  // Bits of an address inside a line.
  localparam int unsigned BurstW = IdW + AddrW + 8 + 3 + 2;
  localparam int unsigned CountW = $clog2(MaxReads) + 1;
  localparam int unsigned QueueW = $clog2(QueueDepth) + 1;
  localparam logic [1:0] RespOkay = 2'b00;
  localparam logic [1:0] RespSlverr = 2'b10;
  localparam logic [1:0] BurstIncr = 2'b01;

  if (AddrW < 7 || AddrW > 64 || IdW < 1 || MaxReads < 2 || (MaxReads & (MaxReads - 1)) != 0 || DataW < 16 ||
      DataW > 512 || (DataW & (DataW - 1)) != 0) begin : gen_check
    $error("sw_axi_slave: a parameter is out of range");
  end

  // The address of the beat after this one: aligned to the size, one size further.
  function logic [AddrW-1:0] next_addr(input logic [AddrW-1:0] addr, input logic [2:0] size);
    next_addr = ((addr >> size) + AddrW'(1)) << size;
  endfunction

  // Writes: the first burst and the first beat of data that wait.
  logic aw_valid, aw_pop, w_valid, w_pop, w_last;
  logic [IdW-1:0] aw_id;
  logic [AddrW-1:0] aw_addr, w_addr, w_addr_q;
  logic [7:0] aw_len, w_beat_q;
  logic [2:0] aw_size;
  logic [1:0] aw_burst;
  logic aw_bad, w_first_q;
  logic [DataW-1:0] w_data;
  logic [StrbW-1:0] w_strb;
  logic unused_w_last;
  logic [QueueW-1:0] unused_aw_count, unused_w_count, unused_ar_count, unused_b_count;

  sw_fifo #(
    .Width(BurstW),
    .Depth(QueueDepth)
  ) u_aw (
    .clk_i,
    .rst_ni,
    .wvalid_i(s_axi_awvalid_i),
    .wready_o(s_axi_awready_o),
    .wdata_i ({s_axi_awid_i, s_axi_awaddr_i, s_axi_awlen_i, s_axi_awsize_i, s_axi_awburst_i}),
    .rvalid_o(aw_valid),
    .rready_i(aw_pop),
    .rdata_o ({aw_id, aw_addr, aw_len, aw_size, aw_burst}),
    .count_o (unused_aw_count)
  );

  sw_fifo #(
    .Width(DataW + StrbW + 1),
    .Depth(QueueDepth)
  ) u_w (
    .clk_i,
    .rst_ni,
    .wvalid_i(s_axi_wvalid_i),
    .wready_o(s_axi_wready_o),
    .wdata_i ({s_axi_wlast_i, s_axi_wstrb_i, s_axi_wdata_i}),
    .rvalid_o(w_valid),
    .rready_i(w_pop),
    .rdata_o ({unused_w_last, w_strb, w_data}),  // The burst's length says which beat is the last.
    .count_o (unused_w_count)
  );

  assign aw_bad = aw_burst != BurstIncr || 32'(aw_size) > LineW;
  assign w_addr = w_first_q ? aw_addr : w_addr_q;
  assign w_last = w_beat_q == aw_len;

  // Reads: the first burst that waits.
  logic ar_valid, ar_pop, ar_step, r_last;
  logic [IdW-1:0] ar_id;
  logic [AddrW-1:0] ar_addr, r_addr, r_addr_q;
  logic [7:0] ar_len, r_beat_q;
  logic [2:0] ar_size;
  logic [1:0] ar_burst;
  logic ar_bad, r_first_q;

  sw_fifo #(
    .Width(BurstW),
    .Depth(QueueDepth)
  ) u_ar (
    .clk_i,
    .rst_ni,
    .wvalid_i(s_axi_arvalid_i),
    .wready_o(s_axi_arready_o),
    .wdata_i ({s_axi_arid_i, s_axi_araddr_i, s_axi_arlen_i, s_axi_arsize_i, s_axi_arburst_i}),
    .rvalid_o(ar_valid),
    .rready_i(ar_pop),
    .rdata_o ({ar_id, ar_addr, ar_len, ar_size, ar_burst}),
    .count_o (unused_ar_count)
  );

  assign ar_bad = ar_burst != BurstIncr || 32'(ar_size) > LineW;
  assign r_addr = r_first_q ? ar_addr : r_addr_q;
  assign r_last = r_beat_q == ar_len;

  // The request: a write, a read, or a step of a bad burst that asks for nothing.
  logic b_room, plan_room, req_ready, want_write, want_read, pick_read, turn_q;
  logic issue_write, issue_read, skip_write, skip_read;

  assign want_write = aw_valid && w_valid && !aw_bad && b_room;
  assign want_read = ar_valid && !ar_bad && plan_room;
  assign pick_read = want_read && (!want_write || turn_q);
  assign issue_read = req_ready && pick_read;
  assign issue_write = req_ready && want_write && !pick_read;
  assign skip_write = aw_valid && w_valid && aw_bad && b_room;
  assign skip_read = ar_valid && ar_bad && plan_room;
  assign w_pop = issue_write || skip_write;
  assign aw_pop = w_pop && w_last;
  assign ar_step = issue_read || skip_read;
  assign ar_pop = ar_step && r_last;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      w_first_q <= 1'b1;
      w_beat_q <= '0;
      r_first_q <= 1'b1;
      r_beat_q <= '0;
      turn_q <= 1'b0;
    end else begin
      if (w_pop) begin
        w_first_q <= w_last;
        w_beat_q <= w_last ? '0 : w_beat_q + 8'd1;
      end
      if (ar_step) begin
        r_first_q <= r_last;
        r_beat_q <= r_last ? '0 : r_beat_q + 8'd1;
      end
      if (issue_write || issue_read) turn_q <= issue_write;
    end
  end

  always_ff @(posedge clk_i) begin
    if (w_pop) w_addr_q <= next_addr(w_addr, aw_size);
    if (ar_step) r_addr_q <= next_addr(r_addr, ar_size);
  end

  logic host_req_last;  // the last beat of a write
  logic [LineW-1:0] unused_low;

  assign unused_low = pick_read ? r_addr[LineW-1:0] : w_addr[LineW-1:0];

  sw_skid #(
    .Width(2 + AddrW - LineW + DataW + StrbW)
  ) u_req (
    .clk_i,
    .rst_ni,
    .wvalid_i(want_write || want_read),
    .wready_o(req_ready),
    .wdata_i ({w_last, !pick_read, pick_read ? r_addr[AddrW-1:LineW] : w_addr[AddrW-1:LineW], w_strb, w_data}),
    .rvalid_o(host_req_valid_o),
    .rready_i(host_req_ready_i),
    .rdata_o ({host_req_last, host_req_write_o, host_req_addr_o[AddrW-1:LineW], host_req_wstrb_o, host_req_wdata_o})
  );
  assign host_req_addr_o[LineW-1:0] = '0;

  // Answers to writes, in order: of good bursts when the core has taken the last beat, of bad ones at once.
  logic b_valid, b_bad, b_go, taken_last, b_pop;
  logic [IdW-1:0] b_id;
  logic [QueueW-1:0] taken_q;  // bursts that the core has taken and that are not answered

  sw_fifo #(
    .Width(IdW + 1),
    .Depth(QueueDepth)
  ) u_b (
    .clk_i,
    .rst_ni,
    .wvalid_i(aw_pop),
    .wready_o(b_room),
    .wdata_i ({aw_id, aw_bad}),
    .rvalid_o(b_valid),
    .rready_i(b_pop),
    .rdata_o ({b_id, b_bad}),
    .count_o (unused_b_count)
  );

  assign taken_last = host_req_valid_o && host_req_ready_i && host_req_write_o && host_req_last;
  assign b_go = b_valid && (b_bad || taken_q != '0);
  assign s_axi_bvalid_o = b_go;
  assign s_axi_bid_o = b_id;
  assign s_axi_bresp_o = b_bad ? RespSlverr : RespOkay;
  assign b_pop = b_go && s_axi_bready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) taken_q <= '0;
    else taken_q <= taken_q + QueueW'(taken_last) - QueueW'(b_pop && !b_bad);
  end

  // What R will be, a plan for every beat, and the lines as they come back.
  logic plan_valid, plan_bad, plan_last, line_valid, line_err, r_go, r_ready;
  logic [IdW-1:0] plan_id;
  logic [DataW-1:0] line_data;
  logic unused_line_room;
  logic [CountW-1:0] unused_plan_count, unused_line_count;

  sw_fifo #(
    .Width(IdW + 2),
    .Depth(MaxReads)
  ) u_plan (
    .clk_i,
    .rst_ni,
    .wvalid_i(ar_step),
    .wready_o(plan_room),
    .wdata_i ({ar_id, r_last, ar_bad}),
    .rvalid_o(plan_valid),
    .rready_i(r_go && r_ready),
    .rdata_o ({plan_id, plan_last, plan_bad}),
    .count_o (unused_plan_count)
  );

  sw_fifo #(
    .Width(DataW + 1),
    .Depth(MaxReads)
  ) u_line (
    .clk_i,
    .rst_ni,
    .wvalid_i(host_rsp_valid_i),
    .wready_o(unused_line_room),
    .wdata_i ({host_rsp_err_i, host_rsp_rdata_i}),
    .rvalid_o(line_valid),
    .rready_i(r_go && r_ready && !plan_bad),
    .rdata_o ({line_err, line_data}),
    .count_o (unused_line_count)
  );

  assign r_go = plan_valid && (plan_bad || line_valid);

  sw_skid #(
    .Width(IdW + 2 + DataW)
  ) u_r (
    .clk_i,
    .rst_ni,
    .wvalid_i(r_go),
    .wready_o(r_ready),
    .wdata_i ({plan_id, plan_bad || line_err, plan_last, plan_bad ? DataW'(0) : line_data}),
    .rvalid_o(s_axi_rvalid_o),
    .rready_i(s_axi_rready_i),
    .rdata_o ({s_axi_rid_o, s_axi_rresp_o[1], s_axi_rlast_o, s_axi_rdata_o})
  );
  assign s_axi_rresp_o[0] = 1'b0;

  // Every answer has a plan, so its room was kept.
  `SW_ASSERT(AnswerHasRoom, !aw_pop || b_room)
  `SW_ASSERT(PlanHasRoom, !ar_step || plan_room)
  `SW_ASSERT(AnswersInRange, taken_q <= QueueW'(QueueDepth))
  `SW_ASSERT(NoAnswerBeforeTheWriteIsTaken, !(b_pop && !b_bad) || taken_q != '0)
  `SW_ASSERT(LinesHaveRoom, !host_rsp_valid_i || unused_line_room)
  `SW_ASSERT(LinesArePlanned, unused_line_count <= unused_plan_count)
  `SW_ASSUME(LastFitsLength, !w_pop || unused_w_last == w_last)

endmodule
