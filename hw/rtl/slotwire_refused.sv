// Which slots have received lines that slot memory refused (AXI: SLVERR or DECERR).
//
// Memory answers writes in order, so what stands beside each write says whose line it was. From the clock after the answer on, until the
// slot's row is written anew, none of the slot's marks are shown after lines came, and none of its frames are sent (slotwire_writer,
// slotwire_tx). slotwire_rows is told once of each such slot, with the first position of the frame whose line was refused: all lines
// before it are in memory.
`include "sw_assert.svh"

module slotwire_refused #(
  parameter int unsigned Slots = 64,  // A power of two.
  parameter int unsigned WritesMax = 128,  // Writes of slot memory that are not done, at most; a power of two.
  localparam int unsigned SlotW = $clog2(Slots)
) (
  input logic clk_i,
  input logic rst_ni,

  input logic             init_i,  // After a reset: init_slot_i has none.
  input logic [SlotW-1:0] init_slot_i,
  input logic             written_i,  // The row of written_slot_i is written; none of its lines are under way.
  input logic [SlotW-1:0] written_slot_i,

  // Writes, as memory takes and does them.
  input logic             taken_i,
  input logic             line_i,  // Of a received line, else the host's.
  input logic [SlotW-1:0] slot_i,
  input logic [31:0]      from_i,  // The first position of its frame that is written.
  input logic             done_i,
  input logic             err_i,  // It was refused.

  output logic hold_o,  // No further write until slotwire_rows has taken what is at its port.

  // Who asks of a slot does it in a clock of its own, while any_o, and once more if refuses_o was set in that clock.
  output logic             any_o,  // Some slot has such lines, or had them a clock ago.
  output logic             refuses_o,
  input  logic [SlotW-1:0] shown_slot_i,
  output logic             shown_refused_o,
  input  logic [SlotW-1:0] sent_slot_i,
  output logic             sent_refused_o,

  output logic             valid_o,
  input  logic             ready_i,
  output logic [SlotW-1:0] slot_o,
  output logic [31:0]      from_o
);

  // What is under way when hold_o rises may still be refused, each line of another slot.
  localparam int unsigned Told = Slots < 2 * WritesMax ? Slots : 2 * WritesMax;

  logic             room, valid, of_line;
  logic [SlotW-1:0] slot;
  logic [31:0]      from;
  logic [$clog2(WritesMax):0] count;
  sw_fifo #(.Width(1 + SlotW + 32), .Depth(WritesMax)) u_writes (
    .clk_i, .rst_ni, .wvalid_i(taken_i), .wready_o(room), .wdata_i({line_i, slot_i, from_i}), .rvalid_o(valid),
    .rready_i(done_i), .rdata_o({of_line, slot, from}), .count_o(count));

  (* ram_style = "distributed" *) logic refused[Slots];
  logic             refuses, first, was, clears;
  logic [SlotW-1:0] addr;
  logic [SlotW:0]   slots_q;  // That have such lines.
  assign refuses = done_i && err_i && valid && of_line;
  assign clears = init_i || written_i;
  assign addr = init_i ? init_slot_i : written_i ? written_slot_i : slot;
  assign was = refused[addr];
  assign first = refuses && !was;
  always_ff @(posedge clk_i) begin
    if (clears || refuses) refused[addr] <= !clears;
    if (!rst_ni) slots_q <= '0;
    else if (!init_i) slots_q <= slots_q + (SlotW + 1)'(first) - (SlotW + 1)'(written_i && was);
  end
  assign refuses_o = refuses;
  always_ff @(posedge clk_i) any_o <= rst_ni && (refuses || slots_q != '0);
  assign shown_refused_o = refused[shown_slot_i];
  assign sent_refused_o = refused[sent_slot_i];

  logic told_room;
  logic [$clog2(Told):0] told_count;
  sw_fifo #(.Width(SlotW + 32), .Depth(Told)) u_told (
    .clk_i, .rst_ni, .wvalid_i(first), .wready_o(told_room), .wdata_i({slot, from}), .rvalid_o(valid_o), .rready_i(ready_i),
    .rdata_o({slot_o, from_o}), .count_o(told_count));
  always_ff @(posedge clk_i) hold_o <= rst_ni && told_count != '0;

  `SW_ASSERT(WritesHaveRoom, !taken_i || room)
  `SW_ASSUME(AnswersAreAskedFor, !done_i || valid)
  `SW_ASSERT(ToldHasRoom, !first || told_room)
  `SW_ASSERT(NoLineIsUnderWayWhenItsRowIsWritten, !(refuses && clears))
  `SW_ASSERT(SlotsInRange, slots_q <= (SlotW + 1)'(Slots))

  logic unused;
  assign unused = &{1'b0, room, count, told_room};

endmodule
