// The scheduler in slotwire_rows, by a search through the first clocks (no proof): the properties are in check/fv_slotwire_rows_inner.svh. The rules may decide anything
// (fv_slotwire_rows.toml); the queue, the table of who stands in it, the turns and the credits are the RTL's.
//
// The environment: who offers something keeps it until it is taken, and a received frame's slot with it.
`include "fv_reset.svh"
`include "sw_assert.svh"

module fv_slotwire_rows #(
  parameter int unsigned Slots = 4,
  localparam int unsigned SlotW = $clog2(Slots)
) (
  input logic        clk_i,
  input logic        rst_ni,
  input logic        rx_valid_i,
  input logic [SlotW-1:0] rx_dst_slot_i,
  input logic        db_valid_i,
  input logic        db_out_head_i,
  input logic [SlotW-1:0] db_slot_i,
  input logic        ctl_valid_i,
  input logic        ctl_write_i,
  input logic        ctl_fault_i,
  input logic [SlotW-1:0] ctl_slot_i,
  input logic        walk_valid_i,
  input logic        walk_up_i,
  input logic        error_valid_i,
  input logic [SlotW-1:0] error_slot_i,
  input logic        refused_valid_i,
  input logic [SlotW-1:0] refused_slot_i,
  input logic        tx_ready_i,
  input logic        tx_idle_i,
  input logic        verdict_ready_i,
  input logic        writer_idle_i,
  input logic        refused_idle_i,
  input logic        pub_room_i
);

  `FV_RESET

  logic rx_ready, db_ready, ctl_done, error_ready, refused_ready;
  slotwire_pkg::rx_head_t rx;
  always_comb begin
    rx = '0;
    rx.dst_slot = 16'(rx_dst_slot_i);
  end

  slotwire_rows #(
    .Slots(Slots),
    .Links(2)
  ) u_dut (
    .clk_i,
    .rst_ni,
    .now_us_i('0),
    .rx_valid_i,
    .rx_ready_o(rx_ready),
    .rx_i(rx),
    .crc_pop_o(),
    .crc_bad_i('0),
    .db_valid_i,
    .db_ready_o(db_ready),
    .db_out_head_i,
    .db_slot_i,
    .db_value_i('0),
    .ctl_valid_i,
    .ctl_write_i,
    .ctl_fault_i,
    .ctl_link_i('0),
    .ctl_slot_i(16'(ctl_slot_i)),
    .ctl_cause_i('0),
    .ctl_row_i('0),
    .ctl_done_o(ctl_done),
    .ctl_row_o(),
    .ctl_link_o(),
    .link_we_i('0),
    .link_waddr_i('0),
    .link_wdata_i('0),
    .walk_valid_i,
    .walk_up_i,
    .walk_link_i('0),
    .walk_busy_o(),
    .init_o(),
    .init_slot_o(),
    .error_valid_i,
    .error_ready_o(error_ready),
    .error_slot_i(16'(error_slot_i)),
    .refused_valid_i,
    .refused_ready_o(refused_ready),
    .refused_slot_i,
    .refused_from_i('0),
    .row_written_o(),
    .tx_valid_o(),
    .tx_ready_i,
    .tx_job_o(),
    .tx_idle_i,
    .tx_decided_o(),
    .verdict_valid_o(),
    .verdict_ready_i,
    .verdict_o(),
    .received_o(),
    .writer_idle_i,
    .refused_idle_i,
    .pub_valid_o(),
    .pub_tail_valid_o(),
    .pub_slot_o(),
    .pub_head_o(),
    .pub_tail_o(),
    .pub_room_i,
    .event_o(),
    .event_slot_o(),
    .event_fault_o(),
    .count_o(),
    .count_tx_lines_o(),
    .count_again_o(),
    .count_rx_lines_o(),
    .idle_o(),
    .sweep_o()
  );

  fv_stable #(.Width(SlotW), .Assume(1)) u_rx (
    .clk_i, .rst_ni, .valid_i(rx_valid_i), .ready_i(rx_ready), .data_i(rx_dst_slot_i));
  fv_stable #(.Width(SlotW + 1), .Assume(1)) u_db (
    .clk_i, .rst_ni, .valid_i(db_valid_i), .ready_i(db_ready), .data_i({db_out_head_i, db_slot_i}));
  fv_stable #(.Width(SlotW + 2), .Assume(1)) u_ctl (
    .clk_i, .rst_ni, .valid_i(ctl_valid_i), .ready_i(ctl_done), .data_i({ctl_write_i, ctl_fault_i, ctl_slot_i}));
  fv_stable #(.Width(SlotW), .Assume(1)) u_error (
    .clk_i, .rst_ni, .valid_i(error_valid_i), .ready_i(error_ready), .data_i(error_slot_i));
  fv_stable #(.Width(SlotW), .Assume(1)) u_refused (
    .clk_i, .rst_ni, .valid_i(refused_valid_i), .ready_i(refused_ready), .data_i(refused_slot_i));

endmodule
