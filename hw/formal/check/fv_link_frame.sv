// What holds of a frame of the present pairing while it is on its way (fv_link.sv): for the prover, that need not find it itself.
`include "sw_assert.svh"

module fv_link_frame (
  input logic       clk_i,
  input logic       rst_ni,
  input logic       mine_i,  // The frame is there and of this pairing.
  input logic       forward_i,  // It goes the way of the lines; else the way of acknowledgements.
  input logic       data_frame_i,
  input logic       reset_i,
  input logic [3:0] seq_i,
  input logic [3:0] ack_i,
  input logic [3:0] credit_i,
  input logic [1:0] lines_i,
  input logic [1:0] data_i,
  input logic       early_i,  // Its sender was bound in this pairing.
  input logic [3:0] front_i,  // Forward: IN_TAIL, else OUT_TAIL of its sender.
  input logic [3:0] in_head_i,
  input logic [3:0] in_used_i,
  input logic [3:0] window_end_i,  // The first line that the reader has no room for.
  input logic [1:0] in_ring_i
);

  logic [3:0] behind, end_at, room;
  logic       first_kept, second_kept, first_right, second_right;
  assign behind = front_i - (forward_i ? seq_i : ack_i);
  assign end_at = forward_i ? seq_i + 4'(lines_i) : ack_i + credit_i;
  assign room = window_end_i - end_at;
  // Lines that are not released yet are those of the ring.
  assign first_kept = 4'(seq_i - in_head_i) < in_used_i;
  assign second_kept = 4'(seq_i + 4'd1 - in_head_i) < in_used_i;
  assign first_right = data_i[0] == in_ring_i[seq_i[0]];
  assign second_right = data_i[1] == in_ring_i[!seq_i[0]];

  `SW_ASSERT(Early, !mine_i || early_i)
  `SW_ASSERT(NoReset, !mine_i || !reset_i)
  `SW_ASSERT(Behind, !mine_i || behind <= 4'd6)
  `SW_ASSERT(WithinTheWindow, !mine_i || room <= 4'd8)
  `SW_ASSERT(Lines, !mine_i || (forward_i ? 4'(lines_i) <= behind && data_frame_i == (lines_i != 2'd0) && lines_i != 2'd3 && ack_i == '0 && credit_i == 4'd2
                                          : !data_frame_i && lines_i == 2'd0 && seq_i == '0 && credit_i <= 4'd2))
  `SW_ASSERT(FirstLine, !mine_i || !forward_i || lines_i == 2'd0 || !first_kept || first_right)
  `SW_ASSERT(SecondLine, !mine_i || !forward_i || lines_i != 2'd2 || !second_kept || second_right)

endmodule
