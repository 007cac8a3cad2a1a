// A shell's window of 1 MiB (docs/registers.md, "The shell page of a window"): accesses of 32-bit words, as sw_axil_slave makes
// them, become the lines that the core's host bus takes.
//
// Marks: a word is a whole line of its page. Rows of tables: the words 0 to 14 of a row are kept, word 15 takes them to the core
// as one write with the strobes of what was kept; words that are kept for another row are forgotten. So a row that was not written
// whole is refused by the core and counted there. Everything else goes through as it is. The shell page and the page of the host's
// own frames are answered here; what is at no address reads as an error, and a write there does nothing.
`include "sw_assert.svh"

module sw_window #(
  parameter int unsigned Vectors = 32,
  localparam int unsigned AddrW = slotwire_pkg::WindowBits
) (
  input  logic               clk_i,
  input  logic               rst_ni,

  // From sw_axil_slave: one access at a time, data in every word.
  input  logic               req_valid_i,
  output logic               req_ready_o,
  input  logic               req_write_i,
  input  logic [AddrW-1:0]   req_addr_i,
  input  logic [3:0]         req_word_i,
  input  logic [511:0]       req_wdata_i,
  input  logic [63:0]        req_wstrb_i,
  output logic               rsp_valid_o,
  output logic [511:0]       rsp_rdata_o,
  output logic               rsp_err_o,

  output logic               host_req_valid_o,
  input  logic               host_req_ready_i,
  output logic               host_req_write_o,
  output logic [28:0]        host_req_addr_o,
  output logic [511:0]       host_req_wdata_o,
  output logic [63:0]        host_req_wstrb_o,
  input  logic               host_rsp_valid_i,
  input  logic [511:0]       host_rsp_rdata_i,
  input  logic               host_rsp_err_i,

  // The page of the host's own frames: what is written, in the clock in which it is; what is read, in every clock.
  output logic               frames_write_o,
  output logic [5:0]         frames_word_o,  // In the page's first 256 bytes.
  output logic [31:0]        frames_wdata_o,
  input  logic [31:0]        frames_rdata_i,

  input  logic [Vectors-1:0] irq_i,
  output logic               interrupt_o,  // A level, until ISR is cleared.
  output logic [63:0]        memory_base_o
);

  localparam int unsigned LineW = 6;
  localparam int unsigned BankW = 19;  // Bits of an address in a bank of slot memory.
  localparam int unsigned BanksW = 28 - BankW;  // Bits of the number of a bank.
  localparam int unsigned LastWord = 15;

  // ---- where an access goes -----------------------------------------------------------------------------------------------

  logic to_memory, to_rows, to_marks, to_links, to_rules, to_frames, to_shell, to_page, gathered, own;
  logic [28:0] mark_page, addr;
  logic mark_head;
  assign to_memory = req_addr_i[AddrW-1];
  assign to_rows = req_addr_i[AddrW-1-:2] == 2'(slotwire_pkg::WindowSlotRows >> 18);
  assign to_marks = req_addr_i[AddrW-1-:4] == 4'(slotwire_pkg::WindowProcessMarks >> 16);
  assign to_frames = req_addr_i[AddrW-1:8] == 12'(slotwire_pkg::WindowFrames >> 8);
  assign to_shell = req_addr_i[AddrW-1:LineW] == '0;
  assign to_links = req_addr_i[AddrW-1-:6] == 6'(slotwire_pkg::WindowLinkRows >> 14);
  assign to_page = req_addr_i[AddrW-1-:8] == 8'(slotwire_pkg::WindowCapabilities >> 12) ||
                   req_addr_i[AddrW-1-:8] == 8'(slotwire_pkg::WindowControl >> 12);
  assign to_rules = req_addr_i[AddrW-1-:8] == 8'(slotwire_pkg::WindowClassifier >> 12);
  assign gathered = to_rows || to_links || to_rules;
  assign own = !(to_memory || gathered || to_marks || to_page);  // Answered here.

  // A line of the window holds the marks of eight slots.
  assign mark_head = req_word_i[0];
  assign mark_page = {5'd0, req_addr_i[14:LineW], req_word_i[3:1], 12'd0};
  logic [BanksW-1:0] bank_q;
  always_comb begin
    addr = '0;
    if (to_memory) addr = 29'(slotwire_pkg::CardMemory) | {1'b0, bank_q, req_addr_i[BankW-1:0]};
    else if (to_rows) addr = 29'(slotwire_pkg::CardSlotRows) | 29'(req_addr_i[17:0]);
    else if (to_links) addr = 29'(slotwire_pkg::CardLinkRows) | 29'(req_addr_i[13:0]);
    else if (to_rules) addr = 29'(slotwire_pkg::CardClassifier) | 29'(req_addr_i[11:0]);
    else if (to_marks) begin
      addr = (req_addr_i[15] ? 29'(slotwire_pkg::CardProxyPages) : 29'(slotwire_pkg::CardProcessPages)) | mark_page |
             (mark_head ? 29'(slotwire_pkg::MarkHead) : 29'(slotwire_pkg::MarkTail));
    end else if (req_addr_i[13]) addr = 29'(slotwire_pkg::CardControl) | 29'(req_addr_i[11:0]);
    else addr = 29'(slotwire_pkg::CardCapabilities) | 29'(req_addr_i[11:0]);
  end

  // ---- the words of a row -------------------------------------------------------------------------------------------------

  logic [LastWord*32-1:0] row_q;
  logic [LastWord*4-1:0]  kept_q;  // Bytes of the row that were written.
  logic [AddrW-1:LineW]   row_at_q;
  logic keep, commit, same_row;
  assign same_row = row_at_q == req_addr_i[AddrW-1:LineW];
  assign commit = req_word_i == 4'(LastWord);

  typedef enum logic [1:0] {
    StIdle,
    StAsk,  // The access stands at the host bus.
    StWait,  // A read waits for its line.
    StAnswer  // A read of what is here.
  } state_e;
  state_e state_q;
  logic take;
  assign take = state_q == StIdle && req_valid_i;
  assign keep = take && req_write_i && gathered && !commit;
  assign req_ready_o = state_q == StIdle;

  logic write_q, marks_q;
  logic [28:0] addr_q;
  logic [511:0] wdata_q;
  logic [63:0] wstrb_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q <= StIdle;
      kept_q <= '0;
      row_at_q <= '0;
    end else begin
      case (state_q)
        StIdle: begin
          if (take) begin
            if (!own && !keep) state_q <= StAsk;
            else if (!req_write_i) state_q <= StAnswer;
          end
        end
        StAsk: if (host_req_ready_i) state_q <= write_q ? StIdle : StWait;
        StWait: if (host_rsp_valid_i) state_q <= StIdle;
        default: state_q <= StIdle;
      endcase
      if (take && req_write_i && gathered) begin
        row_at_q <= req_addr_i[AddrW-1:LineW];
        kept_q <= commit ? '0 : (same_row ? kept_q : '0) | req_wstrb_i[LastWord*4-1:0];
      end
    end
  end

  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < LastWord; i++) begin
      for (int unsigned b = 0; b < 4; b++) begin
        if (keep && req_wstrb_i[i*4+b]) row_q[(i*4+b)*8+:8] <= req_wdata_i[(i*4+b)*8+:8];
      end
    end
    if (take) begin
      write_q <= req_write_i;
      marks_q <= to_marks;
      addr_q <= addr;
      wdata_q <= gathered ? {req_wdata_i[511-:32], row_q} : req_wdata_i;
      wstrb_q <= gathered ? {req_wstrb_i[63-:4], same_row ? kept_q : {LastWord*4{1'b0}}} : req_wstrb_i;
      // A mark is the first word of its line, wherever in the window's line it stood.
      if (to_marks) wstrb_q <= 64'(req_wstrb_i[{req_word_i, 2'b00}+:4]);
    end
  end

  assign host_req_valid_o = state_q == StAsk;
  assign host_req_write_o = write_q;
  assign host_req_addr_o = addr_q;
  assign host_req_wdata_o = wdata_q;
  assign host_req_wstrb_o = wstrb_q;

  // ---- the shell page and the frames --------------------------------------------------------------------------------------

  logic gie_q, ier_q, isr_q, shell_write;
  logic [63:0] base_q;
  logic [31:0] own_rdata, own_q;
  logic own_err_q;
  assign shell_write = take && req_write_i && to_shell;
  assign frames_write_o = take && req_write_i && to_frames;
  assign frames_word_o = {req_addr_i[7:LineW], req_word_i};
  assign frames_wdata_o = req_wdata_i[31:0];
  assign interrupt_o = gie_q && ier_q && isr_q;
  assign memory_base_o = base_q;

  always_comb begin
    own_rdata = '0;
    if (to_frames) own_rdata = frames_rdata_i;
    else begin
      unique case (req_word_i)
        4'(slotwire_pkg::ShellApCtrl / 4): own_rdata = slotwire_pkg::ShellApCtrlValue;
        4'(slotwire_pkg::ShellGie / 4): own_rdata = 32'(gie_q);
        4'(slotwire_pkg::ShellIer / 4): own_rdata = 32'(ier_q);
        4'(slotwire_pkg::ShellIsr / 4): own_rdata = 32'(isr_q);
        4'(slotwire_pkg::ShellMemoryLow / 4): own_rdata = base_q[31:0];
        4'(slotwire_pkg::ShellMemoryHigh / 4): own_rdata = base_q[63:32];
        4'(slotwire_pkg::ShellBank / 4): own_rdata = 32'(bank_q);
        4'(slotwire_pkg::ShellMagic / 4): own_rdata = slotwire_pkg::ShellMagicValue;
        default: own_rdata = '0;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      gie_q <= 1'b0;
      ier_q <= 1'b0;
      isr_q <= 1'b0;
      bank_q <= '0;
      base_q <= '0;
    end else begin
      // One that comes while it is cleared stays.
      if (irq_i != '0) isr_q <= 1'b1;
      else if (shell_write && req_word_i == 4'(slotwire_pkg::ShellIsr / 4) && req_wdata_i[0]) isr_q <= 1'b0;
      if (shell_write) begin
        case (req_word_i)
          4'(slotwire_pkg::ShellGie / 4): gie_q <= req_wdata_i[0];
          4'(slotwire_pkg::ShellIer / 4): ier_q <= req_wdata_i[0];
          4'(slotwire_pkg::ShellMemoryLow / 4): base_q[31:LineW] <= req_wdata_i[31:LineW];
          4'(slotwire_pkg::ShellMemoryHigh / 4): base_q[63:32] <= req_wdata_i[31:0];
          4'(slotwire_pkg::ShellBank / 4): bank_q <= req_wdata_i[BanksW-1:0];
          default: ;
        endcase
      end
    end
    if (take) begin
      own_q <= own_rdata;
      own_err_q <= !(to_shell || to_frames);
    end
  end

  assign rsp_valid_o = state_q == StAnswer || (state_q == StWait && host_rsp_valid_i);
  assign rsp_rdata_o = state_q == StAnswer ? {16{own_q}} : marks_q ? {16{host_rsp_rdata_i[31:0]}} : host_rsp_rdata_i;
  assign rsp_err_o = state_q == StAnswer ? own_err_q : host_rsp_err_i;

  `SW_ASSUME(AnswersAreAskedFor, !host_rsp_valid_i || state_q == StWait)

endmodule
