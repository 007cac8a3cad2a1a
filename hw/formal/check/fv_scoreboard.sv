// Checks that a block with one way in and one way out gives every word once, unchanged, in order, and in time.
//
// One word, chosen by the tool (mark_i, a free input), is followed: how many words are ahead of it when it goes in, and that
// it comes out after just so many. As every word may be the chosen one, this holds for all: none is lost, doubled, changed or
// overtaken. A word that comes out while none is inside is one from nowhere.
`include "sw_assert.svh"

module fv_scoreboard #(
  parameter int unsigned Width = 8,
  parameter int unsigned Capacity = 4,  // Most words that may be inside.
  parameter int unsigned MaxWait = 4,  // Most clocks without an offer while there is a word inside.
  localparam int unsigned CountW = $clog2(Capacity + 2),
  localparam int unsigned WaitW = $clog2(MaxWait + 2)
) (
  input  logic              clk_i,
  input  logic              rst_ni,
  input  logic              mark_i,
  input  logic              in_i,  // A word goes in: valid and ready.
  input  logic [Width-1:0]  in_data_i,
  input  logic              out_valid_i,
  input  logic              out_ready_i,
  input  logic [Width-1:0]  out_data_i,
  output logic [CountW-1:0] inside_o  // Words inside.
);

  logic [CountW-1:0] inside_q, ahead_q;
  logic [WaitW-1:0] wait_q;
  logic chosen_q, gone_q;
  logic [Width-1:0] data_q;
  logic out;

  assign out = out_valid_i && out_ready_i;
  assign inside_o = inside_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      inside_q <= '0;
      ahead_q <= '0;
      wait_q <= '0;
      chosen_q <= 1'b0;
      gone_q <= 1'b0;
    end else begin
      inside_q <= inside_q + CountW'(in_i) - CountW'(out);
      wait_q <= out_valid_i || inside_q == '0 ? '0 : wait_q + WaitW'(1);
      if (in_i && mark_i && !chosen_q) begin
        chosen_q <= 1'b1;
        data_q <= in_data_i;
        ahead_q <= inside_q - CountW'(out);
      end else if (chosen_q && !gone_q && out) begin
        if (ahead_q == '0) gone_q <= 1'b1;
        else ahead_q <= ahead_q - CountW'(1);
      end
    end
  end

  `SW_ASSERT(NothingFromNowhere, !out_valid_i || inside_q != '0)
  `SW_ASSERT(WithinCapacity, inside_q <= CountW'(Capacity))
  `SW_ASSERT(ComesOutUnchanged, !(chosen_q && !gone_q && out_valid_i && ahead_q == '0) || out_data_i == data_q)
  `SW_ASSERT(ComesOutInTime, wait_q <= WaitW'(MaxWait))
  `SW_COVER(ChosenComesOut, gone_q)
  `SW_COVER(Full, inside_q == CountW'(Capacity))

endmodule
