// Included into OpenNIC's box_250mhz: the card at function 0 and port 0, every other function straight to the port of its number.
initial begin
  if (USE_PHYS_FUNC == 0) begin
    $fatal(1, "Slotwire needs a physical function: build with -num_phys_func 1 or more");
  end
  if (NUM_PHYS_FUNC != NUM_CMAC_PORT || NUM_QDMA != 1) begin
    $fatal(1, "Slotwire needs as many functions (%0d) as ports (%0d), and one QDMA (%0d)", NUM_PHYS_FUNC, NUM_CMAC_PORT, NUM_QDMA);
  end
end

localparam C_NUM_USER_BLOCK = 1;
assign mod_rst_done[15:C_NUM_USER_BLOCK] = {(16 - C_NUM_USER_BLOCK){1'b1}};

slotwire_opennic slotwire_opennic_inst (
  .s_axil_awvalid                   (s_axil_awvalid),
  .s_axil_awaddr                    (s_axil_awaddr),
  .s_axil_awready                   (s_axil_awready),
  .s_axil_wvalid                    (s_axil_wvalid),
  .s_axil_wdata                     (s_axil_wdata),
  .s_axil_wready                    (s_axil_wready),
  .s_axil_bvalid                    (s_axil_bvalid),
  .s_axil_bresp                     (s_axil_bresp),
  .s_axil_bready                    (s_axil_bready),
  .s_axil_arvalid                   (s_axil_arvalid),
  .s_axil_araddr                    (s_axil_araddr),
  .s_axil_arready                   (s_axil_arready),
  .s_axil_rvalid                    (s_axil_rvalid),
  .s_axil_rdata                     (s_axil_rdata),
  .s_axil_rresp                     (s_axil_rresp),
  .s_axil_rready                    (s_axil_rready),

  .s_axis_qdma_h2c_tvalid           (s_axis_qdma_h2c_tvalid[0]),
  .s_axis_qdma_h2c_tdata            (s_axis_qdma_h2c_tdata[511:0]),
  .s_axis_qdma_h2c_tkeep            (s_axis_qdma_h2c_tkeep[63:0]),
  .s_axis_qdma_h2c_tlast            (s_axis_qdma_h2c_tlast[0]),
  .s_axis_qdma_h2c_tuser_size       (s_axis_qdma_h2c_tuser_size[15:0]),
  .s_axis_qdma_h2c_tuser_src        (s_axis_qdma_h2c_tuser_src[15:0]),
  .s_axis_qdma_h2c_tuser_dst        (s_axis_qdma_h2c_tuser_dst[15:0]),
  .s_axis_qdma_h2c_tready           (s_axis_qdma_h2c_tready[0]),

  .m_axis_qdma_c2h_tvalid           (m_axis_qdma_c2h_tvalid[0]),
  .m_axis_qdma_c2h_tdata            (m_axis_qdma_c2h_tdata[511:0]),
  .m_axis_qdma_c2h_tkeep            (m_axis_qdma_c2h_tkeep[63:0]),
  .m_axis_qdma_c2h_tlast            (m_axis_qdma_c2h_tlast[0]),
  .m_axis_qdma_c2h_tuser_size       (m_axis_qdma_c2h_tuser_size[15:0]),
  .m_axis_qdma_c2h_tuser_src        (m_axis_qdma_c2h_tuser_src[15:0]),
  .m_axis_qdma_c2h_tuser_dst        (m_axis_qdma_c2h_tuser_dst[15:0]),
  .m_axis_qdma_c2h_tready           (m_axis_qdma_c2h_tready[0]),

  .m_axis_adap_tx_250mhz_tvalid     (m_axis_adap_tx_250mhz_tvalid[0]),
  .m_axis_adap_tx_250mhz_tdata      (m_axis_adap_tx_250mhz_tdata[511:0]),
  .m_axis_adap_tx_250mhz_tkeep      (m_axis_adap_tx_250mhz_tkeep[63:0]),
  .m_axis_adap_tx_250mhz_tlast      (m_axis_adap_tx_250mhz_tlast[0]),
  .m_axis_adap_tx_250mhz_tuser_size (m_axis_adap_tx_250mhz_tuser_size[15:0]),
  .m_axis_adap_tx_250mhz_tuser_src  (m_axis_adap_tx_250mhz_tuser_src[15:0]),
  .m_axis_adap_tx_250mhz_tuser_dst  (m_axis_adap_tx_250mhz_tuser_dst[15:0]),
  .m_axis_adap_tx_250mhz_tready     (m_axis_adap_tx_250mhz_tready[0]),

  .s_axis_adap_rx_250mhz_tvalid     (s_axis_adap_rx_250mhz_tvalid[0]),
  .s_axis_adap_rx_250mhz_tdata      (s_axis_adap_rx_250mhz_tdata[511:0]),
  .s_axis_adap_rx_250mhz_tkeep      (s_axis_adap_rx_250mhz_tkeep[63:0]),
  .s_axis_adap_rx_250mhz_tlast      (s_axis_adap_rx_250mhz_tlast[0]),
  .s_axis_adap_rx_250mhz_tuser_size (s_axis_adap_rx_250mhz_tuser_size[15:0]),
  .s_axis_adap_rx_250mhz_tuser_src  (s_axis_adap_rx_250mhz_tuser_src[15:0]),
  .s_axis_adap_rx_250mhz_tuser_dst  (s_axis_adap_rx_250mhz_tuser_dst[15:0]),
  .s_axis_adap_rx_250mhz_tready     (s_axis_adap_rx_250mhz_tready[0]),

  .mod_rstn                         (mod_rstn[0]),
  .mod_rst_done                     (mod_rst_done[0]),
  .axil_aclk                        (axil_aclk),
  .axis_aclk                        (axis_aclk)
);

generate for (genvar i = 1; i < NUM_PHYS_FUNC; i++) begin : gen_straight
  assign m_axis_adap_tx_250mhz_tvalid[i] = s_axis_qdma_h2c_tvalid[i];
  assign m_axis_adap_tx_250mhz_tdata[512*i +: 512] = s_axis_qdma_h2c_tdata[512*i +: 512];
  assign m_axis_adap_tx_250mhz_tkeep[64*i +: 64] = s_axis_qdma_h2c_tkeep[64*i +: 64];
  assign m_axis_adap_tx_250mhz_tlast[i] = s_axis_qdma_h2c_tlast[i];
  assign m_axis_adap_tx_250mhz_tuser_size[16*i +: 16] = s_axis_qdma_h2c_tuser_size[16*i +: 16];
  assign m_axis_adap_tx_250mhz_tuser_src[16*i +: 16] = s_axis_qdma_h2c_tuser_src[16*i +: 16];
  assign m_axis_adap_tx_250mhz_tuser_dst[16*i +: 16] = 16'h1 << (6 + i);
  assign s_axis_qdma_h2c_tready[i] = m_axis_adap_tx_250mhz_tready[i];
  assign m_axis_qdma_c2h_tvalid[i] = s_axis_adap_rx_250mhz_tvalid[i];
  assign m_axis_qdma_c2h_tdata[512*i +: 512] = s_axis_adap_rx_250mhz_tdata[512*i +: 512];
  assign m_axis_qdma_c2h_tkeep[64*i +: 64] = s_axis_adap_rx_250mhz_tkeep[64*i +: 64];
  assign m_axis_qdma_c2h_tlast[i] = s_axis_adap_rx_250mhz_tlast[i];
  assign m_axis_qdma_c2h_tuser_size[16*i +: 16] = s_axis_adap_rx_250mhz_tuser_size[16*i +: 16];
  assign m_axis_qdma_c2h_tuser_src[16*i +: 16] = s_axis_adap_rx_250mhz_tuser_src[16*i +: 16];
  assign m_axis_qdma_c2h_tuser_dst[16*i +: 16] = 16'h1 << i;
  assign s_axis_adap_rx_250mhz_tready[i] = m_axis_qdma_c2h_tready[i];
end
endgenerate
