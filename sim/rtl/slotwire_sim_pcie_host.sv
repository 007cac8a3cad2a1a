// The host's side of the PCIe card's shell by itself, with the ports of slotwire_pcie towards the bridge: in front of a simulated core.
module slotwire_sim_pcie_host #(
  parameter int unsigned Slots = 64,
  parameter int unsigned Links = 16,
  parameter int unsigned Vectors = 4,
  localparam int unsigned VectorW = Vectors > 1 ? $clog2(Vectors) : 1
) (
  input  logic           axi_aclk,
  input  logic           axi_aresetn,
  input  logic [3:0]     s_axib_awid,
  input  logic [63:0]    s_axib_awaddr,
  input  logic [7:0]     s_axib_awlen,
  input  logic [2:0]     s_axib_awsize,
  input  logic [1:0]     s_axib_awburst,
  input  logic           s_axib_awvalid,
  output logic           s_axib_awready,
  input  logic [511:0]   s_axib_wdata,
  input  logic [63:0]    s_axib_wstrb,
  input  logic           s_axib_wlast,
  input  logic           s_axib_wvalid,
  output logic           s_axib_wready,
  output logic [3:0]     s_axib_bid,
  output logic [1:0]     s_axib_bresp,
  output logic           s_axib_bvalid,
  input  logic           s_axib_bready,
  input  logic [3:0]     s_axib_arid,
  input  logic [63:0]    s_axib_araddr,
  input  logic [7:0]     s_axib_arlen,
  input  logic [2:0]     s_axib_arsize,
  input  logic [1:0]     s_axib_arburst,
  input  logic           s_axib_arvalid,
  output logic           s_axib_arready,
  output logic [3:0]     s_axib_rid,
  output logic [511:0]   s_axib_rdata,
  output logic [1:0]     s_axib_rresp,
  output logic           s_axib_rlast,
  output logic           s_axib_rvalid,
  input  logic           s_axib_rready,
  input  logic               usr_flr_set,
  output logic               usr_flr_done_vld,
  output logic               usr_irq_in_vld,
  output logic [VectorW-1:0] usr_irq_in_vec,
  input  logic               usr_irq_out_ack,
  input  logic               usr_irq_out_fail,

  output logic               core_rst_n,
  output logic               host_req_valid,
  input  logic               host_req_ready,
  output logic               host_req_write,
  output logic [28:0]        host_req_addr,
  output logic [511:0]       host_req_wdata,
  output logic [63:0]        host_req_wstrb,
  input  logic               host_rsp_valid,
  input  logic [511:0]       host_rsp_rdata,
  input  logic               host_rsp_err,
  input  logic [Vectors-1:0] core_irq,
  input  logic               dma_busy
);

  slotwire_pcie_host #(.Slots(Slots), .Links(Links), .Vectors(Vectors)) u_host (
    .clk_i(axi_aclk), .rst_ni(axi_aresetn), .s_axi_awid_i(s_axib_awid), .s_axi_awaddr_i(s_axib_awaddr[29:0]),
    .s_axi_awlen_i(s_axib_awlen), .s_axi_awsize_i(s_axib_awsize), .s_axi_awburst_i(s_axib_awburst),
    .s_axi_awvalid_i(s_axib_awvalid), .s_axi_awready_o(s_axib_awready), .s_axi_wdata_i(s_axib_wdata), .s_axi_wstrb_i(s_axib_wstrb),
    .s_axi_wlast_i(s_axib_wlast), .s_axi_wvalid_i(s_axib_wvalid), .s_axi_wready_o(s_axib_wready), .s_axi_bid_o(s_axib_bid),
    .s_axi_bresp_o(s_axib_bresp), .s_axi_bvalid_o(s_axib_bvalid), .s_axi_bready_i(s_axib_bready), .s_axi_arid_i(s_axib_arid),
    .s_axi_araddr_i(s_axib_araddr[29:0]), .s_axi_arlen_i(s_axib_arlen), .s_axi_arsize_i(s_axib_arsize),
    .s_axi_arburst_i(s_axib_arburst), .s_axi_arvalid_i(s_axib_arvalid), .s_axi_arready_o(s_axib_arready), .s_axi_rid_o(s_axib_rid),
    .s_axi_rdata_o(s_axib_rdata), .s_axi_rresp_o(s_axib_rresp), .s_axi_rlast_o(s_axib_rlast), .s_axi_rvalid_o(s_axib_rvalid),
    .s_axi_rready_i(s_axib_rready), .flr_set_i(usr_flr_set), .flr_done_o(usr_flr_done_vld), .irq_valid_o(usr_irq_in_vld),
    .irq_vector_o(usr_irq_in_vec), .irq_ack_i(usr_irq_out_ack), .irq_fail_i(usr_irq_out_fail), .core_rst_no(core_rst_n),
    .host_req_valid_o(host_req_valid), .host_req_ready_i(host_req_ready), .host_req_write_o(host_req_write),
    .host_req_addr_o(host_req_addr), .host_req_wdata_o(host_req_wdata), .host_req_wstrb_o(host_req_wstrb),
    .host_rsp_valid_i(host_rsp_valid), .host_rsp_rdata_i(host_rsp_rdata), .host_rsp_err_i(host_rsp_err), .core_irq_i(core_irq),
    .dma_busy_i(dma_busy));

  logic unused;
  assign unused = &{1'b0, s_axib_awaddr[63:30], s_axib_araddr[63:30]};

endmodule
