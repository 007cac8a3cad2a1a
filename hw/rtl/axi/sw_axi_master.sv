// Slot memory outside the chip (HBM, DDR): sw_slot_mem's port on one side, an AXI4 master of 512 bits on the other.
//
// Every line is a burst of one beat with ID 0, so answers come in order. Reads and writes that are outstanding are bounded by
// MaxReads and MaxWrites; answers of the memory are always taken. wr_done_o pulses with B, in order: a read that is taken
// after it sees the write. wr_err_o says with wr_done_o that the memory refused the write. A read that the memory refused
// comes back with rsp_err_o. Latency: that of the memory, and 1 clock each way.
`include "sw_assert.svh"

module sw_axi_master #(
  parameter int unsigned Lines = 4096,  // A power of two, 2 or more.
  parameter int unsigned AddrW = 34,  // Bits of a byte address on AXI, enough for Lines and base_i.
  parameter int unsigned IdW = 1,  // Bits of an ID, 1 or more.
  parameter int unsigned MaxReads = 64,  // A power of two, 2 or more.
  parameter int unsigned MaxWrites = 64,  // A power of two, 2 or more.
  parameter int unsigned DataW = 512,  // Bits of a line. Less in proofs only.
  localparam int unsigned StrbW = DataW / 8,
  localparam int unsigned LineAddrW = $clog2(Lines)
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  input  logic [AddrW-1:0]     base_i,  // Byte address of line 0, a multiple of the line; stable while in use.

  input  logic                 rd_valid_i,
  output logic                 rd_ready_o,
  input  logic [LineAddrW-1:0] rd_addr_i,  // Line number.
  output logic                 rsp_valid_o,
  output logic [DataW-1:0]     rsp_data_o,
  output logic                 rsp_err_o,

  input  logic                 wr_valid_i,
  output logic                 wr_ready_o,
  input  logic [LineAddrW-1:0] wr_addr_i,  // Line number.
  input  logic [DataW-1:0]     wr_data_i,
  input  logic [StrbW-1:0]     wr_strb_i,  // Bytes that are written.
  output logic                 wr_done_o,
  output logic                 wr_err_o,

  output logic [IdW-1:0]       m_axi_awid_o,
  output logic [AddrW-1:0]     m_axi_awaddr_o,
  output logic [7:0]           m_axi_awlen_o,
  output logic [2:0]           m_axi_awsize_o,
  output logic [1:0]           m_axi_awburst_o,
  output logic                 m_axi_awvalid_o,
  input  logic                 m_axi_awready_i,
  output logic [DataW-1:0]     m_axi_wdata_o,
  output logic [StrbW-1:0]     m_axi_wstrb_o,
  output logic                 m_axi_wlast_o,
  output logic                 m_axi_wvalid_o,
  input  logic                 m_axi_wready_i,
  input  logic [1:0]           m_axi_bresp_i,
  input  logic                 m_axi_bvalid_i,
  output logic                 m_axi_bready_o,
  output logic [IdW-1:0]       m_axi_arid_o,
  output logic [AddrW-1:0]     m_axi_araddr_o,
  output logic [7:0]           m_axi_arlen_o,
  output logic [2:0]           m_axi_arsize_o,
  output logic [1:0]           m_axi_arburst_o,
  output logic                 m_axi_arvalid_o,
  input  logic                 m_axi_arready_i,
  input  logic [DataW-1:0]     m_axi_rdata_i,
  input  logic [1:0]           m_axi_rresp_i,
  input  logic                 m_axi_rvalid_i,
  output logic                 m_axi_rready_o
);

  localparam int unsigned LineW = $clog2(StrbW);  // Bits of an address inside a line.
  localparam int unsigned ReadsW = $clog2(MaxReads) + 1;
  localparam int unsigned WritesW = $clog2(MaxWrites) + 1;
  localparam logic [1:0] BurstIncr = 2'b01;

  if (Lines < 2 || (Lines & (Lines - 1)) != 0 || AddrW < LineAddrW + LineW || IdW < 1 || MaxReads < 2 ||
      (MaxReads & (MaxReads - 1)) != 0 || MaxWrites < 2 || (MaxWrites & (MaxWrites - 1)) != 0) begin : gen_check
    $error("sw_axi_master: a parameter is out of range");
  end

  // Outstanding, from the port to the answer.
  logic [ReadsW-1:0] reads_q;
  logic [WritesW-1:0] writes_q;
  logic ar_ready, aw_ready, w_ready, read, write, read_back, write_back;

  assign rd_ready_o = ar_ready && !reads_q[ReadsW-1];
  assign wr_ready_o = aw_ready && w_ready && !writes_q[WritesW-1];
  assign read = rd_valid_i && rd_ready_o;
  assign write = wr_valid_i && wr_ready_o;
  assign read_back = m_axi_rvalid_i;
  assign write_back = m_axi_bvalid_i;
  assign m_axi_rready_o = 1'b1;
  assign m_axi_bready_o = 1'b1;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      reads_q <= '0;
      writes_q <= '0;
      rsp_valid_o <= 1'b0;
      wr_done_o <= 1'b0;
    end else begin
      reads_q <= reads_q + ReadsW'(read) - ReadsW'(read_back);
      writes_q <= writes_q + WritesW'(write) - WritesW'(write_back);
      rsp_valid_o <= read_back;
      wr_done_o <= write_back;
    end
  end

  always_ff @(posedge clk_i) begin
    rsp_data_o <= m_axi_rdata_i;
    rsp_err_o <= m_axi_rresp_i[1];
    wr_err_o <= m_axi_bresp_i[1];
  end

  sw_skid #(
    .Width(AddrW)
  ) u_ar (
    .clk_i,
    .rst_ni,
    .wvalid_i(read),
    .wready_o(ar_ready),
    .wdata_i (base_i + AddrW'({rd_addr_i, LineW'(0)})),
    .rvalid_o(m_axi_arvalid_o),
    .rready_i(m_axi_arready_i),
    .rdata_o (m_axi_araddr_o)
  );

  // A write goes into both or into none.
  sw_skid #(
    .Width(AddrW)
  ) u_aw (
    .clk_i,
    .rst_ni,
    .wvalid_i(write),
    .wready_o(aw_ready),
    .wdata_i (base_i + AddrW'({wr_addr_i, LineW'(0)})),
    .rvalid_o(m_axi_awvalid_o),
    .rready_i(m_axi_awready_i),
    .rdata_o (m_axi_awaddr_o)
  );

  sw_skid #(
    .Width(DataW + StrbW)
  ) u_w (
    .clk_i,
    .rst_ni,
    .wvalid_i(write),
    .wready_o(w_ready),
    .wdata_i ({wr_strb_i, wr_data_i}),
    .rvalid_o(m_axi_wvalid_o),
    .rready_i(m_axi_wready_i),
    .rdata_o ({m_axi_wstrb_o, m_axi_wdata_o})
  );

  assign m_axi_awid_o = '0;
  assign m_axi_awlen_o = '0;
  assign m_axi_awsize_o = 3'(LineW);
  assign m_axi_awburst_o = BurstIncr;
  assign m_axi_wlast_o = 1'b1;
  assign m_axi_arid_o = '0;
  assign m_axi_arlen_o = '0;
  assign m_axi_arsize_o = 3'(LineW);
  assign m_axi_arburst_o = BurstIncr;

  logic unused_resp;
  assign unused_resp = m_axi_rresp_i[0] ^ m_axi_bresp_i[0];

  `SW_ASSUME(ReadsAreAskedFor, !read_back || reads_q != '0)
  `SW_ASSUME(WritesAreAskedFor, !write_back || writes_q != '0)
  `SW_ASSERT(ReadsBounded, reads_q <= ReadsW'(MaxReads))
  `SW_ASSERT(WritesBounded, writes_q <= WritesW'(MaxWrites))

endmodule
