// The core with ports of one width whatever its parameters are, so that one C++ class drives all of them. With RtlMemory the
// slot memory is in here; otherwise it is behind the memory port.

module slotwire_sim_card #(
  parameter int unsigned Slots = 16,
  parameter int unsigned Links = 16,
  parameter int unsigned MemLineBits = 16,
  parameter int unsigned MaxOrder = 10,
  parameter int unsigned FrameLines = 32,
  parameter int unsigned Vectors = 4,
  parameter int unsigned SweepClocks = 4,
  parameter int unsigned Dma = 0,  // 1: output rings and proxy marks may be in host memory (slotwire_dma is in here).
  parameter int unsigned RtlMemory = 0  // 2 or 3: the memory is in here, and a read takes so many clocks.
) (
  input logic clk_i,
  input logic rst_ni,
  input logic [31:0] now_us_i,

  input  logic         host_req_valid_i,
  output logic         host_req_ready_o,
  input  logic         host_req_write_i,
  input  logic [31:0]  host_req_addr_i,
  input  logic [511:0] host_req_wdata_i,
  input  logic [63:0]  host_req_wstrb_i,
  output logic         host_rsp_valid_o,
  output logic [511:0] host_rsp_rdata_o,
  output logic         host_rsp_err_o,
  output logic [31:0]  irq_o,

  // Not looked at with RtlMemory; *_taken_o tell what was taken either way.
  output logic         mem_rd_valid_o,
  input  logic         mem_rd_ready_i,
  output logic [31:0]  mem_rd_addr_o,
  input  logic         mem_rsp_valid_i,
  input  logic [511:0] mem_rsp_data_i,
  input  logic         mem_rsp_err_i,
  output logic         mem_wr_valid_o,
  input  logic         mem_wr_ready_i,
  output logic [31:0]  mem_wr_addr_o,
  output logic [511:0] mem_wr_data_o,
  output logic [63:0]  mem_wr_strb_o,
  input  logic         mem_wr_done_i,
  input  logic         mem_wr_err_i,
  output logic         mem_rd_taken_o,
  output logic         mem_wr_taken_o,

  // Host memory: AXI4 writes of a line each, with an ID. bus_rst_ni is this port's reset.
  input  logic         bus_rst_ni,
  output logic         dma_awvalid_o,
  input  logic         dma_awready_i,
  output logic [63:0]  dma_awaddr_o,
  output logic         dma_wvalid_o,
  input  logic         dma_wready_i,
  output logic [511:0] dma_wdata_o,
  output logic [63:0]  dma_wstrb_o,
  input  logic         dma_bvalid_i,
  input  logic         dma_berr_i,
  output logic         dma_bready_o,
  output logic         dma_busy_o,

  input  logic         rx_tvalid_i,
  output logic         rx_tready_o,
  input  logic [511:0] rx_tdata_i,
  input  logic [63:0]  rx_tkeep_i,
  input  logic         rx_tlast_i,
  input  logic         rx_tuser_i,
  output logic         tx_tvalid_o,
  input  logic         tx_tready_i,
  output logic [511:0] tx_tdata_o,
  output logic [63:0]  tx_tkeep_o,
  output logic         tx_tlast_o,
  output logic         to_host_tvalid_o,
  input  logic         to_host_tready_i,
  output logic [511:0] to_host_tdata_o,
  output logic [63:0]  to_host_tkeep_o,
  output logic         to_host_tlast_o,
  output logic [slotwire_pkg::VerdictBits-1:0] to_host_tuser_o,  // Of slotwire_core.
  input  logic         from_host_tvalid_i,
  output logic         from_host_tready_o,
  input  logic [511:0] from_host_tdata_i,
  input  logic [63:0]  from_host_tkeep_i,
  input  logic         from_host_tlast_i,

  output logic        idle_o,
  output logic        sweep_o,
  output logic        shown_o,  // OUT_TAIL of a slot is being written where the host reads it: from the next clock on.
  output logic [31:0] memory_lines_o,
  output logic        rtl_memory_o
);

  logic rd_ready, rsp_valid, rsp_err, wr_ready, wr_done, wr_err;
  logic [511:0] rsp_data;
  logic [MemLineBits-1:0] rd_addr, wr_addr;
  logic [Vectors-1:0] irq;

  assign mem_rd_addr_o = 32'(rd_addr);
  assign mem_wr_addr_o = 32'(wr_addr);
  assign mem_rd_taken_o = mem_rd_valid_o && rd_ready;
  assign mem_wr_taken_o = mem_wr_valid_o && wr_ready;
  assign irq_o = 32'(irq);
  assign memory_lines_o = 32'd1 << MemLineBits;
  assign rtl_memory_o = RtlMemory != 0;
  assign shown_o = u_core.u_marks.shows_tail;

  logic                         core_wr_valid, core_wr_ready, core_wr_done, core_wr_err, wr_dma, core_idle;
  logic [15:0]                  wr_slot;
  logic [Vectors-1:0]           core_irq;
  slotwire_pkg::dma_from_core_t from_core;
  slotwire_pkg::dma_to_core_t   to_core;
  slotwire_core #(
    .Slots(Slots), .Links(Links), .MemLineBits(MemLineBits), .MaxOrder(MaxOrder), .FrameLines(FrameLines), .Vectors(Vectors),
    .SweepClocks(SweepClocks), .Dma(Dma)
  ) u_core (
    .clk_i, .rst_ni, .now_us_i, .host_req_valid_i, .host_req_ready_o, .host_req_write_i,
    .host_req_addr_i(host_req_addr_i[28:0]), .host_req_wdata_i, .host_req_wstrb_i, .host_rsp_valid_o, .host_rsp_rdata_o,
    .host_rsp_err_o, .irq_o(core_irq), .mem_rd_valid_o, .mem_rd_ready_i(rd_ready), .mem_rd_addr_o(rd_addr),
    .mem_rsp_valid_i(rsp_valid), .mem_rsp_data_i(rsp_data), .mem_rsp_err_i(rsp_err), .mem_wr_valid_o(core_wr_valid),
    .mem_wr_ready_i(core_wr_ready), .mem_wr_addr_o(wr_addr), .mem_wr_data_o, .mem_wr_strb_o, .mem_wr_done_i(core_wr_done),
    .mem_wr_err_i(core_wr_err), .mem_wr_dma_o(wr_dma), .mem_wr_slot_o(wr_slot), .dma_o(from_core), .dma_i(to_core), .rx_tvalid_i,
    .rx_tready_o, .rx_tdata_i, .rx_tkeep_i, .rx_tlast_i, .rx_tuser_i, .tx_tvalid_o, .tx_tready_i, .tx_tdata_o, .tx_tkeep_o,
    .tx_tlast_o, .to_host_tvalid_o, .to_host_tready_i, .to_host_tdata_o, .to_host_tkeep_o, .to_host_tlast_o, .to_host_tuser_o,
    .from_host_tvalid_i, .from_host_tready_o, .from_host_tdata_i, .from_host_tkeep_i, .from_host_tlast_i, .idle_o(core_idle), .sweep_o);

  if (Dma != 0) begin : gen_dma
    logic dma_done, dma_err, dma_idle;
    logic [3:0] id;
    logic [7:0] len;
    logic [2:0] size;
    logic [1:0] burst;
    logic       last;
    // As on the chip: slot memory refuses nothing.
    slotwire_dma #(.Slots(Slots), .MemLineBits(MemLineBits), .Vectors(Vectors), .RefusedClocks(20_000)) u_dma (
      .clk_i, .rst_ni(bus_rst_ni), .core_rst_ni(rst_ni && bus_rst_ni), .wr_valid_i(core_wr_valid), .wr_ready_o(core_wr_ready),
      .wr_dma_i(wr_dma), .wr_slot_i(wr_slot), .wr_addr_i(wr_addr), .wr_data_i(mem_wr_data_o), .wr_done_o(dma_done),
      .wr_err_o(dma_err), .mem_wr_valid_o, .mem_wr_ready_i(wr_ready), .mem_wr_done_i(wr_done), .core_i(from_core), .core_o(to_core), .irq_i(core_irq), .irq_o(irq), .busy_o(dma_busy_o), .idle_o(dma_idle), .m_axi_awid_o(id),
      .m_axi_awaddr_o(dma_awaddr_o), .m_axi_awlen_o(len), .m_axi_awsize_o(size), .m_axi_awburst_o(burst),
      .m_axi_awvalid_o(dma_awvalid_o), .m_axi_awready_i(dma_awready_i), .m_axi_wdata_o(dma_wdata_o), .m_axi_wstrb_o(dma_wstrb_o),
      .m_axi_wlast_o(last), .m_axi_wvalid_o(dma_wvalid_o), .m_axi_wready_i(dma_wready_i), .m_axi_bresp_i({dma_berr_i, 1'b0}),
      .m_axi_bvalid_i(dma_bvalid_i), .m_axi_bready_o(dma_bready_o));
    assign core_wr_done = dma_done;
    assign core_wr_err = dma_err;
    assign idle_o = core_idle && dma_idle;
    logic unused_dma;
    assign unused_dma = &{1'b0, id, len, size, burst, last, wr_err};
  end else begin : gen_no_dma
    assign mem_wr_valid_o = core_wr_valid;
    assign core_wr_ready = wr_ready;
    assign core_wr_done = wr_done;
    assign core_wr_err = wr_err;
    assign to_core = '0;
    assign irq = core_irq;
    assign idle_o = core_idle;
    assign {dma_awvalid_o, dma_awaddr_o, dma_wvalid_o, dma_wdata_o, dma_wstrb_o, dma_bready_o, dma_busy_o} = '0;
    logic unused_dma;
    assign unused_dma = &{1'b0, from_core, wr_dma, wr_slot, bus_rst_ni, dma_awready_i, dma_wready_i, dma_bvalid_i, dma_berr_i};
  end

  if (RtlMemory != 0) begin : gen_memory
    sw_slot_mem #(.Lines(1 << MemLineBits), .ReadLatency(RtlMemory)) u_memory (
      .clk_i, .rst_ni, .rd_valid_i(mem_rd_valid_o), .rd_ready_o(rd_ready), .rd_addr_i(rd_addr), .rsp_valid_o(rsp_valid),
      .rsp_data_o(rsp_data), .rsp_err_o(rsp_err), .wr_valid_i(mem_wr_valid_o), .wr_ready_o(wr_ready), .wr_addr_i(wr_addr),
      .wr_data_i(mem_wr_data_o), .wr_strb_i(mem_wr_strb_o), .wr_done_o(wr_done), .inject_err_i(1'b0));
    logic unused_port;
    assign unused_port = &{1'b0, mem_rd_ready_i, mem_rsp_valid_i, mem_rsp_data_i, mem_rsp_err_i, mem_wr_ready_i, mem_wr_done_i, mem_wr_err_i};
    assign wr_err = 1'b0;
  end else begin : gen_port
    assign rd_ready = mem_rd_ready_i;
    assign rsp_valid = mem_rsp_valid_i;
    assign rsp_data = mem_rsp_data_i;
    assign rsp_err = mem_rsp_err_i;
    assign wr_ready = mem_wr_ready_i;
    assign wr_done = mem_wr_done_i;
    assign wr_err = mem_wr_err_i;
  end

  logic unused;
  assign unused = &{1'b0, host_req_addr_i[31:29]};

endmodule
