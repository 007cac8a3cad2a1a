// Word accesses of a window between two clocks: from sw_axil_slave on one to sw_window on the other, one at a time.
//
// A write is taken when it is on its way; accesses arrive in order, so a read that follows sees it.

module sw_window_cdc #(
  localparam int unsigned AddrW = slotwire_pkg::WindowBits
) (
  input  logic             s_clk_i,
  input  logic             s_rst_ni,
  input  logic             s_req_valid_i,
  output logic             s_req_ready_o,
  input  logic             s_req_write_i,
  input  logic [AddrW-1:0] s_req_addr_i,
  input  logic [3:0]       s_req_word_i,
  input  logic [511:0]     s_req_wdata_i,
  input  logic [63:0]      s_req_wstrb_i,
  output logic             s_rsp_valid_o,
  output logic [511:0]     s_rsp_rdata_o,
  output logic             s_rsp_err_o,

  input  logic             m_clk_i,
  input  logic             m_rst_ni,
  output logic             m_req_valid_o,
  input  logic             m_req_ready_i,
  output logic             m_req_write_o,
  output logic [AddrW-1:0] m_req_addr_o,
  output logic [3:0]       m_req_word_o,
  output logic [511:0]     m_req_wdata_o,
  output logic [63:0]      m_req_wstrb_o,
  input  logic             m_rsp_valid_i,
  input  logic [511:0]     m_rsp_rdata_i,
  input  logic             m_rsp_err_i
);

  localparam int unsigned LineW = 6;
  localparam int unsigned Depth = 4;
  localparam int unsigned CountW = $clog2(Depth) + 1;
  localparam int unsigned RequestW = 1 + AddrW - LineW + 4 + 32 + 4;

  logic [3:0] strb, m_strb;
  logic [31:0] m_wdata, m_rdata, s_rdata;
  logic unused_room;
  logic [CountW-1:0] unused_counts[4];
  assign strb = s_req_wstrb_i[{s_req_word_i, 2'b00}+:4];
  sw_async_fifo #(.Width(RequestW), .Depth(Depth)) u_request (
    .wclk_i(s_clk_i), .wrst_ni(s_rst_ni), .wvalid_i(s_req_valid_i), .wready_o(s_req_ready_o),
    .wdata_i({s_req_write_i, s_req_addr_i[AddrW-1:LineW], s_req_word_i, s_req_wdata_i[31:0], strb}), .wcount_o(unused_counts[0]),
    .rclk_i(m_clk_i), .rrst_ni(m_rst_ni), .rvalid_o(m_req_valid_o), .rready_i(m_req_ready_i),
    .rdata_o({m_req_write_o, m_req_addr_o[AddrW-1:LineW], m_req_word_o, m_wdata, m_strb}), .rcount_o(unused_counts[1]));
  assign m_req_addr_o[LineW-1:0] = '0;
  assign m_req_wdata_o = {16{m_wdata}};
  assign m_req_wstrb_o = 64'(m_strb) << {m_req_word_o, 2'b00};

  // The word that a read wants of its line, kept since the request has gone when its answer comes.
  logic [3:0] word_q;
  always_ff @(posedge m_clk_i) begin
    if (m_req_valid_o && m_req_ready_i) word_q <= m_req_word_o;
  end
  assign m_rdata = m_rsp_rdata_i[{word_q, 5'd0}+:32];
  sw_async_fifo #(.Width(33), .Depth(Depth)) u_answer (
    .wclk_i(m_clk_i), .wrst_ni(m_rst_ni), .wvalid_i(m_rsp_valid_i), .wready_o(unused_room), .wdata_i({m_rsp_err_i, m_rdata}),
    .wcount_o(unused_counts[2]), .rclk_i(s_clk_i), .rrst_ni(s_rst_ni), .rvalid_o(s_rsp_valid_o), .rready_i(1'b1),
    .rdata_o({s_rsp_err_o, s_rdata}), .rcount_o(unused_counts[3]));
  assign s_rsp_rdata_o = {16{s_rdata}};

  logic unused;
  assign unused = &{1'b0, s_req_wdata_i[511:32], s_req_addr_i[LineW-1:0]};

endmodule
