// A card in a PCIe slot: the core with slot memory on the chip, behind the vendor's bridge (QDMA subsystem as AXI bridge) and beside its
// 100G MAC. Adapters only; docs/card.md has the BARs, what orders what, and what a reset reaches.
//
// Resets: axi_aresetn is the bridge's, mac_rst_n the MAC's; either may fall at any time, and a reset of the function reaches the core
// alone. Each stream that one of them cuts ends with a damaged frame or begins with a whole one (sw_frame_guard).

module slotwire_pcie #(
  parameter int unsigned Slots = 1024,  // As slotwire_core's.
  parameter int unsigned Links = 64,
  parameter int unsigned MemLineBits = 16,  // 4 MiB of slot memory.
  parameter int unsigned MaxOrder = 12,
  parameter int unsigned FrameLines = 23,  // A frame of an MTU of 1500 bytes.
  parameter int unsigned Vectors = 8,
  parameter int unsigned MicrosecondClocks = 250,  // Of axi_aclk: 512 bits of Gen3 x16.
  parameter int unsigned HostLines = 512,
  parameter int unsigned MemLatency = 3,  // Of the slot memory, as sw_slot_mem's; 2 for small ones.
  parameter int unsigned MemStyle = 2,  // Of its RAM, as sw_ram_sdp's: 2 UltraRAM.
  parameter int unsigned WireBeats = 512,  // Of the packet FIFO each way: more than the longest frame has.
  parameter int unsigned MaxWrites = 32,  // Into host memory, under way: the bridge takes no more.
  // A write into host memory that the bridge refuses is told of so late, 16.8 ms: see slotwire_dma. A read of the host that waits for
  // it must not time out, which takes 50 ms or more.
  parameter int unsigned RefusedClocks = 4_194_304,
  parameter int unsigned IdW = 4,
  parameter logic [31:0] BuildId = 32'd0,
  localparam int unsigned VectorW = Vectors > 1 ? $clog2(Vectors) : 1
) (
  input  logic axi_aclk,
  input  logic axi_aresetn,

  // The bridge's master (m_axib of the subsystem). Addresses as the bridge translates its BARs to.
  input  logic [IdW-1:0] s_axib_awid,
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
  output logic [IdW-1:0] s_axib_bid,
  output logic [1:0]     s_axib_bresp,
  output logic           s_axib_bvalid,
  input  logic           s_axib_bready,
  input  logic [IdW-1:0] s_axib_arid,
  input  logic [63:0]    s_axib_araddr,
  input  logic [7:0]     s_axib_arlen,
  input  logic [2:0]     s_axib_arsize,
  input  logic [1:0]     s_axib_arburst,
  input  logic           s_axib_arvalid,
  output logic           s_axib_arready,
  output logic [IdW-1:0] s_axib_rid,
  output logic [511:0]   s_axib_rdata,
  output logic [1:0]     s_axib_rresp,
  output logic           s_axib_rlast,
  output logic           s_axib_rvalid,
  input  logic           s_axib_rready,

  // The bridge's slave (s_axib of the subsystem): writes into host memory, bus addresses.
  output logic [IdW-1:0] m_axib_awid,
  output logic [63:0]    m_axib_awaddr,
  output logic [7:0]     m_axib_awlen,
  output logic [2:0]     m_axib_awsize,
  output logic [1:0]     m_axib_awburst,
  output logic           m_axib_awvalid,
  input  logic           m_axib_awready,
  output logic [511:0]   m_axib_wdata,
  output logic [63:0]    m_axib_wstrb,
  output logic           m_axib_wlast,
  output logic           m_axib_wvalid,
  input  logic           m_axib_wready,
  input  logic [1:0]     m_axib_bresp,
  input  logic           m_axib_bvalid,
  output logic           m_axib_bready,

  // Reset of the function, and interrupts.
  input  logic               usr_flr_set,
  output logic               usr_flr_done_vld,
  output logic               usr_irq_in_vld,
  output logic [VectorW-1:0] usr_irq_in_vec,
  input  logic               usr_irq_out_ack,
  input  logic               usr_irq_out_fail,

  // The MAC, on its clock. It cannot wait for room, and what it sends must have no pause within a frame.
  input  logic         mac_clk,
  input  logic         mac_rst_n,  // Rises with mac_clk.
  input  logic         rx_axis_tvalid,
  input  logic [511:0] rx_axis_tdata,
  input  logic [63:0]  rx_axis_tkeep,
  input  logic         rx_axis_tlast,
  input  logic         rx_axis_tuser,  // The frame is damaged.
  output logic         tx_axis_tvalid,
  input  logic         tx_axis_tready,
  output logic [511:0] tx_axis_tdata,
  output logic [63:0]  tx_axis_tkeep,
  output logic         tx_axis_tlast,

  // The host's own frames, on axi_aclk: for the subsystem's queues, or whatever the host's network interface is.
  output logic         to_host_tvalid,
  input  logic         to_host_tready,
  output logic [511:0] to_host_tdata,
  output logic [63:0]  to_host_tkeep,
  output logic         to_host_tlast,
  output logic         to_host_tuser,  // At tlast: a reset cut the frame.
  output logic [slotwire_pkg::VerdictBits-1:0] to_host_tside,  // Queue and mark (slotwire_core's tuser).
  input  logic         from_host_tvalid,
  output logic         from_host_tready,
  input  logic [511:0] from_host_tdata,
  input  logic [63:0]  from_host_tkeep,
  input  logic         from_host_tlast
);

  logic clk, rst_n;
  assign clk = axi_aclk;
  sw_reset_sync u_reset (.clk_i(clk), .rst_ni(axi_aresetn), .rst_no(rst_n));
  // The MAC's reset in both clocks. A reset of the bridge does not stop the MAC's streams.
  logic mac_rst, mac_rst_here;
  sw_reset_sync u_mac_reset (.clk_i(mac_clk), .rst_ni(mac_rst_n), .rst_no(mac_rst));
  sw_reset_sync u_mac_reset_here (.clk_i(clk), .rst_ni(mac_rst_n), .rst_no(mac_rst_here));

  // ---- the host -----------------------------------------------------------------------------------------------------------

  logic               core_rst_n, req_valid, req_ready, req_write, rsp_valid, rsp_err;
  logic [28:0]        req_addr;
  logic [511:0]       req_wdata, rsp_rdata;
  logic [63:0]        req_wstrb;
  logic [Vectors-1:0] irq, core_irq;
  logic               dma_busy, dma_idle;
  slotwire_pcie_host #(.Slots(Slots), .Links(Links), .Vectors(Vectors), .IdW(IdW)) u_host (
    .clk_i(clk), .rst_ni(rst_n), .s_axi_awid_i(s_axib_awid), .s_axi_awaddr_i(s_axib_awaddr[29:0]), .s_axi_awlen_i(s_axib_awlen),
    .s_axi_awsize_i(s_axib_awsize), .s_axi_awburst_i(s_axib_awburst), .s_axi_awvalid_i(s_axib_awvalid),
    .s_axi_awready_o(s_axib_awready), .s_axi_wdata_i(s_axib_wdata), .s_axi_wstrb_i(s_axib_wstrb), .s_axi_wlast_i(s_axib_wlast),
    .s_axi_wvalid_i(s_axib_wvalid), .s_axi_wready_o(s_axib_wready), .s_axi_bid_o(s_axib_bid), .s_axi_bresp_o(s_axib_bresp),
    .s_axi_bvalid_o(s_axib_bvalid), .s_axi_bready_i(s_axib_bready), .s_axi_arid_i(s_axib_arid),
    .s_axi_araddr_i(s_axib_araddr[29:0]), .s_axi_arlen_i(s_axib_arlen), .s_axi_arsize_i(s_axib_arsize),
    .s_axi_arburst_i(s_axib_arburst), .s_axi_arvalid_i(s_axib_arvalid), .s_axi_arready_o(s_axib_arready),
    .s_axi_rid_o(s_axib_rid), .s_axi_rdata_o(s_axib_rdata), .s_axi_rresp_o(s_axib_rresp), .s_axi_rlast_o(s_axib_rlast),
    .s_axi_rvalid_o(s_axib_rvalid), .s_axi_rready_i(s_axib_rready), .flr_set_i(usr_flr_set), .flr_done_o(usr_flr_done_vld),
    .irq_valid_o(usr_irq_in_vld), .irq_vector_o(usr_irq_in_vec), .irq_ack_i(usr_irq_out_ack), .irq_fail_i(usr_irq_out_fail),
    .core_rst_no(core_rst_n), .host_req_valid_o(req_valid), .host_req_ready_i(req_ready), .host_req_write_o(req_write),
    .host_req_addr_o(req_addr), .host_req_wdata_o(req_wdata), .host_req_wstrb_o(req_wstrb), .host_rsp_valid_i(rsp_valid),
    .host_rsp_rdata_i(rsp_rdata), .host_rsp_err_i(rsp_err), .core_irq_i(irq), .dma_busy_i(dma_busy));

  // ---- slot memory, and rings in host memory --------------------------------------------------------------------------------------------------------

  logic                   rd_valid, rd_ready, mem_rsp_valid, mem_rsp_err, wr_valid, wr_ready, wr_dma, wr_done, wr_err;
  logic                   chip_wr_valid, chip_wr_ready, chip_wr_done;
  logic [15:0]            wr_slot;
  logic [MemLineBits-1:0] rd_addr, wr_addr;
  logic [511:0]           mem_rsp_data, wr_data;
  logic [63:0]            wr_strb;
  sw_slot_mem #(.Lines(1 << MemLineBits), .ReadLatency(MemLatency), .Style(MemStyle)) u_memory (
    .clk_i(clk), .rst_ni(core_rst_n), .rd_valid_i(rd_valid), .rd_ready_o(rd_ready), .rd_addr_i(rd_addr), .rsp_valid_o(mem_rsp_valid),
    .rsp_data_o(mem_rsp_data), .rsp_err_o(mem_rsp_err), .wr_valid_i(chip_wr_valid), .wr_ready_o(chip_wr_ready),
    .wr_addr_i(wr_addr), .wr_data_i(wr_data), .wr_strb_i(wr_strb), .wr_done_o(chip_wr_done), .inject_err_i(1'b0));

  slotwire_pkg::dma_from_core_t from_core;
  slotwire_pkg::dma_to_core_t   to_core;
  slotwire_dma #(.Slots(Slots), .MemLineBits(MemLineBits), .Vectors(Vectors), .MaxWrites(MaxWrites), .IdW(IdW), .RefusedClocks(RefusedClocks)) u_dma (
    .clk_i(clk), .rst_ni(rst_n), .core_rst_ni(core_rst_n), .wr_valid_i(wr_valid), .wr_ready_o(wr_ready), .wr_dma_i(wr_dma),
    .wr_slot_i(wr_slot), .wr_addr_i(wr_addr), .wr_data_i(wr_data), .wr_done_o(wr_done), .wr_err_o(wr_err),
    .mem_wr_valid_o(chip_wr_valid), .mem_wr_ready_i(chip_wr_ready), .mem_wr_done_i(chip_wr_done), .core_i(from_core), .core_o(to_core),
    .irq_i(core_irq), .irq_o(irq), .busy_o(dma_busy), .idle_o(dma_idle), .m_axi_awid_o(m_axib_awid), .m_axi_awaddr_o(m_axib_awaddr),
    .m_axi_awlen_o(m_axib_awlen), .m_axi_awsize_o(m_axib_awsize), .m_axi_awburst_o(m_axib_awburst), .m_axi_awvalid_o(m_axib_awvalid),
    .m_axi_awready_i(m_axib_awready), .m_axi_wdata_o(m_axib_wdata), .m_axi_wstrb_o(m_axib_wstrb), .m_axi_wlast_o(m_axib_wlast),
    .m_axi_wvalid_o(m_axib_wvalid), .m_axi_wready_i(m_axib_wready), .m_axi_bresp_i(m_axib_bresp), .m_axi_bvalid_i(m_axib_bvalid),
    .m_axi_bready_o(m_axib_bready));

  // ---- from the MAC: whole and good frames only, then to the core's clock -------------------------------------------------

  // The MAC may begin a frame as soon as its reset has ended, when what is behind is still in it.
  logic         wire_tvalid, wire_tready, wire_tlast, wire_tuser, wire_side;
  logic [511:0] wire_tdata;
  logic [63:0]  wire_tkeep;
  sw_frame_guard u_wire_guard (
    .clk_i(mac_clk), .src_gone_i(!mac_rst_n), .dst_gone_i(!mac_rst), .s_tvalid_i(rx_axis_tvalid), .s_tready_o(wire_tready),
    .s_tdata_i(rx_axis_tdata), .s_tkeep_i(rx_axis_tkeep), .s_tlast_i(rx_axis_tlast), .s_tuser_i(rx_axis_tuser), .s_tside_i(1'b0),
    .m_tvalid_o(wire_tvalid), .m_tready_i(1'b1), .m_tdata_o(wire_tdata), .m_tkeep_o(wire_tkeep), .m_tlast_o(wire_tlast),
    .m_tuser_o(wire_tuser), .m_tside_o(wire_side));

  logic         in_tvalid, in_tready, in_tlast, came_tvalid, came_tready, came_tlast, came_tuser;
  logic         rx_tvalid, rx_tready, rx_tlast, rx_tuser;
  logic [511:0] in_tdata, came_tdata, rx_tdata;
  logic [63:0]  in_tkeep, came_tkeep, rx_tkeep;
  logic         in_tready_fifo, in_dropped, in_side, rx_side;
  sw_frame_fifo #(.Depth(WireBeats), .DropWhenFull(1)) u_in (
    .clk_i(mac_clk), .rst_ni(mac_rst), .s_tvalid_i(wire_tvalid), .s_tready_o(in_tready_fifo), .s_tdata_i(wire_tdata),
    .s_tkeep_i(wire_tkeep), .s_tlast_i(wire_tlast), .s_tuser_i(wire_tuser), .s_tside_i(1'b0), .m_tvalid_o(in_tvalid),
    .m_tready_i(in_tready), .m_tdata_o(in_tdata), .m_tkeep_o(in_tkeep), .m_tlast_o(in_tlast), .m_tside_o(in_side),
    .drop_o(in_dropped));
  sw_axis_cdc u_in_cdc (
    .s_clk_i(mac_clk), .s_rst_ni(mac_rst), .s_tvalid_i(in_tvalid), .s_tready_o(in_tready), .s_tdata_i(in_tdata),
    .s_tkeep_i(in_tkeep), .s_tlast_i(in_tlast), .s_tuser_i(1'b0), .m_clk_i(clk), .m_rst_ni(mac_rst_here), .m_tvalid_o(came_tvalid),
    .m_tready_i(came_tready), .m_tdata_o(came_tdata), .m_tkeep_o(came_tkeep), .m_tlast_o(came_tlast), .m_tuser_o(came_tuser));
  sw_frame_guard u_in_guard (
    .clk_i(clk), .src_gone_i(!mac_rst_here), .dst_gone_i(!core_rst_n), .s_tvalid_i(came_tvalid),
    .s_tready_o(came_tready), .s_tdata_i(came_tdata), .s_tkeep_i(came_tkeep), .s_tlast_i(came_tlast), .s_tuser_i(came_tuser),
    .s_tside_i(1'b0), .m_tvalid_o(rx_tvalid), .m_tready_i(rx_tready), .m_tdata_o(rx_tdata), .m_tkeep_o(rx_tkeep),
    .m_tlast_o(rx_tlast), .m_tuser_o(rx_tuser), .m_tside_o(rx_side));

  // ---- to the MAC: no frame shorter than it takes, and none before all of it is there -------------------------------------

  logic         tx_tvalid, tx_tready, tx_tlast, go_tvalid, go_tready, go_tlast, go_tuser, out_tvalid, out_tready, out_tlast, out_tuser;
  logic [511:0] tx_tdata, go_tdata, go_padded, out_tdata;
  logic [63:0]  tx_tkeep, go_tkeep, go_kept, out_tkeep;
  logic         go_side, tx_side, out_dropped;
  sw_frame_guard u_out_guard (
    .clk_i(clk), .src_gone_i(!core_rst_n), .dst_gone_i(!mac_rst_here), .s_tvalid_i(tx_tvalid),
    .s_tready_o(tx_tready), .s_tdata_i(tx_tdata), .s_tkeep_i(tx_tkeep), .s_tlast_i(tx_tlast), .s_tuser_i(1'b0), .s_tside_i(1'b0),
    .m_tvalid_o(go_tvalid), .m_tready_i(go_tready), .m_tdata_o(go_tdata), .m_tkeep_o(go_tkeep), .m_tlast_o(go_tlast),
    .m_tuser_o(go_tuser), .m_tside_o(go_side));
  sw_frame_pad u_pad (
    .clk_i(clk), .rst_ni(mac_rst_here), .valid_i(go_tvalid), .ready_i(go_tready), .data_i(go_tdata), .keep_i(go_tkeep),
    .last_i(go_tlast), .data_o(go_padded), .keep_o(go_kept));
  sw_axis_cdc u_out_cdc (
    .s_clk_i(clk), .s_rst_ni(mac_rst_here), .s_tvalid_i(go_tvalid), .s_tready_o(go_tready), .s_tdata_i(go_padded),
    .s_tkeep_i(go_kept), .s_tlast_i(go_tlast), .s_tuser_i(go_tuser), .m_clk_i(mac_clk), .m_rst_ni(mac_rst), .m_tvalid_o(out_tvalid),
    .m_tready_i(out_tready), .m_tdata_o(out_tdata), .m_tkeep_o(out_tkeep), .m_tlast_o(out_tlast), .m_tuser_o(out_tuser));
  sw_frame_fifo #(.Depth(WireBeats), .DropWhenFull(0)) u_out (
    .clk_i(mac_clk), .rst_ni(mac_rst), .s_tvalid_i(out_tvalid), .s_tready_o(out_tready), .s_tdata_i(out_tdata),
    .s_tkeep_i(out_tkeep), .s_tlast_i(out_tlast), .s_tuser_i(out_tuser), .s_tside_i(1'b0), .m_tvalid_o(tx_axis_tvalid),
    .m_tready_i(tx_axis_tready), .m_tdata_o(tx_axis_tdata), .m_tkeep_o(tx_axis_tkeep), .m_tlast_o(tx_axis_tlast),
    .m_tside_o(tx_side), .drop_o(out_dropped));

  // ---- the host's own frames ----------------------------------------------------------------------------------------------

  logic         up_tvalid, up_tready, up_tlast, down_tvalid, down_tready, down_tlast, down_tuser, down_side;
  logic [511:0] up_tdata, down_tdata;
  logic [63:0]  up_tkeep, down_tkeep;
  logic [slotwire_pkg::VerdictBits-1:0] up_verdict;
  sw_frame_guard #(.SideW(slotwire_pkg::VerdictBits)) u_up_guard (
    .clk_i(clk), .src_gone_i(!core_rst_n), .dst_gone_i(!rst_n), .s_tvalid_i(up_tvalid), .s_tready_o(up_tready),
    .s_tdata_i(up_tdata), .s_tkeep_i(up_tkeep), .s_tlast_i(up_tlast), .s_tuser_i(1'b0), .s_tside_i(up_verdict),
    .m_tvalid_o(to_host_tvalid), .m_tready_i(to_host_tready), .m_tdata_o(to_host_tdata), .m_tkeep_o(to_host_tkeep),
    .m_tlast_o(to_host_tlast), .m_tuser_o(to_host_tuser), .m_tside_o(to_host_tside));
  sw_frame_guard u_down_guard (
    .clk_i(clk), .src_gone_i(!rst_n), .dst_gone_i(!core_rst_n), .s_tvalid_i(from_host_tvalid),
    .s_tready_o(from_host_tready), .s_tdata_i(from_host_tdata), .s_tkeep_i(from_host_tkeep), .s_tlast_i(from_host_tlast),
    .s_tuser_i(1'b0), .s_tside_i(1'b0), .m_tvalid_o(down_tvalid), .m_tready_i(down_tready), .m_tdata_o(down_tdata),
    .m_tkeep_o(down_tkeep), .m_tlast_o(down_tlast), .m_tuser_o(down_tuser), .m_tside_o(down_side));

  // ---- the core -----------------------------------------------------------------------------------------------------------

  logic [31:0] now_us;
  sw_microseconds #(.Clocks(MicrosecondClocks)) u_time (.clk_i(clk), .rst_ni(core_rst_n), .now_us_o(now_us));

  logic idle, sweep;
  slotwire_core #(
    .Slots(Slots), .Links(Links), .MemLineBits(MemLineBits), .MaxOrder(MaxOrder), .FrameLines(FrameLines), .Vectors(Vectors),
    .HostLines(HostLines), .Dma(1), .BuildId(BuildId)
  ) u_core (
    .clk_i(clk), .rst_ni(core_rst_n), .now_us_i(now_us), .host_req_valid_i(req_valid), .host_req_ready_o(req_ready),
    .host_req_write_i(req_write), .host_req_addr_i(req_addr), .host_req_wdata_i(req_wdata), .host_req_wstrb_i(req_wstrb),
    .host_rsp_valid_o(rsp_valid), .host_rsp_rdata_o(rsp_rdata), .host_rsp_err_o(rsp_err), .irq_o(core_irq), .mem_rd_valid_o(rd_valid),
    .mem_rd_ready_i(rd_ready), .mem_rd_addr_o(rd_addr), .mem_rsp_valid_i(mem_rsp_valid), .mem_rsp_data_i(mem_rsp_data),
    .mem_rsp_err_i(mem_rsp_err), .mem_wr_valid_o(wr_valid), .mem_wr_ready_i(wr_ready), .mem_wr_addr_o(wr_addr),
    .mem_wr_data_o(wr_data), .mem_wr_strb_o(wr_strb), .mem_wr_done_i(wr_done), .mem_wr_err_i(wr_err),
    .mem_wr_dma_o(wr_dma), .mem_wr_slot_o(wr_slot), .dma_o(from_core), .dma_i(to_core), .rx_tvalid_i(rx_tvalid),
    .rx_tready_o(rx_tready), .rx_tdata_i(rx_tdata), .rx_tkeep_i(rx_tkeep), .rx_tlast_i(rx_tlast), .rx_tuser_i(rx_tuser),
    .tx_tvalid_o(tx_tvalid), .tx_tready_i(tx_tready), .tx_tdata_o(tx_tdata), .tx_tkeep_o(tx_tkeep), .tx_tlast_o(tx_tlast),
    .to_host_tvalid_o(up_tvalid), .to_host_tready_i(up_tready), .to_host_tdata_o(up_tdata), .to_host_tkeep_o(up_tkeep),
    .to_host_tlast_o(up_tlast), .to_host_tuser_o(up_verdict), .from_host_tvalid_i(down_tvalid), .from_host_tready_o(down_tready),
    .from_host_tdata_i(down_tdata), .from_host_tkeep_i(down_tkeep), .from_host_tlast_i(down_tlast), .idle_o(idle), .sweep_o(sweep));

  logic unused;
  assign unused = &{1'b0, s_axib_awaddr[63:30], s_axib_araddr[63:30], wire_tready, wire_side, in_tready_fifo, in_dropped, in_side, rx_side,
                    go_side, tx_side, out_dropped, down_tuser, down_side, dma_idle, idle, sweep};

endmodule
