// Brings levels into the clock domain of clk_i, each bit by itself: two registers in a row.
//
// A change appears after 2 clocks, or 1 or 3 when it falls near the edge. Bits that change together may arrive in different
// clocks, so a bus must be gray-coded or stable. d_i must come straight out of registers.
module sw_sync_level #(
  parameter int unsigned Width = 1,  // Bits, 1 or more.
  parameter int unsigned Reset = 0  // 0 or 1: what the bits are during reset.
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic [Width-1:0] d_i,
  output logic [Width-1:0] q_o
);

  (* ASYNC_REG = "TRUE" *) logic [Width-1:0] meta_q, sync_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      meta_q <= {Width{Reset != 0}};
      sync_q <= {Width{Reset != 0}};
    end else begin
      meta_q <= d_i;
      sync_q <= meta_q;
    end
  end

  assign q_o = sync_q;

endmodule
