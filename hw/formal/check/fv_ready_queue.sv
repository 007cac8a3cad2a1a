// Stands for a FIFO of slots in a proof about one slot, `chosen_i`: whether that one stands in it. When it comes out, and which others
// do, is free. What this leaves out is proved of sw_fifo and sw_fifo_ram themselves: words come out in the order in which they went in.
`include "sw_assert.svh"

module fv_ready_queue #(
  parameter int unsigned Slots = 16,
  localparam int unsigned SlotW = $clog2(Slots)
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic [SlotW-1:0] chosen_i,
  input  logic             wvalid_i,
  output logic             wready_o,
  input  logic [SlotW-1:0] wdata_i,
  output logic             rvalid_o,
  input  logic             rready_i,
  output logic [SlotW-1:0] rdata_o,
  output logic [SlotW:0]   count_o,
  output logic             stands_o,  // The chosen slot stands in the queue,
  output logic             twice_o  // ... and enters it again.
);

  // What is offered stays offered, as a FIFO's word does.
  (* anyseq *) logic next_valid;
  (* anyseq *) logic [SlotW-1:0] next_slot;
  (* anyseq *) logic [SlotW:0] count;
  logic stands_q, held_q, mine_in, mine_out;
  logic [SlotW-1:0] slot_q;

  assign rvalid_o = held_q || next_valid;
  assign rdata_o = held_q ? slot_q : next_slot;
  assign mine_in = wvalid_i && wdata_i == chosen_i;
  assign mine_out = rvalid_o && rready_i && rdata_o == chosen_i;

  assign wready_o = 1'b1;
  assign count_o = count;
  assign stands_o = stands_q;
  assign twice_o = mine_in && stands_q && !mine_out;

  always_ff @(posedge clk_i) begin
    held_q <= rst_ni && rvalid_o && !rready_i;
    slot_q <= rdata_o;
    stands_q <= rst_ni && ((stands_q && !mine_out) || mine_in);
  end

  `SW_ASSUME(OnlyWhatStandsComesOut, !(rvalid_o && rdata_o == chosen_i) || stands_q)
  `SW_ASSUME(CountIsNotZero, !(stands_q || rvalid_o) || count != '0)

endmodule
