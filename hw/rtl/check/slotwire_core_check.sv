// For simulation only: watches a core and asserts what orders its parts keep between each other. It counts for itself, in 32 bits, so
// nothing that it compares comes round the circle, and knows nothing of fences and credits.
`include "sw_assert.svh"

module slotwire_core_check #(
  parameter int unsigned Slots = 16,
  localparam int unsigned SlotW = $clog2(Slots)
) (
  input logic clk_i,
  input logic rst_ni,

  // Slot memory.
  input logic taken_i,  // A write was taken.
  input logic done_i,  // A write is done.

  // Doorbells, in order.
  input logic rings_i,
  input logic rung_i,  // It takes effect.

  // Operations.
  input logic             begins_i,
  input logic [SlotW-1:0] begins_slot_i,
  input logic             ends_i,
  input logic [SlotW-1:0] ends_slot_i,  // Of what ends, and of the three that follow.
  input logic             row_written_i,
  input logic             decided_i,  // A frame is to be sent.
  input logic             given_i,  // A received frame has its verdict.

  // Sending.
  input logic             read_i,  // The last line of a frame came.
  input logic [SlotW-1:0] read_slot_i,
  input logic             leaves_i,  // A frame leaves, or vanishes as its lines are broken.

  // Receiving.
  input logic             carried_i,  // A verdict was carried out: its last line goes to memory in this clock.
  input logic             told_i,  // And it was told of.
  input logic [SlotW-1:0] told_slot_i,

  // Marks.
  input logic             binding_i,  // Those of a slot that was bound are to be shown.
  input logic [SlotW-1:0] binding_slot_i,
  input logic             bound_i,  // They are.
  input logic [SlotW-1:0] bound_slot_i,
  input logic             tail_i,  // OUT_TAIL is shown after lines came.
  input logic [SlotW-1:0] tail_slot_i,
  input logic             looks_i,  // The host reads marks.
  input logic [SlotW-1:0] looks_slot_i,

  // Lines that memory refused.
  input logic             refused_i,
  input logic [SlotW-1:0] refused_slot_i,
  input logic [31:0]      refused_from_i,  // Where their frame begins.
  input logic             init_i,
  input logic [SlotW-1:0] init_slot_i,
  input logic             sends_i,  // A frame goes to the wire that is no reset.
  input logic [SlotW-1:0] sends_slot_i,
  input logic [31:0]      sends_ack_i
);

  localparam int unsigned Depth = 64;  // More than any queue in the core that is followed here.
  localparam int unsigned PtrW = $clog2(Depth);
  localparam int unsigned StepsMax = 8;  // Verdicts that get into memory in a clock; the core tells of one.

  logic [31:0] taken_q, done_q, given_q, in_memory_q, told_q;
  // For each thing that waits, what must have happened before it goes on.
  logic [31:0] bells_q[Depth], frames_q[Depth], verdicts_q[Depth];
  logic [PtrW-1:0] bells_in_q, bells_out_q, frames_in_q, frames_out_q, verdicts_in_q, verdicts_out_q;
  // For each slot, what is under way.
  logic [7:0] operations_q[Slots], reading_q[Slots], writing_q[Slots], bindings_q[Slots];

  // What of each slot was refused since its row was written.
  logic        refused_q[Slots];
  logic [31:0] from_q[Slots], acked_too_far;
  assign acked_too_far = sends_ack_i - from_q[sends_slot_i];

  // Several things of one slot may begin and end in one clock, so these are counted one after the other.
  // verilator lint_off BLKSEQ
  always @(posedge clk_i) begin
    if (!rst_ni) begin
      taken_q = '0;
      done_q = '0;
      given_q = '0;
      in_memory_q = '0;
      told_q = '0;
      bells_in_q = '0;
      bells_out_q = '0;
      frames_in_q = '0;
      frames_out_q = '0;
      verdicts_in_q = '0;
      verdicts_out_q = '0;
      for (int unsigned s = 0; s < Slots; s++) begin
        operations_q[s] = '0;
        reading_q[s] = '0;
        writing_q[s] = '0;
        bindings_q[s] = '0;
        refused_q[s] = 1'b0;
      end
    end else begin
      NoDoorbellBeforeItsLines: assert (!rung_i || bells_q[bells_out_q] <= done_q);
      NoAcknowledgementBeforeItsLines: assert (!leaves_i || frames_q[frames_out_q] <= in_memory_q);
      OneOperationOfASlot: assert (!begins_i || operations_q[begins_slot_i] == '0);
      NoRowWhileItsLinesAreRead: assert (!row_written_i || reading_q[ends_slot_i] == '0);
      NoRowWhileItsLinesAreWritten: assert (!row_written_i || writing_q[ends_slot_i] == '0);
      NoMarkBeforeItsBinding: assert (!tail_i || bindings_q[tail_slot_i] == '0);
      NoLookBeforeTheBinding: assert (!looks_i || bindings_q[looks_slot_i] == '0);
      NothingIsToldThatWasNotGiven: assert (!told_i || writing_q[told_slot_i] != '0);
      NothingIsReadThatWasNotDecided: assert (!read_i || reading_q[read_slot_i] != '0);

      NoMarkAfterARefusal: assert (!tail_i || !refused_q[tail_slot_i]);
      NoAcknowledgementOfRefusedLines: assert (!(sends_i && refused_q[sends_slot_i]) || acked_too_far == '0 || acked_too_far[31]);

      if (refused_i && !refused_q[refused_slot_i]) from_q[refused_slot_i] = refused_from_i;
      if (refused_i) refused_q[refused_slot_i] = 1'b1;
      if (row_written_i) refused_q[ends_slot_i] = 1'b0;
      if (init_i) refused_q[init_slot_i] = 1'b0;
      if (rings_i) begin
        bells_q[bells_in_q] = taken_q;
        bells_in_q = bells_in_q + PtrW'(1);
      end
      if (rung_i) bells_out_q = bells_out_q + PtrW'(1);
      if (decided_i) begin
        frames_q[frames_in_q] = given_q;
        frames_in_q = frames_in_q + PtrW'(1);
      end
      if (leaves_i) frames_out_q = frames_out_q + PtrW'(1);
      given_q = given_q + 32'(given_i);
      taken_q = taken_q + 32'(taken_i);
      done_q = done_q + 32'(done_i);
      if (carried_i) begin
        verdicts_q[verdicts_in_q] = taken_q;
        verdicts_in_q = verdicts_in_q + PtrW'(1);
      end
      for (int unsigned n = 0; n < StepsMax; n++) begin
        if (verdicts_out_q != verdicts_in_q && verdicts_q[verdicts_out_q] <= done_q) begin
          verdicts_out_q = verdicts_out_q + PtrW'(1);
          in_memory_q = in_memory_q + 32'd1;
        end
      end
      // A line that gets there in this clock may be told of in this clock.
      told_q = told_q + 32'(told_i);
      NoMarkBeforeItsLines: assert (told_q <= in_memory_q);
      if (begins_i) operations_q[begins_slot_i] = operations_q[begins_slot_i] + 8'd1;
      if (ends_i) operations_q[ends_slot_i] = operations_q[ends_slot_i] - 8'd1;
      if (decided_i) reading_q[ends_slot_i] = reading_q[ends_slot_i] + 8'd1;
      if (read_i) reading_q[read_slot_i] = reading_q[read_slot_i] - 8'd1;
      if (given_i) writing_q[ends_slot_i] = writing_q[ends_slot_i] + 8'd1;
      if (told_i) writing_q[told_slot_i] = writing_q[told_slot_i] - 8'd1;
      if (binding_i) bindings_q[binding_slot_i] = bindings_q[binding_slot_i] + 8'd1;
      if (bound_i) bindings_q[bound_slot_i] = bindings_q[bound_slot_i] - 8'd1;
    end
  end
  // verilator lint_on BLKSEQ

endmodule
