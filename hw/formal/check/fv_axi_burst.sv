// Follows one burst, chosen by the tool, through sw_axi_slave: the address channel, the requests on the host bus, and its end.
//
// Beats of good bursts (INCR, a size that fits the bus) become requests in order, each for the line of its address; bad bursts
// become none. Used for both directions. Bursts are of one or two beats here: the proof assumes it.
`include "sw_assert.svh"

module fv_axi_burst #(
  parameter int unsigned AddrW = 7,
  parameter int unsigned LineW = 1,
  parameter int unsigned MaxBeats = 16,  // Beats that may be under way.
  localparam int unsigned CountW = $clog2(MaxBeats + 2)
) (
  input  logic              clk_i,
  input  logic              rst_ni,
  input  logic              mark_i,
  // A burst is taken.
  input  logic              burst_i,
  input  logic [AddrW-1:0]  addr_i,
  input  logic [7:0]        len_i,
  input  logic [2:0]        size_i,
  input  logic [1:0]        kind_i,
  // A request is taken by the core.
  input  logic              req_i,
  input  logic [AddrW-1:0]  req_addr_i,
  output logic              chosen_o,  // A burst is followed.
  output logic              now_o,  // The one that is taken now will be followed.
  output logic              bad_o,  // It is bad.
  output logic [CountW-1:0] taken_o,  // Its beats that the core has taken.
  output logic [7:0]        len_o,
  output logic              mine_o  // The request that is taken now is of this burst.
);

  logic chosen_q, bad_q;
  logic [AddrW-1:0] addr_q, expected;
  logic [7:0] len_q;
  logic [2:0] size_q;
  logic [CountW-1:0] beats_q, ahead_q, taken_q;
  logic bad;

  assign bad = kind_i != 2'b01 || 32'(size_i) > LineW;
  assign now_o = burst_i && mark_i && !chosen_q;
  assign chosen_o = chosen_q;
  assign bad_o = bad_q;
  assign len_o = len_q;
  assign taken_o = taken_q;
  assign mine_o = chosen_q && !bad_q && req_i && ahead_q == '0 && 32'(taken_q) <= 32'(len_q);
  // Beat 1 stands one size further, aligned to the size.
  assign expected = taken_q == '0 ? addr_q : (((addr_q >> size_q) + AddrW'(1)) << size_q);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      chosen_q <= 1'b0;
      beats_q <= '0;
      ahead_q <= '0;
      taken_q <= '0;
    end else begin
      beats_q <= beats_q + (burst_i && !bad ? CountW'(len_i) + CountW'(1) : '0) - CountW'(req_i);
      if (now_o) begin
        chosen_q <= 1'b1;
        bad_q <= bad;
        addr_q <= addr_i;
        len_q <= len_i;
        size_q <= size_i;
        ahead_q <= beats_q - CountW'(req_i);
      end else if (chosen_q && req_i) begin
        if (ahead_q != '0) ahead_q <= ahead_q - CountW'(1);
        else if (mine_o) taken_q <= taken_q + CountW'(1);
      end
    end
  end

  `SW_ASSUME(ShortBursts, !burst_i || len_i <= 8'd1)
  `SW_ASSERT(RequestsAreAskedFor, !req_i || beats_q != '0)
  `SW_ASSERT(BeatsBounded, beats_q <= CountW'(MaxBeats))
  `SW_ASSERT(RightLine, !mine_o || req_addr_i == {expected[AddrW-1:LineW], LineW'(0)})
  `SW_COVER(SecondBeat, taken_q == CountW'(2))

endmodule
