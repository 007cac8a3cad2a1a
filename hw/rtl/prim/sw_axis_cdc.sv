// Carries an AXI-Stream from one clock to another, beat by beat (sw_async_fifo; its rules for reset and constraints hold).
module sw_axis_cdc #(
  parameter int unsigned DataW = 512,  // Bits of tdata, a multiple of 8.
  parameter int unsigned Depth = 16,  // Beats, a power of two, 4 or more; 8 or more for full throughput.
  localparam int unsigned KeepW = DataW / 8
) (
  input  logic             s_clk_i,
  input  logic             s_rst_ni,
  input  logic             s_tvalid_i,
  output logic             s_tready_o,
  input  logic [DataW-1:0] s_tdata_i,
  input  logic [KeepW-1:0] s_tkeep_i,
  input  logic             s_tlast_i,
  input  logic             s_tuser_i,

  input  logic             m_clk_i,
  input  logic             m_rst_ni,
  output logic             m_tvalid_o,
  input  logic             m_tready_i,
  output logic [DataW-1:0] m_tdata_o,
  output logic [KeepW-1:0] m_tkeep_o,
  output logic             m_tlast_o,
  output logic             m_tuser_o
);

  if (DataW < 8 || DataW % 8 != 0) begin : gen_check
    $error("sw_axis_cdc: DataW must be a multiple of 8");
  end

  localparam int unsigned WordW = DataW + KeepW + 2;
  localparam int unsigned CountW = $clog2(Depth) + 1;

  logic valid, ready;
  logic [WordW-1:0] word;
  logic [CountW-1:0] unused_wcount, unused_rcount;

  sw_async_fifo #(
    .Width(WordW),
    .Depth(Depth)
  ) u_fifo (
    .wclk_i  (s_clk_i),
    .wrst_ni (s_rst_ni),
    .wvalid_i(s_tvalid_i),
    .wready_o(s_tready_o),
    .wdata_i ({s_tuser_i, s_tlast_i, s_tkeep_i, s_tdata_i}),
    .wcount_o(unused_wcount),
    .rclk_i  (m_clk_i),
    .rrst_ni (m_rst_ni),
    .rvalid_o(valid),
    .rready_i(ready),
    .rdata_o (word),
    .rcount_o(unused_rcount)
  );

  // The memory's output would be a long path into whatever follows.
  sw_skid #(
    .Width(WordW)
  ) u_out (
    .clk_i   (m_clk_i),
    .rst_ni  (m_rst_ni),
    .wvalid_i(valid),
    .wready_o(ready),
    .wdata_i (word),
    .rvalid_o(m_tvalid_o),
    .rready_i(m_tready_i),
    .rdata_o ({m_tuser_o, m_tlast_o, m_tkeep_o, m_tdata_o})
  );

endmodule
