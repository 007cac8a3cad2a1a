// Proof of sw_frame_fifo: the frames that it does not drop come out whole, once, unchanged and in order; it drops a frame for
// a reason only, and says so once.
`include "fv_reset.svh"
`include "sw_assert.svh"

module fv_sw_frame_fifo #(
  parameter int unsigned Depth = 4,
  parameter int unsigned DropWhenFull = 1
) (
  input logic clk_i,
  input logic rst_ni,
  input logic mark_i,
  input logic s_tvalid_i,
  input logic s_tdata_i,
  input logic s_tlast_i,
  input logic s_tuser_i,
  input logic m_tready_i
);

  `FV_RESET

  localparam int unsigned AheadDepth = 2;
  localparam int unsigned CountW = $clog2(Depth) + 2;
  localparam int unsigned Inside = Depth + AheadDepth + 1;  // The RAM, what is read ahead, and one on the way.
  localparam int unsigned MaxWait = 2;

  logic s_tready, m_tvalid, m_tlast, drop;
  logic [7:0] m_tdata;
  logic unused_m_tkeep, m_tside;

  sw_frame_fifo #(
    .DataW(8),
    .Depth(Depth),
    .AheadDepth(AheadDepth),
    .DropWhenFull(DropWhenFull)
  ) u_dut (
    .clk_i,
    .rst_ni,
    .s_tvalid_i,
    .s_tready_o(s_tready),
    .s_tdata_i ({7'h0, s_tdata_i}),
    .s_tkeep_i (1'b1),
    .s_tlast_i,
    .s_tuser_i,
    .s_tside_i (s_tlast_i),
    .m_tvalid_o(m_tvalid),
    .m_tready_i,
    .m_tdata_o (m_tdata),
    .m_tkeep_o (unused_m_tkeep),
    .m_tlast_o (m_tlast),
    .m_tside_o (m_tside),
    .drop_o    (drop)
  );

  fv_stable #(.Width(9)) u_stable (
    .clk_i,
    .rst_ni,
    .valid_i(m_tvalid),
    .ready_i(m_tready_i),
    .data_i ({m_tlast, m_tdata})
  );

  logic in, out;
  assign in = s_tvalid_i && s_tready;
  assign out = m_tvalid && m_tready_i;

  // The frame that comes in: its beats so far (it stops counting at Depth + 1), whether it is marked bad, whether there was
  // a beat for which there may have been no room. The last two stay for one clock more, for drop.
  logic [CountW-1:0] length_q, length_d;
  logic bad_q, tight_q, end_q, fresh_q;
  logic [CountW-1:0] end_length_q;
  // Beats of whole frames that are inside.
  logic [CountW-1:0] pending_q, pending;
  logic [1:0] wait_q;

  assign length_d = length_q > CountW'(Depth) ? length_q : length_q + CountW'(1);
  // What the block decided about the frame that ended in the last clock is known now.
  assign pending = pending_q + (end_q && !drop ? end_length_q : '0);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      length_q <= '0;
      bad_q <= 1'b0;
      tight_q <= 1'b0;
      fresh_q <= 1'b1;
      end_q <= 1'b0;
      pending_q <= '0;
      wait_q <= '0;
    end else begin
      end_q <= in && s_tlast_i;
      end_length_q <= length_d;
      pending_q <= pending - CountW'(out);
      wait_q <= m_tvalid || pending_q == '0 ? '0 : wait_q + 2'd1;
      if (in) begin
        length_q <= s_tlast_i ? '0 : length_d;
        fresh_q <= s_tlast_i;
        bad_q <= (!fresh_q && bad_q) || s_tuser_i;
        tight_q <= (!fresh_q && tight_q) || (DropWhenFull != 0 ? pending + length_q >= CountW'(Depth) : length_q >= CountW'(Depth));
      end
    end
  end

  // One beat is followed: its place in its frame, then the beats before it.
  logic maybe_q, sure_q, gone_q, last_q;
  logic data_q;
  logic [CountW-1:0] place_q, ahead_q, ahead;

  // As long as its frame is not known to be whole, place_q counts; then the beats that are inside are before it, too.
  assign ahead = maybe_q ? pending_q + place_q : ahead_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      maybe_q <= 1'b0;
      sure_q <= 1'b0;
      gone_q <= 1'b0;
    end else begin
      if (in && mark_i && !maybe_q && !sure_q && !gone_q) begin
        maybe_q <= 1'b1;
        place_q <= length_q;
        data_q <= s_tdata_i;
        last_q <= s_tlast_i;
      end
      if (maybe_q && end_q) begin
        maybe_q <= 1'b0;
        sure_q <= !drop;
        ahead_q <= ahead - CountW'(out);
      end
      if (sure_q && out) begin
        if (ahead_q == '0) begin
          sure_q <= 1'b0;
          gone_q <= 1'b1;
        end else begin
          ahead_q <= ahead_q - CountW'(1);
        end
      end
    end
  end


  `SW_ASSERT(OnlyWholeFrames, !m_tvalid || pending_q != '0)
  `SW_ASSERT(WithinCapacity, pending_q <= CountW'(Inside))
  `SW_ASSERT(ComesOutInTime, wait_q <= 2'(MaxWait))
  `SW_ASSERT(SideStaysBeside, !m_tvalid || m_tside == m_tlast)
  `SW_ASSERT(ComesOutUnchanged, !(sure_q && m_tvalid && ahead_q == '0) || (m_tdata == {7'h0, data_q} && m_tlast == last_q))
  `SW_ASSERT(DropIsOfAFrame, !drop || end_q)
  `SW_ASSERT(DropHasAReason, !drop || bad_q || tight_q)
  `SW_ASSERT(BadIsDropped, !(end_q && bad_q) || drop)
  `SW_ASSERT(NeverHeldBack, DropWhenFull == 0 || s_tready)
  `SW_ASSERT(WaitsForRoomOnly, s_tready || pending != '0)
  `SW_COVER(FollowedComesOut, gone_q && last_q)
  `SW_COVER(DropForRoom, drop && !bad_q)
  `SW_COVER(LongestFrame, end_q && !drop && end_length_q == CountW'(Depth))

endmodule
