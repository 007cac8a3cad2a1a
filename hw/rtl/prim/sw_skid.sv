// A register slice for valid/ready: cuts every combinational path between its two sides, at full throughput.
//
// Latency 1 clock. All outputs are registers. Holds at most two words: the one at the output and, when the output stalls
// while a word is on its way, that one.
`include "sw_assert.svh"

module sw_skid #(
  parameter int unsigned Width = 8  // Bits in a word, 1 or more.
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic             wvalid_i,
  output logic             wready_o,
  input  logic [Width-1:0] wdata_i,
  output logic             rvalid_o,
  input  logic             rready_i,
  output logic [Width-1:0] rdata_o
);

  if (Width < 1) begin : gen_check
    $error("sw_skid: Width must be 1 or more");
  end

  logic ready_q;  // skid_q is empty
  logic valid_q;  // data_q holds a word
  logic [Width-1:0] data_q, skid_q;
  logic move;  // the output register takes a new word or becomes empty

  assign move = !valid_q || rready_i;
  assign wready_o = ready_q;
  assign rvalid_o = valid_q;
  assign rdata_o = data_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      ready_q <= 1'b1;
      valid_q <= 1'b0;
    end else if (move) begin
      ready_q <= 1'b1;
      valid_q <= !ready_q || wvalid_i;
    end else if (wvalid_i) begin
      ready_q <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (move) data_q <= ready_q ? wdata_i : skid_q;
    if (ready_q) skid_q <= wdata_i;
  end

  `SW_ASSERT(SkidOnlyBehindOutput, ready_q || valid_q)

endmodule
