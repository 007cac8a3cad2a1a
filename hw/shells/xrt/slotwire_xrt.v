// The kernel's top: ports with the names and the interfaces that package_xo and XRT look for, and nothing else. In Verilog, since the
// packager refuses SystemVerilog here. The attributes say which interface a port belongs to, so nothing is inferred from names.
//
// package_kernel.tcl writes the header with the revision; parameters of a kernel are fixed when it is packaged.
`include "slotwire_build_id.vh"

module slotwire_xrt #(
  parameter Slots = 1024,  // As slotwire_core's.
  parameter Links = 64,
  parameter MemLineBits = 20,  // 64 MiB of slot memory.
  parameter MaxOrder = 12,
  parameter FrameLines = 23,  // A frame of an MTU of 1500 bytes.
  parameter MicrosecondClocks = 250,  // Of ap_clk; the link configurations ask for 250 MHz.
  parameter HostLines = 512
) (
  (* X_INTERFACE_INFO = "xilinx.com:signal:clock:1.0 ap_clk CLK" *)
  (* X_INTERFACE_PARAMETER = "ASSOCIATED_BUSIF s_axi_control:m_axi_memory:s_axis_rx:m_axis_tx, ASSOCIATED_RESET ap_rst_n" *)
  input  wire         ap_clk,
  (* X_INTERFACE_INFO = "xilinx.com:signal:reset:1.0 ap_rst_n RST" *)
  (* X_INTERFACE_PARAMETER = "POLARITY ACTIVE_LOW" *)
  input  wire         ap_rst_n,
  (* X_INTERFACE_INFO = "xilinx.com:signal:interrupt:1.0 interrupt INTERRUPT" *)
  (* X_INTERFACE_PARAMETER = "SENSITIVITY LEVEL_HIGH" *)
  /* verilator lint_off SYMRSVDWORD */  // XRT's name.
  output wire         interrupt,
  /* verilator lint_on SYMRSVDWORD */
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 s_axi_control AWADDR" *)
  input  wire [19:0]  s_axi_control_awaddr,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 s_axi_control AWVALID" *)
  input  wire         s_axi_control_awvalid,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 s_axi_control AWREADY" *)
  output wire         s_axi_control_awready,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 s_axi_control WDATA" *)
  input  wire [31:0]  s_axi_control_wdata,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 s_axi_control WSTRB" *)
  input  wire [3:0]   s_axi_control_wstrb,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 s_axi_control WVALID" *)
  input  wire         s_axi_control_wvalid,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 s_axi_control WREADY" *)
  output wire         s_axi_control_wready,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 s_axi_control BRESP" *)
  output wire [1:0]   s_axi_control_bresp,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 s_axi_control BVALID" *)
  output wire         s_axi_control_bvalid,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 s_axi_control BREADY" *)
  input  wire         s_axi_control_bready,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 s_axi_control ARADDR" *)
  input  wire [19:0]  s_axi_control_araddr,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 s_axi_control ARVALID" *)
  input  wire         s_axi_control_arvalid,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 s_axi_control ARREADY" *)
  output wire         s_axi_control_arready,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 s_axi_control RDATA" *)
  output wire [31:0]  s_axi_control_rdata,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 s_axi_control RRESP" *)
  output wire [1:0]   s_axi_control_rresp,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 s_axi_control RVALID" *)
  output wire         s_axi_control_rvalid,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 s_axi_control RREADY" *)
  input  wire         s_axi_control_rready,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory AWID" *)
  output wire [0:0]   m_axi_memory_awid,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory AWADDR" *)
  output wire [63:0]  m_axi_memory_awaddr,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory AWLEN" *)
  output wire [7:0]   m_axi_memory_awlen,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory AWSIZE" *)
  output wire [2:0]   m_axi_memory_awsize,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory AWBURST" *)
  output wire [1:0]   m_axi_memory_awburst,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory AWVALID" *)
  output wire         m_axi_memory_awvalid,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory AWREADY" *)
  input  wire         m_axi_memory_awready,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory WDATA" *)
  output wire [511:0] m_axi_memory_wdata,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory WSTRB" *)
  output wire [63:0]  m_axi_memory_wstrb,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory WLAST" *)
  output wire         m_axi_memory_wlast,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory WVALID" *)
  output wire         m_axi_memory_wvalid,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory WREADY" *)
  input  wire         m_axi_memory_wready,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory BID" *)
  input  wire [0:0]   m_axi_memory_bid,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory BRESP" *)
  input  wire [1:0]   m_axi_memory_bresp,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory BVALID" *)
  input  wire         m_axi_memory_bvalid,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory BREADY" *)
  output wire         m_axi_memory_bready,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory ARID" *)
  output wire [0:0]   m_axi_memory_arid,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory ARADDR" *)
  output wire [63:0]  m_axi_memory_araddr,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory ARLEN" *)
  output wire [7:0]   m_axi_memory_arlen,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory ARSIZE" *)
  output wire [2:0]   m_axi_memory_arsize,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory ARBURST" *)
  output wire [1:0]   m_axi_memory_arburst,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory ARVALID" *)
  output wire         m_axi_memory_arvalid,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory ARREADY" *)
  input  wire         m_axi_memory_arready,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory RID" *)
  input  wire [0:0]   m_axi_memory_rid,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory RDATA" *)
  input  wire [511:0] m_axi_memory_rdata,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory RRESP" *)
  input  wire [1:0]   m_axi_memory_rresp,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory RLAST" *)
  input  wire         m_axi_memory_rlast,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory RVALID" *)
  input  wire         m_axi_memory_rvalid,
  (* X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 m_axi_memory RREADY" *)
  output wire         m_axi_memory_rready,
  (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 s_axis_rx TVALID" *)
  input  wire         s_axis_rx_tvalid,
  (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 s_axis_rx TREADY" *)
  output wire         s_axis_rx_tready,
  (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 s_axis_rx TDATA" *)
  input  wire [511:0] s_axis_rx_tdata,
  (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 s_axis_rx TKEEP" *)
  input  wire [63:0]  s_axis_rx_tkeep,
  (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 s_axis_rx TLAST" *)
  input  wire         s_axis_rx_tlast,
  (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 m_axis_tx TVALID" *)
  output wire         m_axis_tx_tvalid,
  (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 m_axis_tx TREADY" *)
  input  wire         m_axis_tx_tready,
  (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 m_axis_tx TDATA" *)
  output wire [511:0] m_axis_tx_tdata,
  (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 m_axis_tx TKEEP" *)
  output wire [63:0]  m_axis_tx_tkeep,
  (* X_INTERFACE_INFO = "xilinx.com:interface:axis:1.0 m_axis_tx TLAST" *)
  output wire         m_axis_tx_tlast
);

  slotwire_xrt_kernel #(
    .Slots(Slots), .Links(Links), .MemLineBits(MemLineBits), .MaxOrder(MaxOrder), .FrameLines(FrameLines),
    .MicrosecondClocks(MicrosecondClocks), .HostLines(HostLines), .BuildId(`SLOTWIRE_BUILD_ID)
  ) u_kernel (
    .ap_clk(ap_clk), .ap_rst_n(ap_rst_n), .interrupt_o(interrupt), .s_axi_control_awaddr(s_axi_control_awaddr),
    .s_axi_control_awvalid(s_axi_control_awvalid), .s_axi_control_awready(s_axi_control_awready),
    .s_axi_control_wdata(s_axi_control_wdata), .s_axi_control_wstrb(s_axi_control_wstrb),
    .s_axi_control_wvalid(s_axi_control_wvalid), .s_axi_control_wready(s_axi_control_wready),
    .s_axi_control_bresp(s_axi_control_bresp), .s_axi_control_bvalid(s_axi_control_bvalid),
    .s_axi_control_bready(s_axi_control_bready), .s_axi_control_araddr(s_axi_control_araddr),
    .s_axi_control_arvalid(s_axi_control_arvalid), .s_axi_control_arready(s_axi_control_arready),
    .s_axi_control_rdata(s_axi_control_rdata), .s_axi_control_rresp(s_axi_control_rresp),
    .s_axi_control_rvalid(s_axi_control_rvalid), .s_axi_control_rready(s_axi_control_rready),
    .m_axi_memory_awid(m_axi_memory_awid), .m_axi_memory_awaddr(m_axi_memory_awaddr), .m_axi_memory_awlen(m_axi_memory_awlen),
    .m_axi_memory_awsize(m_axi_memory_awsize), .m_axi_memory_awburst(m_axi_memory_awburst),
    .m_axi_memory_awvalid(m_axi_memory_awvalid), .m_axi_memory_awready(m_axi_memory_awready),
    .m_axi_memory_wdata(m_axi_memory_wdata), .m_axi_memory_wstrb(m_axi_memory_wstrb), .m_axi_memory_wlast(m_axi_memory_wlast),
    .m_axi_memory_wvalid(m_axi_memory_wvalid), .m_axi_memory_wready(m_axi_memory_wready), .m_axi_memory_bid(m_axi_memory_bid),
    .m_axi_memory_bresp(m_axi_memory_bresp), .m_axi_memory_bvalid(m_axi_memory_bvalid),
    .m_axi_memory_bready(m_axi_memory_bready), .m_axi_memory_arid(m_axi_memory_arid),
    .m_axi_memory_araddr(m_axi_memory_araddr), .m_axi_memory_arlen(m_axi_memory_arlen),
    .m_axi_memory_arsize(m_axi_memory_arsize), .m_axi_memory_arburst(m_axi_memory_arburst),
    .m_axi_memory_arvalid(m_axi_memory_arvalid), .m_axi_memory_arready(m_axi_memory_arready),
    .m_axi_memory_rid(m_axi_memory_rid), .m_axi_memory_rdata(m_axi_memory_rdata), .m_axi_memory_rresp(m_axi_memory_rresp),
    .m_axi_memory_rlast(m_axi_memory_rlast), .m_axi_memory_rvalid(m_axi_memory_rvalid),
    .m_axi_memory_rready(m_axi_memory_rready), .s_axis_rx_tvalid(s_axis_rx_tvalid), .s_axis_rx_tready(s_axis_rx_tready),
    .s_axis_rx_tdata(s_axis_rx_tdata), .s_axis_rx_tkeep(s_axis_rx_tkeep), .s_axis_rx_tlast(s_axis_rx_tlast),
    .m_axis_tx_tvalid(m_axis_tx_tvalid), .m_axis_tx_tready(m_axis_tx_tready), .m_axis_tx_tdata(m_axis_tx_tdata),
    .m_axis_tx_tkeep(m_axis_tx_tkeep), .m_axis_tx_tlast(m_axis_tx_tlast));

endmodule
