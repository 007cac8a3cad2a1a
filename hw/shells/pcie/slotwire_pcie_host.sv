// The way from a PCIe bridge to the core's host bus: an AXI4 slave, the BARs as card addresses, rows that the host writes in pieces,
// reset of the function, and interrupts. What is here is the same in a card of metal and in the simulated one behind QEMU.
//
// The bridge puts each BAR at a place of its own (docs/card.md): the registers and slot memory where they have their card addresses,
// the doorbell pages at DoorbellsAt.
//
// Order: writes reach the core in the order of the bridge, which is that of the host's posted writes; the bridge holds a read until the
// writes before it are answered. So a doorbell follows its lines, and a read sees what was written.
//
// Reset of the function (flr_set_i, a pulse): reads that the core has are answered, all else that comes meanwhile is dropped, reads with
// an error. When the bridge has been quiet for QuietClocks, or DrainClocks have passed, the core is reset for ResetClocks, reads that it
// did not answer get an error, and flr_done_o tells the bridge. Slot memory and marks stay, as at any reset of the core.
`include "sw_assert.svh"

module slotwire_pcie_host #(
  parameter int unsigned Slots = 1024,  // As slotwire_core's.
  parameter int unsigned Links = 64,
  parameter int unsigned Rules = 16,
  parameter int unsigned Vectors = 8,  // 1 to 8: a function of the bridge has no more.
  parameter int unsigned IdW = 4,
  parameter int unsigned MaxReads = 16,  // Lines asked of the core and not answered.
  parameter int unsigned QuietClocks = 64,  // 1 or more.
  parameter int unsigned DrainClocks = 4096,  // More than QuietClocks.
  parameter int unsigned ResetClocks = 16,  // 1 or more.
  parameter int unsigned RetryClocks = 4096,  // Of slotwire_pcie_irq.
  localparam int unsigned AddrW = 30,
  localparam int unsigned VectorW = Vectors > 1 ? $clog2(Vectors) : 1
) (
  input  logic clk_i,
  input  logic rst_ni,  // The bridge's reset.

  // The bridge's requests.
  input  logic [IdW-1:0]   s_axi_awid_i,
  input  logic [AddrW-1:0] s_axi_awaddr_i,
  input  logic [7:0]       s_axi_awlen_i,
  input  logic [2:0]       s_axi_awsize_i,
  input  logic [1:0]       s_axi_awburst_i,
  input  logic             s_axi_awvalid_i,
  output logic             s_axi_awready_o,
  input  logic [511:0]     s_axi_wdata_i,
  input  logic [63:0]      s_axi_wstrb_i,
  input  logic             s_axi_wlast_i,
  input  logic             s_axi_wvalid_i,
  output logic             s_axi_wready_o,
  output logic [IdW-1:0]   s_axi_bid_o,
  output logic [1:0]       s_axi_bresp_o,
  output logic             s_axi_bvalid_o,
  input  logic             s_axi_bready_i,
  input  logic [IdW-1:0]   s_axi_arid_i,
  input  logic [AddrW-1:0] s_axi_araddr_i,
  input  logic [7:0]       s_axi_arlen_i,
  input  logic [2:0]       s_axi_arsize_i,
  input  logic [1:0]       s_axi_arburst_i,
  input  logic             s_axi_arvalid_i,
  output logic             s_axi_arready_o,
  output logic [IdW-1:0]   s_axi_rid_o,
  output logic [511:0]     s_axi_rdata_o,
  output logic [1:0]       s_axi_rresp_o,
  output logic             s_axi_rlast_o,
  output logic             s_axi_rvalid_o,
  input  logic             s_axi_rready_i,

  input  logic               flr_set_i,
  output logic               flr_done_o,  // A pulse.
  output logic               irq_valid_o,
  output logic [VectorW-1:0] irq_vector_o,
  input  logic               irq_ack_i,
  input  logic               irq_fail_i,

  // The core.
  output logic               core_rst_no,
  output logic               host_req_valid_o,
  input  logic               host_req_ready_i,
  output logic               host_req_write_o,
  output logic [28:0]        host_req_addr_o,
  output logic [511:0]       host_req_wdata_o,
  output logic [63:0]        host_req_wstrb_o,
  input  logic               host_rsp_valid_i,
  input  logic [511:0]       host_rsp_rdata_i,
  input  logic               host_rsp_err_i,
  input  logic [Vectors-1:0] core_irq_i,
  input  logic               dma_busy_i  // The card writes into host memory; a reset of the function waits for the end of that.
);

  localparam int unsigned SlotW = $clog2(Slots);
  localparam int unsigned PageW = 12;
  localparam int unsigned DoorbellsBit = 29;  // DoorbellsAt is 1 << DoorbellsBit.
  localparam logic [28:0] Nowhere = 29'h0f00_0000;  // A card address where there is nothing: the core refuses it and counts.
  localparam int unsigned ReadW = $clog2(MaxReads) + 1;
  localparam int unsigned DrainW = $clog2(DrainClocks + 1);
  localparam int unsigned QuietW = $clog2(QuietClocks + 1);
  localparam int unsigned ResetW = $clog2(ResetClocks + 1);

  if (Vectors < 1 || Vectors > 8 || QuietClocks < 1 || DrainClocks <= QuietClocks || ResetClocks < 1) begin : gen_check
    $error("slotwire_pcie_host: a parameter is out of range");
  end

  logic             req_valid, req_ready, req_write, rsp_valid, rsp_err;
  logic [AddrW-1:0] req_addr;
  logic [511:0]     req_wdata;
  logic [63:0]      req_wstrb;
  sw_axi_slave #(.AddrW(AddrW), .IdW(IdW), .MaxReads(MaxReads)) u_axi (
    .clk_i, .rst_ni, .s_axi_awid_i, .s_axi_awaddr_i, .s_axi_awlen_i, .s_axi_awsize_i, .s_axi_awburst_i, .s_axi_awvalid_i,
    .s_axi_awready_o, .s_axi_wdata_i, .s_axi_wstrb_i, .s_axi_wlast_i, .s_axi_wvalid_i, .s_axi_wready_o, .s_axi_bid_o,
    .s_axi_bresp_o, .s_axi_bvalid_o, .s_axi_bready_i, .s_axi_arid_i, .s_axi_araddr_i, .s_axi_arlen_i, .s_axi_arsize_i,
    .s_axi_arburst_i, .s_axi_arvalid_i, .s_axi_arready_o, .s_axi_rid_o, .s_axi_rdata_o, .s_axi_rresp_o, .s_axi_rlast_o,
    .s_axi_rvalid_o, .s_axi_rready_i, .host_req_valid_o(req_valid), .host_req_ready_i(req_ready), .host_req_write_o(req_write),
    .host_req_addr_o(req_addr), .host_req_wdata_o(req_wdata), .host_req_wstrb_o(req_wstrb), .host_rsp_valid_i(rsp_valid),
    .host_rsp_rdata_i, .host_rsp_err_i(rsp_err));

  // ---- reset of the function ----------------------------------------------------------------------------------------------

  typedef enum logic [1:0] {
    StRun,
    StDrain,  // Nothing new reaches the core; what it has is answered.
    StReset  // The core is in reset.
  } state_e;
  state_e            state_q;
  logic [DrainW-1:0] drain_q;
  logic [QuietW-1:0] quiet_q;  // Clocks without a request.
  logic [ResetW-1:0] reset_q;
  logic [ReadW-1:0]  asked_q;  // Reads that the core has not answered.
  logic              runs, resets, drained, asks, answers, made_up, refuses;
  assign runs = state_q == StRun;
  assign resets = state_q == StReset;
  assign drained = (asked_q == '0 && !host_req_valid_o && quiet_q == QuietW'(QuietClocks)) || drain_q == DrainW'(DrainClocks);
  assign core_rst_no = rst_ni && !resets;

  // Answers: the core's; while nothing reaches it, errors, in order behind the core's.
  assign refuses = !runs && req_valid && !req_write && asked_q == '0;
  assign made_up = resets && asked_q != '0;
  assign answers = host_rsp_valid_i && !resets;
  assign rsp_valid = answers || made_up || refuses;
  assign rsp_err = !answers || host_rsp_err_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q <= StRun;
      asked_q <= '0;
      flr_done_o <= 1'b0;
    end else begin
      asked_q <= asked_q + ReadW'(asks) - ReadW'(answers || made_up);
      flr_done_o <= resets && reset_q == '0 && asked_q == '0 && !dma_busy_i;
      case (state_q)
        StRun: if (flr_set_i) state_q <= StDrain;
        StDrain: if (drained) state_q <= StReset;
        default: if (reset_q == '0 && asked_q == '0 && !dma_busy_i) state_q <= StRun;
      endcase
    end
    drain_q <= state_q == StDrain ? drain_q + DrainW'(1) : '0;
    quiet_q <= state_q != StDrain || req_valid ? '0 : quiet_q == QuietW'(QuietClocks) ? quiet_q : quiet_q + QuietW'(1);
    if (!resets) reset_q <= ResetW'(ResetClocks);
    else if (reset_q != '0) reset_q <= reset_q - ResetW'(1);
  end

  // ---- BARs ---------------------------------------------------------------------------------------------------------------

  // The doorbells' BAR: process page n at n pages, proxy page n at Slots + n pages.
  logic [28:0] card_addr;
  logic        doorbells, proxy, beyond;
  assign doorbells = req_addr[DoorbellsBit];
  assign proxy = req_addr[PageW+SlotW];
  assign beyond = (req_addr[DoorbellsBit-1:0] >> (PageW + SlotW + 1)) != '0;
  always_comb begin
    card_addr = req_addr[28:0];
    if (doorbells) begin
      card_addr = (proxy ? 29'(slotwire_pkg::CardProxyPages) : 29'(slotwire_pkg::CardProcessPages)) | 29'(req_addr[PageW+SlotW-1:0]);
      if (beyond) card_addr = Nowhere;
    end
  end

  // ---- rows in pieces -----------------------------------------------------------------------------------------------------

  // A row is one write of a whole line to the core, and a processor stores it in pieces: they are put together here, a row of the slot or
  // link table and one of the classifier at a time, as these two tables have writers that know nothing of each other. A piece of
  // another row takes the place of a row that is not whole; that one goes to the core without its bytes, which refuses and counts it.
  logic to_slots, to_links, to_rules, to_dma, table_write, is_rule, other, whole;
  assign to_slots = card_addr[28:20] == 9'(slotwire_pkg::CardSlotRows >> 20) && 32'(card_addr[19:6]) < Slots;
  assign to_links = card_addr[28:20] == 9'(slotwire_pkg::CardLinkRows >> 20) && 32'(card_addr[19:6]) < Links;
  assign to_rules = card_addr[28:12] == 17'(slotwire_pkg::CardClassifier >> 12) && 32'(card_addr[11:6]) < Rules;
  assign to_dma = card_addr[28:18] == 11'(slotwire_pkg::CardDmaRows >> 18) && 32'(card_addr[17:6]) < Slots;
  assign is_rule = to_rules;
  assign table_write = req_write && (to_slots || to_links || to_rules || to_dma);

  logic         piece_valid_q[2];
  logic [22:0]  piece_line_q[2];
  logic [63:0]  piece_strb_q[2];
  logic [511:0] piece_data_q[2];
  logic         kept_valid, same;
  logic [22:0]  kept_line;
  logic [63:0]  kept_strb, strb;
  logic [511:0] kept_data, data;
  assign kept_valid = is_rule ? piece_valid_q[1] : piece_valid_q[0];
  assign kept_line = is_rule ? piece_line_q[1] : piece_line_q[0];
  assign kept_strb = is_rule ? piece_strb_q[1] : piece_strb_q[0];
  assign kept_data = is_rule ? piece_data_q[1] : piece_data_q[0];
  assign same = kept_valid && kept_line == card_addr[28:6];
  assign other = kept_valid && !same;
  assign strb = req_wstrb | (same ? kept_strb : '0);
  for (genvar i = 0; i < 64; i++) begin : gen_bytes
    assign data[i*8+:8] = req_wstrb[i] ? req_wdata[i*8+:8] : kept_data[i*8+:8];
  end
  assign whole = &strb;

  // To the core: what is no row, a row that is whole, and instead of one that is not, its refusal.
  logic out_valid, out_ready, passes, gives_up, keeps;
  assign gives_up = runs && req_valid && table_write && other;
  assign keeps = runs && req_valid && table_write && !other && !whole;
  assign passes = runs && req_valid && (!table_write || (!other && whole));
  assign out_valid = passes || gives_up;
  assign req_ready = runs ? keeps || (passes && out_ready) : req_write || asked_q == '0;
  assign asks = passes && out_ready && !req_write;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || !runs) begin
      piece_valid_q[0] <= 1'b0;
      piece_valid_q[1] <= 1'b0;
    end else if (keeps) begin
      if (is_rule) piece_valid_q[1] <= 1'b1;
      else piece_valid_q[0] <= 1'b1;
    end else if (out_ready && table_write && out_valid) begin
      if (is_rule) piece_valid_q[1] <= 1'b0;
      else piece_valid_q[0] <= 1'b0;
    end
    if (keeps && is_rule) begin
      piece_line_q[1] <= card_addr[28:6];
      piece_strb_q[1] <= strb;
      piece_data_q[1] <= data;
    end
    if (keeps && !is_rule) begin
      piece_line_q[0] <= card_addr[28:6];
      piece_strb_q[0] <= strb;
      piece_data_q[0] <= data;
    end
  end

  // The core decodes what comes out: a clock between the two.
  logic [22:0]  out_line;
  logic [511:0] out_data;
  logic [63:0]  out_strb;
  assign out_line = gives_up ? kept_line : card_addr[28:6];
  assign out_data = table_write ? data : req_wdata;
  assign out_strb = gives_up ? '0 : table_write ? strb : req_wstrb;
  sw_skid #(.Width(1 + 23 + 512 + 64)) u_out (
    .clk_i, .rst_ni(core_rst_no), .wvalid_i(out_valid), .wready_o(out_ready), .wdata_i({req_write, out_line, out_data, out_strb}),
    .rvalid_o(host_req_valid_o), .rready_i(host_req_ready_i),
    .rdata_o({host_req_write_o, host_req_addr_o[28:6], host_req_wdata_o, host_req_wstrb_o}));
  assign host_req_addr_o[5:0] = '0;

  // ---- interrupts ---------------------------------------------------------------------------------------------------------

  slotwire_pcie_irq #(.Vectors(Vectors), .RetryClocks(RetryClocks)) u_irq (
    .clk_i, .rst_ni, .forget_i(!runs), .irq_i(core_irq_i), .valid_o(irq_valid_o), .vector_o(irq_vector_o), .ack_i(irq_ack_i),
    .fail_i(irq_fail_i));

  `SW_ASSERT(ReadsInRange, asked_q <= ReadW'(MaxReads))
  `SW_ASSERT(AnswersAreAskedFor, !(answers || made_up) || asked_q != '0)
  `SW_ASSERT(NothingNewReachesACoreThatIsReset, runs || !out_valid)
  `SW_ASSERT(NoRowThatIsNotWhole, !(passes && table_write) || out_strb == '1)

  logic unused;
  assign unused = &{1'b0, card_addr[5:0]};

endmodule
