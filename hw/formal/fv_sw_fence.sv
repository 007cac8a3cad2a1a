// Proof of sw_fence: a thing leaves only after the events that had begun before it have ended, and once they have it may leave within
// Depth clocks of being the oldest, however many other events begin and end meanwhile.
//
// One thing, chosen by the tool, is followed; every thing may be the chosen one. Begun counts an event in the clock in which it begins
// or in the next one, and ended an event in this clock or not, as the tool chooses.
`include "fv_reset.svh"
`include "sw_assert.svh"

module fv_sw_fence #(
  parameter int unsigned Depth = 2,
  parameter int unsigned Pending = 4,
  parameter int unsigned CountW = 3
) (
  input logic clk_i,
  input logic rst_ni,
  input logic begin_i,
  input logic end_i,
  input logic enter_i,
  input logic leave_i,
  input logic mark_i
);

  // Wide enough for as many things and events as there may be at once, and for a circle of the counters.
  localparam int unsigned CW = CountW + 1;

  `FV_RESET

  (* anyconst *) logic begun_at_once, ended_at_once;

  // Events.
  logic [CountW-1:0] begun_q, ended_q, begun;
  logic [CW-1:0]        open_q, waits;  // Events that have begun and not ended; those of them that a thing waits for that enters now.
  logic              begins, ends;
  assign begins = begin_i && open_q != CW'(Pending);
  assign ends = end_i && open_q != '0;
  assign begun = begun_q + CountW'(begins && begun_at_once);
  assign waits = open_q + CW'(begins && begun_at_once) - CW'(ends);

  // Things.
  logic       may_leave, enters;
  logic [CW-1:0] inside_q;
  assign enters = enter_i && inside_q != CW'(Depth);

  sw_fence #(.Depth(Depth), .Pending(Pending), .CountW(CountW)) u_dut (
    .clk_i, .rst_ni, .enter_i(enters), .begun_i(begun), .ended_i(ended_q), .one_ended_i(ends && ended_at_once),
    .may_leave_o(may_leave), .leave_i(leave_i));

  // The chosen thing.
  logic       followed_q, oldest, due;
  logic [CW-1:0] before_q, waits_q, late_q, stays_q;  // Things and events before it; clocks that it is late; events ended since it may leave.
  assign oldest = followed_q && before_q == '0;
  assign due = oldest && waits_q == '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      begun_q <= '0;
      ended_q <= '0;
      open_q <= '0;
      inside_q <= '0;
      followed_q <= 1'b0;
      before_q <= '0;
      waits_q <= '0;
      late_q <= '0;
      stays_q <= '0;
    end else begin
      begun_q <= begun_q + CountW'(begins);
      ended_q <= ended_q + CountW'(ends);
      open_q <= open_q + CW'(begins) - CW'(ends);
      inside_q <= inside_q + CW'(enters) - CW'(leave_i);
      if (!followed_q) begin
        followed_q <= enters && mark_i;
        before_q <= inside_q - CW'(leave_i);
        waits_q <= waits;
      end else begin
        if (leave_i && oldest) followed_q <= 1'b0;
        if (leave_i && !oldest) before_q <= before_q - CW'(1);
        if (ends && waits_q != '0) waits_q <= waits_q - CW'(1);
      end
      late_q <= due && !may_leave ? (late_q == '1 ? late_q : late_q + CW'(1)) : '0;
      stays_q <= !due ? '0 : ends && stays_q != '1 ? stays_q + CW'(1) : stays_q;
    end
  end

  `SW_ASSUME(NothingLeavesTooEarly, !leave_i || may_leave)
  `SW_ASSERT(OnlyWhatIsThere, !may_leave || inside_q != '0)
  `SW_ASSERT(NotBeforeItsEvents, !oldest || !may_leave || waits_q == '0 || (waits_q == CW'(1) && ends && ended_at_once))
  `SW_ASSERT(SoonAfterItsEvents, late_q < CW'(Depth))

  // What makes it so, for the prover: it need not find these itself.
  `SW_ASSERT(OpenIsDistance, CountW'(open_q) == CountW'(begun_q - ended_q) && open_q <= CW'(Pending))
  `SW_ASSERT(ThingsInside, inside_q <= CW'(Depth) && (!followed_q || before_q < inside_q))

  // It stays while events come round the whole circle, and may still leave.
  `SW_COVER(StaysForACircle, due && may_leave && stays_q == CW'(1 << CountW))
  `SW_COVER(AllWait, inside_q == CW'(Depth) && oldest && !may_leave)

endmodule
