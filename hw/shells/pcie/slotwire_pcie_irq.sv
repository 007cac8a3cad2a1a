// Interrupts of the core as requests to the bridge, one at a time. A vector whose interrupt comes again before its request is
// acknowledged is asked for again, as its message may have left already. A request that the bridge gives up (MSI-X is off, a reset) is
// tried again after RetryClocks.
`include "sw_assert.svh"

module slotwire_pcie_irq #(
  parameter int unsigned Vectors = 8,  // 1 to 8, a power of two.
  parameter int unsigned RetryClocks = 4096,  // 2 or more.
  localparam int unsigned VectorW = Vectors > 1 ? $clog2(Vectors) : 1
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic               forget_i,  // The function is being reset.
  input  logic [Vectors-1:0] irq_i,  // Pulses.
  output logic               valid_o,  // Held until ack_i or fail_i.
  output logic [VectorW-1:0] vector_o,
  input  logic               ack_i,
  input  logic               fail_i
);

  localparam int unsigned RetryW = $clog2(RetryClocks + 1);

  logic [Vectors-1:0] pending_q, after, granted, returned;
  logic [VectorW-1:0] next, low, high;
  logic               any_high, start;
  logic [RetryW-1:0]  wait_q;

  // Vectors take turns: the next one behind the last, else the first.
  assign after = pending_q & ~((Vectors'(2) << vector_o) - Vectors'(1));
  always_comb begin
    low = '0;
    high = '0;
    for (int unsigned v = Vectors; v != 0; v--) begin
      if (pending_q[v-1]) low = VectorW'(v - 1);
      if (after[v-1]) high = VectorW'(v - 1);
    end
  end
  assign any_high = after != '0;
  assign next = any_high ? high : low;
  assign start = !valid_o && pending_q != '0 && wait_q == '0 && !forget_i;
  assign granted = start ? Vectors'(1) << next : '0;
  assign returned = valid_o && fail_i ? Vectors'(1) << vector_o : '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      pending_q <= '0;
      valid_o <= 1'b0;
      vector_o <= '0;
      wait_q <= '0;
    end else begin
      pending_q <= forget_i ? '0 : (pending_q & ~granted) | returned | irq_i;
      // A request that was made is held, reset or not, as the bridge wants it.
      if (start) valid_o <= 1'b1;
      else if (ack_i || fail_i) valid_o <= 1'b0;
      if (start) vector_o <= next;
      if (valid_o && fail_i) wait_q <= RetryW'(RetryClocks);
      else if (wait_q != '0) wait_q <= wait_q - RetryW'(1);
    end
  end

  `SW_ASSUME(AnswersToRequests, !(ack_i || fail_i) || valid_o)

endmodule
