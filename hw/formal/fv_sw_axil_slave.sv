// Proof of sw_axil_slave: one request for every access, to its line and its word; one answer for every access, after the core
// has taken or answered it.
`include "fv_reset.svh"
`include "sw_assert.svh"

module fv_sw_axil_slave (
  input logic         clk_i,
  input logic         rst_ni,
  input logic         mark_i,
  input logic [6:0]   awaddr_i,
  input logic         awvalid_i,
  input logic [31:0]  wdata_i,
  input logic [3:0]   wstrb_i,
  input logic         wvalid_i,
  input logic         bready_i,
  input logic [6:0]   araddr_i,
  input logic         arvalid_i,
  input logic         rready_i,
  input logic         host_req_ready_i,
  input logic         host_rsp_valid_i,
  input logic [511:0] host_rsp_rdata_i,
  input logic         host_rsp_err_i
);

  `FV_RESET

  logic awready, wready, bvalid, arready, rvalid, req_valid, req_write;
  logic [1:0] bresp, rresp;
  logic [31:0] rdata;
  logic [6:0] req_addr;
  logic [511:0] req_wdata;
  logic [63:0] req_wstrb;

  sw_axil_slave #(.AddrW(7)) u_dut (
    .clk_i,
    .rst_ni,
    .s_axil_awaddr_i (awaddr_i),
    .s_axil_awvalid_i(awvalid_i),
    .s_axil_awready_o(awready),
    .s_axil_wdata_i  (wdata_i),
    .s_axil_wstrb_i  (wstrb_i),
    .s_axil_wvalid_i (wvalid_i),
    .s_axil_wready_o (wready),
    .s_axil_bresp_o  (bresp),
    .s_axil_bvalid_o (bvalid),
    .s_axil_bready_i (bready_i),
    .s_axil_araddr_i (araddr_i),
    .s_axil_arvalid_i(arvalid_i),
    .s_axil_arready_o(arready),
    .s_axil_rdata_o  (rdata),
    .s_axil_rresp_o  (rresp),
    .s_axil_rvalid_o (rvalid),
    .s_axil_rready_i (rready_i),
    .host_req_valid_o(req_valid),
    .host_req_ready_i(host_req_ready_i),
    .host_req_write_o(req_write),
    .host_req_addr_o (req_addr),
    .host_req_wdata_o(req_wdata),
    .host_req_wstrb_o(req_wstrb),
    .host_rsp_valid_i(host_rsp_valid_i),
    .host_rsp_rdata_i(host_rsp_rdata_i),
    .host_rsp_err_i  (host_rsp_err_i)
  );

  logic write, read, req;
  logic [6:0] addr, addr_q;
  assign write = awvalid_i && awready;
  assign read = arvalid_i && arready;
  assign req = req_valid && host_req_ready_i;
  assign addr = write ? awaddr_i : araddr_i;

  // Accesses that are taken: not yet asked of the core, not yet answered.
  logic unasked_q, write_open_q, read_open_q, line_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      unasked_q <= 1'b0;
      write_open_q <= 1'b0;
      read_open_q <= 1'b0;
    end else begin
      if (write || read) unasked_q <= 1'b1;
      else if (req) unasked_q <= 1'b0;
      if (write) write_open_q <= 1'b1;
      else if (bvalid && bready_i) write_open_q <= 1'b0;
      if (read) read_open_q <= 1'b1;
      else if (rvalid && rready_i) read_open_q <= 1'b0;
      if (read) line_q <= 1'b0;
      else if (host_rsp_valid_i) line_q <= 1'b1;
    end
  end
  always_ff @(posedge clk_i) if (write || read) addr_q <= addr;

  // The word of the request and its strobes, in their place.
  logic unused_inside_req, unused_inside_r;
  logic [1:0] inside_req, inside_r;
  assign unused_inside_req = ^inside_req;
  assign unused_inside_r = ^inside_r;

  fv_scoreboard #(
    .Width(1 + 1 + 32 + 64),
    .Capacity(1),
    .MaxWait(0)
  ) u_req (
    .clk_i,
    .rst_ni,
    .mark_i,
    .in_i       (write || read),
    .in_data_i  ({write, addr[6], write ? wdata_i : 32'h0, write ? 64'(wstrb_i) << {addr[5:2], 2'b00} : 64'h0}),
    .out_valid_i(req_valid),
    .out_ready_i(host_req_ready_i),
    .out_data_i ({req_write, req_addr[6], req_write ? req_wdata[{addr_q[5:2], 5'h0}+:32] : 32'h0,
                  req_write ? req_wstrb : 64'h0}),
    .inside_o   (inside_req)
  );

  fv_scoreboard #(
    .Width(33),
    .Capacity(1),
    .MaxWait(0)
  ) u_r (
    .clk_i,
    .rst_ni,
    .mark_i,
    .in_i       (host_rsp_valid_i),
    .in_data_i  ({host_rsp_err_i, host_rsp_rdata_i[{addr_q[5:2], 5'h0}+:32]}),
    .out_valid_i(rvalid),
    .out_ready_i(rready_i),
    .out_data_i ({rresp[1], rdata}),
    .inside_o   (inside_r)
  );

  fv_stable #(.Width(584)) u_stable_req (
    .clk_i,
    .rst_ni,
    .valid_i(req_valid),
    .ready_i(host_req_ready_i),
    .data_i ({req_write, req_addr, req_wdata, req_wstrb})
  );
  fv_stable #(.Width(2)) u_stable_b (
    .clk_i,
    .rst_ni,
    .valid_i(bvalid),
    .ready_i(bready_i),
    .data_i (bresp)
  );

  `SW_ASSERT(AddressWithData, (awvalid_i && awready) == (wvalid_i && wready))
  `SW_ASSERT(OneAtATime, !((write || read) && (write_open_q || read_open_q)) && !(write && read))
  `SW_ASSERT(AnswerToAWrite, !bvalid || (write_open_q && !unasked_q && bresp == 2'b00))
  `SW_ASSERT(AnswerToARead, !rvalid || (read_open_q && line_q && !rresp[0]))
  `SW_ASSERT(LineAligned, req_addr[5:0] == '0)
  `SW_COVER(WriteAnswered, bvalid && bready_i)

endmodule
