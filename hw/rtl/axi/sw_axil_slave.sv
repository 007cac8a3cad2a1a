// An AXI4-Lite slave of 32 bits in front of the core's host bus: every access becomes one request for the line it is in.
//
// One access at a time; when a read and a write wait they take turns. A write is answered when the core has taken it. A bus
// without write strobes (OpenNIC's user box) ties s_axil_wstrb_i to ones. host_rsp_err_i becomes SLVERR.
`include "sw_assert.svh"

module sw_axil_slave #(
  parameter int unsigned AddrW = 20  // Bits of an address, 7 to 64.
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  input  logic [AddrW-1:0] s_axil_awaddr_i,
  input  logic             s_axil_awvalid_i,
  output logic             s_axil_awready_o,
  input  logic [31:0]      s_axil_wdata_i,
  input  logic [3:0]       s_axil_wstrb_i,
  input  logic             s_axil_wvalid_i,
  output logic             s_axil_wready_o,
  output logic [1:0]       s_axil_bresp_o,
  output logic             s_axil_bvalid_o,
  input  logic             s_axil_bready_i,
  input  logic [AddrW-1:0] s_axil_araddr_i,
  input  logic             s_axil_arvalid_i,
  output logic             s_axil_arready_o,
  output logic [31:0]      s_axil_rdata_o,
  output logic [1:0]       s_axil_rresp_o,
  output logic             s_axil_rvalid_o,
  input  logic             s_axil_rready_i,

  output logic             host_req_valid_o,
  input  logic             host_req_ready_i,
  output logic             host_req_write_o,
  output logic [AddrW-1:0] host_req_addr_o,  // Bytes, a multiple of the line.
  output logic [3:0]       host_req_word_o,  // The word of the line that is read or written.
  output logic [511:0]     host_req_wdata_o,
  output logic [63:0]      host_req_wstrb_o,
  input  logic             host_rsp_valid_i,
  input  logic [511:0]     host_rsp_rdata_i,
  input  logic             host_rsp_err_i
);

  localparam int unsigned LineW = 6;  // Bits of an address inside a line.

  if (AddrW < LineW + 1 || AddrW > 64) begin : gen_check
    $error("sw_axil_slave: AddrW must be 7 to 64");
  end

  typedef enum logic [1:0] {
    StIdle,  // Nothing is under way.
    StAsk,  // The request is offered to the host bus.
    StWait,  // A read waits for its line.
    StAnswer  // The answer is offered to the master.
  } state_e;

  state_e state_q;
  logic write_q, turn_q, err_q;
  logic [AddrW-1:0] addr_q;
  logic [31:0] data_q;
  logic [3:0] strb_q;
  logic take_write, take_read;

  assign take_read = state_q == StIdle && s_axil_arvalid_i && (turn_q || !(s_axil_awvalid_i && s_axil_wvalid_i));
  assign take_write = state_q == StIdle && s_axil_awvalid_i && s_axil_wvalid_i && !take_read;
  assign s_axil_arready_o = take_read;
  assign s_axil_awready_o = take_write;
  assign s_axil_wready_o = take_write;

  assign host_req_valid_o = state_q == StAsk;
  assign host_req_write_o = write_q;
  assign host_req_addr_o = {addr_q[AddrW-1:LineW], LineW'(0)};
  assign host_req_word_o = addr_q[LineW-1:2];
  assign host_req_wdata_o = {16{data_q}};
  assign host_req_wstrb_o = 64'(strb_q) << {addr_q[LineW-1:2], 2'b00};

  assign s_axil_bvalid_o = state_q == StAnswer && write_q;
  assign s_axil_bresp_o = 2'b00;
  assign s_axil_rvalid_o = state_q == StAnswer && !write_q;
  assign s_axil_rresp_o = {err_q, 1'b0};
  assign s_axil_rdata_o = data_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q <= StIdle;
      turn_q <= 1'b0;
    end else begin
      unique case (state_q)
        StIdle: begin
          if (take_read || take_write) begin
            state_q <= StAsk;
            turn_q <= take_write;
          end
        end
        StAsk: if (host_req_ready_i) state_q <= write_q ? StAnswer : StWait;
        StWait: if (host_rsp_valid_i) state_q <= StAnswer;
        StAnswer: if (write_q ? s_axil_bready_i : s_axil_rready_i) state_q <= StIdle;
        default: state_q <= StIdle;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (take_read || take_write) begin
      write_q <= take_write;
      addr_q <= take_write ? s_axil_awaddr_i : s_axil_araddr_i;
      data_q <= s_axil_wdata_i;
      strb_q <= s_axil_wstrb_i;
    end
    if (state_q == StWait) begin
      data_q <= host_rsp_rdata_i[{addr_q[LineW-1:2], 5'h0}+:32];
      err_q <= host_rsp_err_i;
    end
  end

  // Neither starves the other: while a write waits one read goes before it at most, and the other way round.
  logic [1:0] reads_past_q, writes_past_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || take_write || !(s_axil_awvalid_i && s_axil_wvalid_i)) reads_past_q <= '0;
    else if (take_read && reads_past_q != '1) reads_past_q <= reads_past_q + 2'd1;
    if (!rst_ni || take_read || !s_axil_arvalid_i) writes_past_q <= '0;
    else if (take_write && writes_past_q != '1) writes_past_q <= writes_past_q + 2'd1;
  end
  `SW_ASSERT(OneReadGoesBeforeAWrite, reads_past_q <= 2'd1)
  `SW_ASSERT(OneWriteGoesBeforeARead, writes_past_q <= 2'd1)

  logic unused_addr_low;
  assign unused_addr_low = ^addr_q[1:0];

  `SW_ASSUME(AnswersAreAskedFor, !host_rsp_valid_i || state_q == StWait)

endmodule
