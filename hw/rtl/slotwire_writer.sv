// Carries out the verdicts on received frames: drops lines or writes them into the output ring, a line a clock, and then, when
// memory has them, has OUT_TAIL published and lets the acknowledgements go that tell of them. Nothing is published of a slot whose
// lines memory refused, and slotwire_tx sends none of its frames.

`include "sw_assert.svh"

module slotwire_writer #(
  parameter int unsigned MemLineBits = 16,  // The slot memory has 2^MemLineBits lines.
  parameter int unsigned WriteCountW = 9,
  parameter int unsigned WritesMax = 128  // Writes of slot memory that are not done, at most.
) (
  input logic clk_i,
  input logic rst_ni,

  input  logic        verdict_valid_i,
  output logic        verdict_ready_o,
  input  slotwire_pkg::verdict_t verdict_i,

  input  logic         stored_valid_i,
  output logic         stored_pop_o,
  input  logic [9:0]   stored_lines_i,
  input  logic         payload_valid_i,
  output logic         payload_ready_o,
  input  logic [511:0] payload_i,

  output logic                   mem_valid_o,
  input  logic                   mem_ready_i,
  output logic [MemLineBits-1:0] mem_addr_o,
  output logic [511:0]           mem_data_o,
  output logic                   mem_dma_o,  // The ring is in host memory, and mem_addr_o a line of the ring.
  output logic [15:0]            mem_slot_o,
  output logic [31:0]            mem_from_o,  // The first position of the frame that is written.
  input  logic [WriteCountW-1:0] issued_i,  // Writes that memory took, this clock's included, mod 2^WriteCountW.
  input  logic [WriteCountW-1:0] done_i,  // Writes that could be seen before this clock, mod 2^WriteCountW.
  input  logic                   one_done_i,  // And one more in this clock, which was not refused.

  output logic        pub_valid_o,
  input  logic        pub_ready_i,
  output logic [15:0] pub_slot_o,
  output logic [31:0] pub_tail_o,
  // Lines of pub_slot_o were refused: nothing is published. Looked at only while refused_any_i, and then a clock before, so that what
  // is published does not wait for a look at a table.
  input  logic        refused_any_i,
  input  logic        refusing_i,  // One more is refused in this clock.
  input  logic        refused_i,

  output logic [7:0]  written_o,  // Frames carried out, mod 256.
  output logic        idle_o
);

  localparam int unsigned Frames = 16;

  // The frame under way, beyond its first line.
  logic        active_q;
  logic [9:0]  skip_q, take_q, left_q;
  logic [31:0] at_q, base_q, from_q;
  logic [3:0]  order_q;
  logic [15:0] slot_q;

  logic [9:0]  skip, take, left;
  logic [31:0] at, base, mask, index;
  logic [3:0]  order;
  logic [15:0] slot;
  logic        able, present, last, step, begins, writes;
  logic        done_room;

  assign begins = verdict_valid_i && stored_valid_i && !active_q;
  assign skip = active_q ? skip_q : verdict_i.lines.skip;
  assign take = active_q ? take_q : verdict_i.lines.take;
  assign left = active_q ? left_q : stored_lines_i;
  assign at = active_q ? at_q : verdict_i.lines.at;
  assign base = active_q ? base_q : verdict_i.base;
  assign order = active_q ? order_q : verdict_i.order;
  assign slot = active_q ? slot_q : verdict_i.slot;
  assign present = active_q || begins;
  assign last = left <= 10'd1;
  assign able = present && done_room && (left == '0 || payload_valid_i);
  assign writes = left != '0 && skip == '0 && take != '0;

  assign mask = ~(32'hffff_ffff << order);
  assign index = base | (at & mask);
  assign mem_valid_o = able && writes;
  assign mem_addr_o = index[MemLineBits-1:0];
  assign mem_dma_o = index[31];
  assign mem_data_o = payload_i;
  assign mem_slot_o = slot;
  assign mem_from_o = active_q ? from_q : verdict_i.lines.at;
  assign step = able && (!writes || mem_ready_i);
  assign payload_ready_o = step && left != '0;
  assign verdict_ready_o = begins && step;
  assign stored_pop_o = verdict_ready_o;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) active_q <= 1'b0;
    else if (step) active_q <= !last;
    if (step) begin
      left_q <= left - 10'd1;
      skip_q <= skip == '0 ? '0 : skip - 10'd1;
      take_q <= writes ? take - 10'd1 : take;
      at_q <= writes ? at + 32'd1 : at;
      base_q <= base;
      from_q <= mem_from_o;
      order_q <= order;
      slot_q <= slot;
      moves_q <= take != '0 && (!active_q || moves_q);
      tail_q <= active_q ? tail_q : verdict_i.lines.at + 32'(verdict_i.lines.take);
    end
  end

  // What is to be told when memory has the lines.
  logic        moves_q, moves, done_valid, done_pop, done_moves;
  logic [31:0] tail_q, tail;
  logic [7:0]  written_q;
  logic        reached;
  logic [4:0]  done_count;
  assign moves = active_q ? moves_q : verdict_i.lines.take != '0;
  assign tail = active_q ? tail_q : verdict_i.lines.at + 32'(verdict_i.lines.take);
  sw_fifo #(.Width(1 + 16 + 32), .Depth(Frames)) u_done (
    .clk_i, .rst_ni, .wvalid_i(step && last), .wready_o(done_room), .wdata_i({moves, slot, tail}),
    .rvalid_o(done_valid), .rready_i(done_pop), .rdata_o({done_moves, pub_slot_o, pub_tail_o}), .count_o(done_count));
  sw_fence #(.Depth(Frames), .Pending(WritesMax), .CountW(WriteCountW)) u_in_memory (
    .clk_i, .rst_ni, .enter_i(step && last), .begun_i(issued_i), .ended_i(done_i), .one_ended_i(one_done_i),
    .may_leave_o(reached), .leave_i(done_pop));
  logic looked_q, refused_q, may_tell, gone;
  assign may_tell = !refused_any_i || looked_q;
  assign gone = refused_any_i && refused_q;
  always_ff @(posedge clk_i) begin
    looked_q <= rst_ni && done_valid && !done_pop && refused_any_i && !refusing_i;
    refused_q <= refused_i;
  end
  assign pub_valid_o = done_valid && reached && done_moves && may_tell && !gone;
  assign done_pop = done_valid && reached && may_tell && (!done_moves || gone || pub_ready_i);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) written_q <= '0;
    else if (done_pop) written_q <= written_q + 8'd1;
  end
  assign written_o = written_q;
  assign idle_o = !active_q && !verdict_valid_i && done_count == '0;

  `SW_ASSERT(DoneHasRoom, !(step && last) || done_room)
  `SW_ASSERT(LineIsThere, !payload_ready_o || payload_valid_i)
  `SW_ASSERT(VerdictIsOfTheFrame, !begins || {1'b0, skip} + {1'b0, take} <= {1'b0, left})
  `SW_ASSERT(AllThatIsTakenIsWritten, !(step && last) || take == 10'(writes))
  `SW_ASSERT(WaitingWriteIsHeld, !mem_valid_o || mem_ready_i || (present && able))

  logic unused;
  assign unused = &{1'b0, index[30:MemLineBits]};

endmodule
