// Assertions: one name, a body for each tool.
//   FORMAL      (yosys read_verilog -formal, by hw/formal/run.py): plain immediate assertions, all that Yosys 0.23 takes.
//   SIMULATION  (Verilator --assert, defined by cmake/verilate.cmake): the same, checked at every clock.
//   otherwise   (synthesis, lint): nothing.
// All are sampled at the rising edge of clk_i while rst_ni is high, and expect these names in scope.
//
// SW_ASSERT(name, expression)  must hold.
// SW_ASSUME(name, expression)  what the block relies on: assumed by a proof, checked in simulation.
// SW_COVER(name, expression)   must be possible: reached by a cover check.
`ifndef SW_ASSERT_SVH
`define SW_ASSERT_SVH

`ifdef FORMAL
`ifdef SW_COVER_RUN
// A cover check: every cover is turned round, so that its counterexample is the way to reach it.
`define SW_ASSERT(name, expression)
`define SW_COVER(name, expression) always @(posedge clk_i) if (rst_ni) name: assert (!(expression));
`else
`define SW_ASSERT(name, expression) always @(posedge clk_i) if (rst_ni) name: assert (expression);
`define SW_COVER(name, expression)
`endif
`define SW_ASSUME(name, expression) always @(posedge clk_i) if (rst_ni) name: assume (expression);
`elsif SIMULATION
`define SW_ASSERT(name, expression) always @(posedge clk_i) if (rst_ni) name: assert (expression);
`define SW_ASSUME(name, expression) always @(posedge clk_i) if (rst_ni) name: assert (expression);
`define SW_COVER(name, expression)
`else
`define SW_ASSERT(name, expression)
`define SW_ASSUME(name, expression)
`define SW_COVER(name, expression)
`endif

`endif
