// A simple dual-port RAM: one write port, one read port, one clock.
//
// A read in the clock of a write to the same address returns the old word. rdata_o belongs to the last read: it holds until
// the next one comes out. Contents are not reset; with ZeroAtStart they are zero after configuration (block and UltraRAM
// always are in hardware, so it only says that somebody relies on it).

`ifdef SYNTHESIS
`define SW_RAM_SDP_ZERO
`elsif FORMAL
`define SW_RAM_SDP_ZERO
`else
`define SW_RAM_SDP_ZERO \
    if (ZeroAtStart != 0) begin : gen_zero \
      initial for (int unsigned a = 0; a < Depth; a++) mem[a] = '0; \
    end
`endif

// The write and read of a memory, once for each style: the attribute must stand on the declaration.
`define SW_RAM_SDP_BODY \
    logic [Width-1:0] mem[Depth]; \
    `SW_RAM_SDP_ZERO \
    always_ff @(posedge clk_i) begin \
      for (int unsigned i = 0; i < Lanes; i++) begin \
        if (we_i && wlanes_i[i]) mem[waddr_i][i*LaneW+:LaneW] <= wdata_i[i*LaneW+:LaneW]; \
      end \
    end \
    always_ff @(posedge clk_i) begin \
      if (re_i) read_q <= mem[raddr_i]; \
    end

module sw_ram_sdp #(
  parameter int unsigned Width = 32,  // Bits in a word, 1 or more.
  parameter int unsigned Depth = 512,  // Words, 2 or more.
  parameter int unsigned LaneWidth = 0,  // Bits that a write lane covers, a divisor of Width; 0: the whole word.
  parameter int unsigned Latency = 1,  // Clocks from re_i to rdata_o: 1, or 2 with an output register.
  parameter int unsigned Style = 0,  // 0 the tool chooses, 1 block RAM, 2 UltraRAM, 3 LUT RAM.
  parameter int unsigned ZeroAtStart = 0,  // 0 or 1.
  localparam int unsigned LaneW = LaneWidth == 0 ? Width : LaneWidth,
  localparam int unsigned Lanes = Width / LaneW,
  localparam int unsigned AddrW = $clog2(Depth)
) (
  input  logic             clk_i,
  input  logic             we_i,
  input  logic [AddrW-1:0] waddr_i,
  input  logic [Width-1:0] wdata_i,
  input  logic [Lanes-1:0] wlanes_i,  // Lanes that are written; all ones without lanes.
  input  logic             re_i,
  input  logic [AddrW-1:0] raddr_i,
  output logic [Width-1:0] rdata_o
);

  if (Width < 1 || Depth < 2 || Width % LaneW != 0 || Latency < 1 || Latency > 2 || Style > 3) begin : gen_check
    $error("sw_ram_sdp: a parameter is out of range");
  end

  logic [Width-1:0] read_q;

  if (Style == 1) begin : gen_block
    (* ram_style = "block" *)
    `SW_RAM_SDP_BODY
  end else if (Style == 2) begin : gen_ultra
    (* ram_style = "ultra" *)
    `SW_RAM_SDP_BODY
  end else if (Style == 3) begin : gen_distributed
    (* ram_style = "distributed" *)
    `SW_RAM_SDP_BODY
  end else begin : gen_auto
    `SW_RAM_SDP_BODY
  end

  if (Latency == 1) begin : gen_latency1
    assign rdata_o = read_q;
  end else begin : gen_latency2
    logic re_q;
    logic [Width-1:0] out_q;
    always_ff @(posedge clk_i) begin
      re_q <= re_i;
      if (re_q) out_q <= read_q;
    end
    assign rdata_o = out_q;
  end

endmodule
