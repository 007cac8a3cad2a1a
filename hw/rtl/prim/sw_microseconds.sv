// Time in microseconds since the reset; free-running.

module sw_microseconds #(
  parameter int unsigned Clocks = 250  // Clocks in a microsecond, 1 or more.
) (
  input  logic        clk_i,
  input  logic        rst_ni,
  output logic [31:0] now_us_o
);

  localparam int unsigned CountW = $clog2(Clocks + 1);

  if (Clocks < 1) begin : gen_check
    $error("sw_microseconds: Clocks must be 1 or more");
  end

  logic [CountW-1:0] clocks_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      clocks_q <= '0;
      now_us_o <= '0;
    end else if (clocks_q == CountW'(Clocks - 1)) begin
      clocks_q <= '0;
      now_us_o <= now_us_o + 32'd1;
    end else begin
      clocks_q <= clocks_q + CountW'(1);
    end
  end

endmodule
