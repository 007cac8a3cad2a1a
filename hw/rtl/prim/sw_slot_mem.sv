// Slot memory on the chip: lines of 512 bits with a parity bit for every byte, one read port, one write port.
//
// Read: taken in every clock (rd_ready_o is always 1); the response comes ReadLatency clocks after the request, in order,
// and cannot be held back. rsp_err_o: the parity of a byte of the line is wrong; rsp_data_o is what was read.
// Write: taken in every clock. wr_done_o pulses 2 clocks later, once for each write, in order: a read that is taken in that
// clock or later sees the write. A read that is taken before sees, byte by byte, the old line or the new one, and its parity
// is right. Parity per byte costs 64 bits a line, but needs no read before a write with strobes.
// Contents are not reset. They are zero after configuration, with the right parity.
`include "sw_assert.svh"

module sw_slot_mem #(
  parameter int unsigned Lines = 4096,  // A power of two, 2 or more.
  parameter int unsigned ReadLatency = 2,  // Clocks; 2, or 3 for deep memories (an output register in the RAM).
  parameter int unsigned Style = 0,  // Of the RAM, as sw_ram_sdp's.
  localparam int unsigned AddrW = $clog2(Lines)
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  input  logic             rd_valid_i,
  output logic             rd_ready_o,
  input  logic [AddrW-1:0] rd_addr_i,  // Line number.
  output logic             rsp_valid_o,
  output logic [511:0]     rsp_data_o,
  output logic             rsp_err_o,

  input  logic             wr_valid_i,
  output logic             wr_ready_o,
  input  logic [AddrW-1:0] wr_addr_i,  // Line number.
  input  logic [511:0]     wr_data_i,
  input  logic [63:0]      wr_strb_i,  // Bytes that are written.
  output logic             wr_done_o,

  input  logic             inject_err_i  // Test hook: stores byte 0 of the write that it accompanies with wrong parity.
);

  localparam int unsigned Bytes = 64;
  localparam int unsigned LaneW = 9;  // A byte and its parity.

  if (Lines < 2 || (Lines & (Lines - 1)) != 0 || ReadLatency < 2 || ReadLatency > 3) begin : gen_check
    $error("sw_slot_mem: Lines must be a power of two, 2 or more; ReadLatency 2 or 3");
  end

  // Write: a register before the RAM, for the parity.
  logic wr_valid_q, wr_done_q;
  logic [AddrW-1:0] wr_addr_q;
  logic [Bytes*LaneW-1:0] wr_word_d, wr_word_q;
  logic [Bytes-1:0] wr_strb_q;

  always_comb begin
    for (int unsigned i = 0; i < Bytes; i++) begin
      wr_word_d[i*LaneW+:LaneW] = {^wr_data_i[i*8+:8], wr_data_i[i*8+:8]};
    end
    wr_word_d[LaneW-1] = wr_word_d[LaneW-1] ^ inject_err_i;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      wr_valid_q <= 1'b0;
      wr_done_q <= 1'b0;
    end else begin
      wr_valid_q <= wr_valid_i;
      wr_done_q <= wr_valid_q;
    end
  end

  always_ff @(posedge clk_i) begin
    wr_addr_q <= wr_addr_i;
    wr_word_q <= wr_word_d;
    wr_strb_q <= wr_strb_i;
  end

  assign wr_ready_o = 1'b1;
  assign wr_done_o = wr_done_q;

  // Read: the RAM, then a register behind the check.
  logic [Bytes*LaneW-1:0] rd_word;
  logic [Bytes-1:0] rd_bad;
  logic [ReadLatency-1:0] rd_valid_q;  // bit n: a read was taken n + 1 clocks ago
  logic [Bytes*8-1:0] rd_data;

  sw_ram_sdp #(
    .Width(Bytes * LaneW),
    .Depth(Lines),
    .LaneWidth(LaneW),
    .Latency(ReadLatency - 1),
    .Style(Style),
    .ZeroAtStart(1)
  ) u_ram (
    .clk_i,
    .we_i    (wr_valid_q && rst_ni),  // Nothing is written before the first reset has cleared wr_valid_q.
    .waddr_i (wr_addr_q),
    .wdata_i (wr_word_q),
    .wlanes_i(wr_strb_q),
    .re_i    (rd_valid_i),
    .raddr_i (rd_addr_i),
    .rdata_o (rd_word)
  );

  always_comb begin
    for (int unsigned i = 0; i < Bytes; i++) begin
      rd_data[i*8+:8] = rd_word[i*LaneW+:8];
      rd_bad[i] = ^rd_word[i*LaneW+:LaneW];
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) rd_valid_q <= '0;
    else rd_valid_q <= {rd_valid_q[ReadLatency-2:0], rd_valid_i};
  end

  always_ff @(posedge clk_i) begin
    rsp_data_o <= rd_data;
    rsp_err_o <= |rd_bad;
  end

  assign rd_ready_o = 1'b1;
  assign rsp_valid_o = rd_valid_q[ReadLatency-1];

endmodule
