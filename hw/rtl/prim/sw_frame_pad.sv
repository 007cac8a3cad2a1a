// Pads frames of an AXI-Stream to the least length that a MAC takes. A frame shorter than Bytes, which is one beat then, gets zeros.
module sw_frame_pad #(
  parameter int unsigned Bytes = 60,  // Least bytes of a frame without its check sequence, 1 to DataW / 8.
  parameter int unsigned DataW = 512,  // Bits of tdata, a multiple of 8.
  localparam int unsigned KeepW = DataW / 8
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic             valid_i,  // A beat is taken in this clock if ready_i as well.
  input  logic             ready_i,
  input  logic [DataW-1:0] data_i,
  input  logic [KeepW-1:0] keep_i,
  input  logic             last_i,
  output logic [DataW-1:0] data_o,
  output logic [KeepW-1:0] keep_o
);

  if (Bytes < 1 || Bytes > KeepW || DataW % 8 != 0) begin : gen_check
    $error("sw_frame_pad: Bytes must be 1 to DataW / 8");
  end

  logic first_q;  // The next beat is a frame's first.
  always_ff @(posedge clk_i) begin
    if (!rst_ni) first_q <= 1'b1;
    else if (valid_i && ready_i) first_q <= last_i;
  end

  for (genvar i = 0; i < KeepW; i++) begin : gen_bytes
    assign data_o[i*8+:8] = keep_i[i] ? data_i[i*8+:8] : 8'd0;
    assign keep_o[i] = keep_i[i] || (first_q && last_i && i < Bytes);
  end

endmodule
