// Everything that is counted, 64 bits each.

module slotwire_counters #(
  parameter int unsigned Dma = 0  // 0: what DMA counts is always zero.
) (
  input logic clk_i,
  input logic rst_ni,
  input logic [slotwire_pkg::CounterCount-1:0] count_i,
  input logic [9:0] tx_lines_i,
  input logic [9:0] again_i,
  input logic [9:0] rx_lines_i,
  input logic [slotwire_pkg::CardCounterCount-1:0] card_i,

  // Eight counters from the first one of line_i on: lines of the capability page.
  input  logic         card_page_i,
  input  logic [1:0]   line_i,
  output logic [511:0] line_o  // A clock later.
);

  localparam int unsigned N = slotwire_pkg::CounterCount;
  localparam int unsigned C = Dma != 0 ? slotwire_pkg::CardCounterCount : 32'(slotwire_pkg::CardCounterDmaLines);

  logic [2047:0] values;
  logic [1023:0] card_values;
  assign values[2047:N*64] = '0;
  if (C < 16) begin : gen_card_rest
    assign card_values[1023:C*64] = '0;
  end

  // An event is counted in two steps, so that the sum of 64 bits has a clock of its own.
  for (genvar i = 0; i < N; i++) begin : gen_counters
    logic [9:0]  add, add_q;
    logic [63:0] value_q;
    if (i == 32'(slotwire_pkg::CounterTxLines)) begin : gen_tx_lines
      assign add = tx_lines_i;
    end else if (i == 32'(slotwire_pkg::CounterTxLinesAgain)) begin : gen_again
      assign add = again_i;
    end else if (i == 32'(slotwire_pkg::CounterRxLines)) begin : gen_rx_lines
      assign add = rx_lines_i;
    end else begin : gen_one
      assign add = 10'd1;
    end
    always_ff @(posedge clk_i) begin
      add_q <= (rst_ni && count_i[i]) ? add : '0;
      if (!rst_ni) value_q <= '0;
      else value_q <= value_q + 64'(add_q);
    end
    assign values[i*64+:64] = value_q;
  end
  for (genvar i = 0; i < C; i++) begin : gen_card_counters
    logic        add_q;
    logic [63:0] value_q;
    always_ff @(posedge clk_i) begin
      add_q <= rst_ni && card_i[i];
      if (!rst_ni) value_q <= '0;
      else value_q <= value_q + 64'(add_q);
    end
    assign card_values[i*64+:64] = value_q;
  end

  always_ff @(posedge clk_i) begin
    line_o <= card_page_i ? card_values[512*line_i[0]+:512] : values[512*line_i+:512];
  end

  logic unused;
  assign unused = &{1'b0, card_i};

endmodule
