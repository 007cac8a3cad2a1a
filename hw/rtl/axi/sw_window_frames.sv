// The page of the host's own frames in a shell's window (docs/registers.md), for shells on which the host has no network interface
// of its own: frames from the core a line at a time by register reads, frames to it by register writes.
//
// One line waits in each direction. The core keeps whole frames on both sides and drops those that are not fetched in time, so
// neither direction ever holds up slots.
`include "sw_assert.svh"

module sw_window_frames (
  input  logic         clk_i,
  input  logic         rst_ni,

  input  logic         write_i,
  input  logic [5:0]   word_i,  // In the page's first 256 bytes.
  input  logic [31:0]  wdata_i,
  output logic [31:0]  rdata_o,

  input  logic         to_host_tvalid_i,
  output logic         to_host_tready_o,
  input  logic [511:0] to_host_tdata_i,
  input  logic [63:0]  to_host_tkeep_i,
  input  logic         to_host_tlast_i,
  output logic         from_host_tvalid_o,
  input  logic         from_host_tready_i,
  output logic [511:0] from_host_tdata_o,
  output logic [63:0]  from_host_tkeep_o,
  output logic         from_host_tlast_o
);

  localparam logic [1:0] LineReceive = 2'(slotwire_pkg::FramesReceive / 64);
  localparam logic [1:0] LineReceived = 2'(slotwire_pkg::FramesReceiveLine / 64);
  localparam logic [1:0] LineSend = 2'(slotwire_pkg::FramesSend / 64);
  localparam logic [1:0] LineSent = 2'(slotwire_pkg::FramesSendLine / 64);

  logic [1:0] line;
  logic [3:0] word;
  assign line = word_i[5:4];
  assign word = word_i[3:0];

  // ---- from the core ------------------------------------------------------------------------------------------------------

  logic         valid_q, last_q;
  logic [511:0] line_q;
  logic [6:0]   bytes_q;
  assign to_host_tready_o = !valid_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= 1'b0;
    end else if (!valid_q) begin
      valid_q <= to_host_tvalid_i;
    end else if (write_i && line == LineReceive) begin
      valid_q <= 1'b0;
    end
    if (!valid_q) begin
      line_q <= to_host_tdata_i;
      last_q <= to_host_tlast_i;
      bytes_q <= 7'($countones(to_host_tkeep_i));
    end
  end

  // ---- to the core --------------------------------------------------------------------------------------------------------

  logic         full_q, full_last_q, begun_q;
  logic [511:0] send_q;
  logic [63:0]  keep_q;
  logic         push;
  assign push = write_i && line == LineSend && word == 4'd0 && !full_q && wdata_i[6:0] >= 7'd1 && wdata_i[6:0] <= 7'd64;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      full_q <= 1'b0;
      begun_q <= 1'b0;
    end else begin
      if (push) begin
        full_q <= 1'b1;
        begun_q <= !wdata_i[30];
      end else if (from_host_tready_i) begin
        full_q <= 1'b0;
      end
    end
    if (push) begin
      full_last_q <= wdata_i[30];
      // A line that is not the last is whole.
      for (int unsigned i = 0; i < 64; i++) keep_q[i] <= !wdata_i[30] || 7'(i) < wdata_i[6:0];
    end
    for (int unsigned i = 0; i < 16; i++) begin
      if (write_i && line == LineSent && word == 4'(i) && !full_q) send_q[i*32+:32] <= wdata_i;
    end
  end
  assign from_host_tvalid_o = full_q;
  assign from_host_tdata_o = send_q;
  assign from_host_tkeep_o = keep_q;
  assign from_host_tlast_o = full_last_q;

  always_comb begin
    rdata_o = '0;
    unique case (line)
      LineReceive: if (word == 4'd0 && valid_q) rdata_o = {1'b1, last_q, 23'd0, bytes_q};
      LineReceived: rdata_o = line_q[{word, 5'd0}+:32];
      LineSend: if (word == 4'd0) rdata_o = {!full_q, 1'b0, begun_q, 29'd0};
      default: rdata_o = '0;
    endcase
  end

  `SW_ASSUME(LinesHaveBytes, !to_host_tvalid_i || to_host_tkeep_i[0])

endmodule
