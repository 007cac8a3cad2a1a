// Tells the host's frames apart: the first of the rules that matches says which queue of the host a frame goes to, with which mark,
// or that it is dropped (docs/registers.md, "A rule of the classifier"). A beat a clock, four clocks long, never stalls; order and
// bytes of frames stay as they are.
//
// The key is made of a frame's first beat, which holds an Ethernet header with one VLAN tag, an IPv6 header and ports. What is no
// whole header there counts as absent, and its fields as 0.
`include "sw_assert.svh"

module slotwire_classifier #(
  parameter int unsigned Rules = 16  // 2 to 32.
) (
  input logic clk_i,
  input logic rst_ni,

  // A line is written into the page of the classifier.
  input logic         we_i,
  input logic [5:0]   line_i,
  input logic [511:0] row_i,

  // From the receive engine; tuser at tlast: the frame is damaged.
  input logic         s_tvalid_i,
  input logic [511:0] s_tdata_i,
  input logic [63:0]  s_tkeep_i,
  input logic         s_tlast_i,
  input logic         s_tuser_i,

  // The same four clocks later.
  output logic         m_tvalid_o,
  output logic [511:0] m_tdata_o,
  output logic [63:0]  m_tkeep_o,
  output logic         m_tlast_o,
  output logic         m_tuser_o,
  // In every beat of a frame.
  output logic         m_drop_o,
  output logic [slotwire_pkg::VerdictBits-1:0] m_verdict_o,

  output logic idle_o  // No beat is inside, and no frame has begun.
);

  localparam int unsigned QueueW = slotwire_pkg::VerdictQueueBits;
  localparam int unsigned MarkW = slotwire_pkg::VerdictMarkBits;
  localparam int unsigned VerdictW = slotwire_pkg::VerdictBits;
  localparam int unsigned Clocks = 4;

  if (Rules < 2 || Rules > 32) begin : gen_check
    $error("slotwire_classifier: Rules must be 2 to 32");
  end

  // As the fields stand in a rule, from the last to the first.
  typedef struct packed {
    logic [7:0]  kinds;
    logic [7:0]  protocol;
    logic [15:0] dst_port;
    logic [15:0] src_port;
    logic [15:0] vlan;
    logic [15:0] ether_type;
    logic [15:0] dst_mac_low;
    logic [31:0] dst_ip;
    logic [31:0] src_ip;
    logic [31:0] dst_mac_high;
  } key_t;
  localparam int unsigned KeyW = 192;

  // ---- the beats ----------------------------------------------------------------------------------------------------------

  logic [Clocks-1:0] valid_q, first_q, last_q, user_q;
  logic              starts_q;  // The next beat is the first of a frame.
  logic [511:0]      data0_q, data1_q, data2_q, data3_q;
  logic [63:0]       keep0_q, keep1_q, keep2_q, keep3_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= '0;
      starts_q <= 1'b1;
    end else begin
      valid_q <= {valid_q[Clocks-2:0], s_tvalid_i};
      if (s_tvalid_i) starts_q <= s_tlast_i;
    end
    first_q <= {first_q[Clocks-2:0], starts_q};
    last_q <= {last_q[Clocks-2:0], s_tlast_i};
    user_q <= {user_q[Clocks-2:0], s_tuser_i};
    {data0_q, keep0_q} <= {s_tdata_i, s_tkeep_i};
    {data1_q, keep1_q} <= {data0_q, keep0_q};
    {data2_q, keep2_q} <= {data1_q, keep1_q};
    {data3_q, keep3_q} <= {data2_q, keep2_q};
  end

  // ---- first clock: is there a tag ----------------------------------------------------------------------------------------

  logic tagged_q;
  always_ff @(posedge clk_i) tagged_q <= s_tdata_i[12*8+:16] == 16'h0081 && s_tkeep_i[17];  // 0x8100 as it stands there

  // ---- second clock: the key ----------------------------------------------------------------------------------------------

  // The beat with its first byte in the most significant place, and the same without its tag.
  logic [511:0] line, rest;
  logic [63:0]  there;
  for (genvar i = 0; i < 64; i++) begin : gen_bytes
    assign line[(63-i)*8+:8] = data0_q[i*8+:8];
  end
  assign rest = tagged_q ? {line[479:0], 32'd0} : line;
  assign there = tagged_q ? {4'd0, keep0_q[63:4]} : keep0_q;

  typedef struct packed {
    logic [47:0] dst_mac;
    logic [47:0] src_mac;
    logic [15:0] ether_type;
    logic [3:0]  version;
    logic [3:0]  ihl;
    logic [7:0]  dscp;
    logic [15:0] total_length;
    logic [15:0] id;
    logic [15:0] fragment;
    logic [7:0]  ttl;
    logic [7:0]  protocol;
    logic [15:0] checksum;
    logic [31:0] src_ip;
    logic [31:0] dst_ip;
    logic [15:0] src_port;
    logic [15:0] dst_port;
    logic [207:0] after;
  } ipv4_t;
  typedef struct packed {
    logic [111:0] ethernet;
    logic [3:0]   version;
    logic [27:0]  flow;
    logic [15:0]  payload_length;
    logic [7:0]   next_header;
    logic [7:0]   hop_limit;
    logic [255:0] addresses;
    logic [15:0]  src_port;
    logic [15:0]  dst_port;
    logic [47:0]  after;
  } ipv6_t;
  ipv4_t four;
  ipv6_t six;
  assign four = rest;
  assign six = rest;

  logic ipv4, ipv6, ports4, ports6;
  assign ipv4 = four.ether_type == 16'h0800 && four.version == 4'd4 && four.ihl >= 4'd5 && there[33];
  assign ipv6 = six.ethernet[15:0] == 16'h86dd && six.version == 4'd6 && there[53];
  assign ports4 = ipv4 && four.ihl == 4'd5 && (four.fragment & 16'h3fff) == '0 && there[37] &&
                  (four.protocol == 8'd17 || four.protocol == 8'd6);
  assign ports6 = ipv6 && there[57] && (six.next_header == 8'd17 || six.next_header == 8'd6);

  key_t key, key_q;
  always_comb begin
    key = '0;
    key.kinds[slotwire_pkg::FrameKindTaggedBit] = tagged_q;
    key.kinds[slotwire_pkg::FrameKindIpv4Bit] = ipv4;
    key.kinds[slotwire_pkg::FrameKindIpv6Bit] = ipv6;
    key.kinds[slotwire_pkg::FrameKindPortsBit] = ports4 || ports6;
    if (keep0_q[5]) begin
      key.dst_mac_high = line[511-:32];
      key.dst_mac_low = line[479-:16];
    end
    if (there[13]) key.ether_type = four.ether_type;
    if (tagged_q) key.vlan = line[511-14*8-:16];
    if (ipv4) begin
      key.protocol = four.protocol;
      key.src_ip = four.src_ip;
      key.dst_ip = four.dst_ip;
    end
    if (ipv6) key.protocol = six.next_header;
    if (ports4) begin
      key.src_port = four.src_port;
      key.dst_port = four.dst_port;
    end
    if (ports6) begin
      key.src_port = six.src_port;
      key.dst_port = six.dst_port;
    end
  end
  always_ff @(posedge clk_i) key_q <= key;

  // ---- the rules ----------------------------------------------------------------------------------------------------------

  slotwire_pkg::classifier_rule_t row;
  assign row = row_i;

  // What a rule does is written a clock after what it matches: a frame that matched the old one is treated by the old one.
  typedef struct packed {
    logic drop;
    logic marks;
    logic [MarkW-1:0]  mark;
    logic [QueueW-1:0] host_queue;
  } action_t;
  localparam int unsigned ActionW = 2 + MarkW + QueueW;
  action_t action;
  logic [ActionW-1:0] action_row_q;
  logic [5:0]         action_line_q;
  logic               action_we_q;
  always_comb begin
    action.drop = row.action == 8'(slotwire_pkg::ClassifierActionDrop);
    action.marks = row.marks[0];
    action.mark = row.marks[0] ? row.mark[MarkW-1:0] : '0;
    action.host_queue = row.host_queue[QueueW-1:0];
  end
  always_ff @(posedge clk_i) begin
    action_we_q <= we_i;
    action_line_q <= line_i;
    action_row_q <= action;
  end

  // ---- third clock: which rules match -------------------------------------------------------------------------------------

  logic [Rules-1:0]         used_q, match, match_q;
  logic [Rules*ActionW-1:0] action_q;
  for (genvar r = 0; r < Rules; r++) begin : gen_rules
    logic [KeyW-1:0] value_q, mask_q;
    logic            write;
    assign write = we_i && line_i == 6'(r);
    always_ff @(posedge clk_i) begin
      if (!rst_ni) used_q[r] <= 1'b0;
      else if (write) used_q[r] <= row.action == 8'(slotwire_pkg::ClassifierActionQueue) || row.action == 8'(slotwire_pkg::ClassifierActionDrop);
      if (write) begin
        value_q <= row_i[64+:KeyW];
        mask_q <= row_i[64+KeyW+:KeyW];
      end
      if (action_we_q && action_line_q == 6'(r)) action_q[r*ActionW+:ActionW] <= action_row_q;
    end
    assign match[r] = used_q[r] && ((key_q ^ value_q) & mask_q) == '0;
  end
  always_ff @(posedge clk_i) match_q <= match;

  // ---- fourth clock: what the first of them says --------------------------------------------------------------------------

  logic [ActionW-1:0] default_q, chosen;
  logic [Rules-1:0]   earlier;  // A rule before this one matches.
  action_t            verdict_q;
  always_comb begin
    earlier = '0;
    for (int unsigned r = 1; r < Rules; r++) earlier[r] = earlier[r-1] || match_q[r-1];
    chosen = match_q == '0 ? default_q : '0;
    for (int unsigned r = 0; r < Rules; r++) chosen = chosen | ({ActionW{match_q[r] && !earlier[r]}} & action_q[r*ActionW+:ActionW]);
  end
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      default_q <= '0;
    end else if (we_i && line_i == 6'(slotwire_pkg::ClassifierDefault / 64)) begin
      default_q <= '0;
      default_q[ActionW-1] <= row_i[7:0] == 8'(slotwire_pkg::ClassifierActionDrop);
      default_q[QueueW-1:0] <= row_i[16+:QueueW];
    end
    if (first_q[Clocks-2]) verdict_q <= chosen;
  end

  assign m_tvalid_o = valid_q[Clocks-1];
  assign m_tdata_o = data3_q;
  assign m_tkeep_o = keep3_q;
  assign m_tlast_o = last_q[Clocks-1];
  assign m_tuser_o = user_q[Clocks-1] && last_q[Clocks-1];
  assign m_drop_o = verdict_q.drop;
  assign m_verdict_o = VerdictW'({verdict_q.marks, verdict_q.mark, verdict_q.host_queue});
  assign idle_o = valid_q == '0 && starts_q;

  // One rule decides, the first that matches, and what it says stays as it is from a frame's first beat to its last.
  logic                decided_q;  // A beat went out that was not its frame's last one.
  action_t             before_q;
  logic [Rules-1:0]    decides;
  assign decides = match_q & ~earlier;
  always_ff @(posedge clk_i) begin
    decided_q <= rst_ni && (valid_q[Clocks-1] ? !last_q[Clocks-1] : decided_q);
    before_q <= verdict_q;
  end
  `SW_ASSERT(OneRuleDecides, (decides & (decides - Rules'(1))) == '0 && (match_q == '0) == (decides == '0))
  `SW_ASSERT(OneVerdictForAFrame, !(decided_q && valid_q[Clocks-1]) || (verdict_q == before_q && !first_q[Clocks-1]))
  `SW_ASSERT(AFrameBeginsFirst, !(valid_q[Clocks-1] && !decided_q) || first_q[Clocks-1])

  logic unused;
  assign unused = &{1'b0, four, six, there, row, first_q[Clocks-1], decided_q, before_q, decides};

endmodule
