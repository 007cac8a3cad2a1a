// Holds things back until the events that had begun before them have ended. Things and events each keep their order.
//
// Two counters outside count the events that have begun and ended, mod 2^CountW. A thing enters with the number of events that
// had begun, its age, and may leave when as many have ended.
//
//   enter ---> ages that are not reached yet ---> how many things may leave ---> leave
//
// Ages wrap. So an age is compared only until it is reached; that is remembered, and the thing may then stay for as long as it
// takes, whatever begins and ends meanwhile. One age is compared in a clock, the oldest, and one event ends in a clock: as ages
// never decrease, an age is compared before Depth more events have ended (AgeInRange).
`include "sw_assert.svh"

module sw_fence #(
  parameter int unsigned Depth = 16,  // Things that wait, a power of two, 2 or more.
  parameter int unsigned Pending = 64,  // Events that have begun and not ended, at most.
  parameter int unsigned CountW = 8  // Bits of the counters of events.
) (
  input logic clk_i,
  input logic rst_ni,

  input logic              enter_i,  // A thing enters; there must be room.
  input logic [CountW-1:0] begun_i,  // Its age.
  input logic [CountW-1:0] ended_i,  // Events that had ended before this clock.
  input logic              one_ended_i,  // And one more in this clock; may be left at 0, as it is in ended_i a clock later.

  output logic may_leave_o,  // The oldest thing may leave.
  input  logic leave_i  // It leaves.
);

  localparam int unsigned ThingsW = $clog2(Depth) + 1;

  if (Pending > (1 << (CountW - 1)) || Depth >= (1 << (CountW - 1))) begin : gen_check
    $error("sw_fence: CountW is too small for Pending events or Depth things");
  end

  logic               age_valid, room, reached;
  logic [CountW-1:0]  age, ahead;
  logic [ThingsW-1:0] age_count, free_q;  // free_q: things whose age was reached and that have not left.
  sw_fifo #(.Width(CountW), .Depth(Depth)) u_ages (
    .clk_i, .rst_ni, .wvalid_i(enter_i), .wready_o(room), .wdata_i(begun_i), .rvalid_o(age_valid), .rready_i(reached),
    .rdata_o(age), .count_o(age_count));
  assign ahead = ended_i - age;
  assign reached = age_valid && (!ahead[CountW-1] || (ahead == '1 && one_ended_i));
  assign may_leave_o = reached || free_q != '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) free_q <= '0;
    else free_q <= free_q + ThingsW'(reached) - ThingsW'(leave_i);
  end

  `SW_ASSUME(EventsInRange, CountW'(begun_i - ended_i) <= CountW'(Pending))
  `SW_ASSERT(HasRoom, !enter_i || (room && 32'(age_count) + 32'(free_q) < Depth))
  `SW_ASSERT(LeavesWhenItMay, !leave_i || may_leave_o)
  `SW_ASSERT(AgeInRange, !age_valid || CountW'(ahead + CountW'(Pending)) <= CountW'(Pending + Depth))

  logic unused;
  assign unused = &{1'b0, room, age_count};

endmodule
