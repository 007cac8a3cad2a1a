// A store-and-forward FIFO for AXI-Stream frames: a frame leaves when all of it is inside, then without a pause of its own.
//
// DropWhenFull 1: the input is never held back (s_tready_o is always 1); a frame that finds no room is dropped whole.
// DropWhenFull 0: the input waits for room; only a frame of more than Depth beats, which could never leave, is dropped.
// In both, a frame with s_tuser_i set in any beat is dropped whole. drop_o pulses once for every dropped frame, in the clock
// after its last beat. The first beat can leave 3 clocks after the last beat came in.
// tdata, tkeep, tlast and tside come out as they went in; tkeep and tside are not looked at.
`include "sw_assert.svh"

module sw_frame_fifo #(
  parameter int unsigned DataW = 512,  // Bits of tdata, a multiple of 8. A line; less in proofs only.
  parameter int unsigned Depth = 512,  // Beats, a power of two, 4 or more.
  parameter int unsigned DropWhenFull = 1,
  parameter int unsigned Style = 1,  // Of the RAM, as sw_ram_sdp's.
  parameter int unsigned AheadDepth = 4,  // Beats read ahead: covers a read's round trip. Less in proofs only.
  parameter int unsigned SideW = 1,  // Bits that stand beside a beat.
  localparam int unsigned KeepW = DataW / 8
) (
  input  logic             clk_i,
  input  logic             rst_ni,

  input  logic             s_tvalid_i,
  output logic             s_tready_o,
  input  logic [DataW-1:0] s_tdata_i,
  input  logic [KeepW-1:0] s_tkeep_i,
  input  logic             s_tlast_i,
  input  logic             s_tuser_i,  // The frame is bad.
  input  logic [SideW-1:0] s_tside_i,

  output logic             m_tvalid_o,
  input  logic             m_tready_i,
  output logic [DataW-1:0] m_tdata_o,
  output logic [KeepW-1:0] m_tkeep_o,
  output logic             m_tlast_o,
  output logic [SideW-1:0] m_tside_o,

  output logic             drop_o
);

  localparam int unsigned AddrW = $clog2(Depth);
  localparam int unsigned PtrW = AddrW + 1;  // One bit more tells full from empty.
  localparam int unsigned WordW = SideW + DataW + KeepW + 1;
  localparam int unsigned AheadW = $clog2(AheadDepth) + 1;

  if (DataW < 8 || DataW % 8 != 0 || Depth < 4 || (Depth & (Depth - 1)) != 0) begin : gen_check
    $error("sw_frame_fifo: DataW must be a multiple of 8, Depth a power of two, 4 or more");
  end

  // Beats [rptr, commit) are of whole frames, [commit, wptr) of the frame that comes in.
  logic [PtrW-1:0] wptr_q, commit_q, rptr_q, wptr_next;
  logic dropping_q;  // the rest of this frame is swallowed
  logic full, alone, bad, take, store, fetch, fetched_q;
  logic [AheadW-1:0] ahead_count;
  logic unused_ahead_wready;
  logic [WordW-1:0] ram_rdata;

  assign full = PtrW'(wptr_q - rptr_q) == PtrW'(Depth);
  assign alone = PtrW'(wptr_q - commit_q) == PtrW'(Depth);  // full of one frame, which is not whole
  assign bad = dropping_q || s_tuser_i || (DropWhenFull != 0 ? full : alone);
  assign s_tready_o = DropWhenFull != 0 || !full || alone;
  assign take = s_tvalid_i && s_tready_o;
  assign store = take && !bad;
  assign wptr_next = wptr_q + PtrW'(1);
  assign fetch = rptr_q != commit_q && ahead_count + AheadW'(fetched_q) < AheadW'(AheadDepth);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      wptr_q <= '0;
      commit_q <= '0;
      rptr_q <= '0;
      dropping_q <= 1'b0;
      fetched_q <= 1'b0;
      drop_o <= 1'b0;
    end else begin
      fetched_q <= fetch;
      drop_o <= take && s_tlast_i && bad;
      if (fetch) rptr_q <= rptr_q + PtrW'(1);
      if (take) begin
        dropping_q <= bad && !s_tlast_i;
        wptr_q <= bad ? commit_q : wptr_next;
        if (s_tlast_i && !bad) commit_q <= wptr_next;
      end
    end
  end

  sw_ram_sdp #(
    .Width(WordW),
    .Depth(Depth),
    .Style(Style)
  ) u_ram (
    .clk_i,
    .we_i    (store),
    .waddr_i (wptr_q[AddrW-1:0]),
    .wdata_i ({s_tside_i, s_tlast_i, s_tkeep_i, s_tdata_i}),
    .wlanes_i(1'b1),
    .re_i    (fetch),
    .raddr_i (rptr_q[AddrW-1:0]),
    .rdata_o (ram_rdata)
  );

  sw_fifo #(
    .Width(WordW),
    .Depth(AheadDepth)
  ) u_ahead (
    .clk_i,
    .rst_ni,
    .wvalid_i(fetched_q),
    .wready_o(unused_ahead_wready),
    .wdata_i (ram_rdata),
    .rvalid_o(m_tvalid_o),
    .rready_i(m_tready_i),
    .rdata_o ({m_tside_o, m_tlast_o, m_tkeep_o, m_tdata_o}),
    .count_o (ahead_count)
  );

  `SW_ASSERT(FetchedHasRoom, !fetched_q || ahead_count < AheadW'(AheadDepth))
  `SW_ASSERT(PointersInOrder, PtrW'(commit_q - rptr_q) <= PtrW'(wptr_q - rptr_q))
  `SW_ASSERT(WithinDepth, PtrW'(wptr_q - rptr_q) <= PtrW'(Depth))
  `SW_ASSERT(NothingKeptOfDropped, !dropping_q || wptr_q == commit_q)

endmodule
