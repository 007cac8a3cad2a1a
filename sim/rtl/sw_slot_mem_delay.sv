// For simulation only: sw_slot_mem's ports with random latency and back-pressure, as a memory outside the chip has them.
//
// Reads are answered in order, each MinLatency clocks or more after it was taken, at most MaxReads outstanding; writes are
// done in order, at most MaxWrites outstanding. A read sees every write that was done when it was taken, and may see writes
// that are done until its answer. How eager the memory is changes every 64 clocks: always ready, ready now and then, hardly.
// seed_i is taken during reset; the same seed gives the same behaviour.
module sw_slot_mem_delay #(
  parameter int unsigned Lines = 4096,  // A power of two, 2 or more.
  parameter int unsigned MaxReads = 64,  // A power of two, 2 or more.
  parameter int unsigned MaxWrites = 16,  // A power of two, 2 or more.
  parameter int unsigned MinLatency = 2,  // Clocks, 2 to 255.
  localparam int unsigned AddrW = $clog2(Lines)
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic [31:0]      seed_i,

  input  logic             rd_valid_i,
  output logic             rd_ready_o,
  input  logic [AddrW-1:0] rd_addr_i,
  output logic             rsp_valid_o,
  output logic [511:0]     rsp_data_o,
  output logic             rsp_err_o,

  input  logic             wr_valid_i,
  output logic             wr_ready_o,
  input  logic [AddrW-1:0] wr_addr_i,
  input  logic [511:0]     wr_data_i,
  input  logic [63:0]      wr_strb_i,
  output logic             wr_done_o,

  input  logic             inject_err_i
);

  localparam int unsigned ReadPtrW = $clog2(MaxReads);
  localparam int unsigned WritePtrW = $clog2(MaxWrites);

  // Random numbers: a xorshift of 32 bits, one step a clock. Its fields serve as if they were independent.
  logic [31:0] random_q, random_d, step1, step2;
  assign step1 = random_q ^ (random_q << 13);
  assign step2 = step1 ^ (step1 >> 17);
  assign random_d = step2 ^ (step2 << 5);

  // 0 and 1: always ready; 2: every second clock; 3: every eighth.
  logic [1:0] mood_q;
  logic [5:0] mood_age_q;
  logic rd_willing, wr_willing, rsp_willing, done_willing;

  function automatic logic willing(input logic [1:0] mood, input logic [2:0] chance);
    willing = mood < 2 || (mood == 2 ? chance[0] : chance == '0);
  endfunction

  assign rd_willing = willing(mood_q, random_q[2:0]);
  assign wr_willing = willing(mood_q, random_q[5:3]);
  assign rsp_willing = willing(mood_q, random_q[8:6]);
  assign done_willing = willing(mood_q, random_q[11:9]);

  logic [511:0] mem[Lines];
  logic bad[Lines];  // byte 0 was written with inject_err_i

  logic [AddrW-1:0] rd_addr_mem[MaxReads];
  logic [31:0] rd_time_mem[MaxReads];  // when it was taken
  logic [ReadPtrW:0] rd_wptr_q, rd_rptr_q;
  logic [AddrW-1:0] wr_addr_mem[MaxWrites];
  logic [511:0] wr_data_mem[MaxWrites];
  logic [63:0] wr_strb_mem[MaxWrites];
  logic wr_bad_mem[MaxWrites];
  logic [WritePtrW:0] wr_wptr_q, wr_rptr_q;
  logic [31:0] now_q;

  logic respond, finish;
  logic [ReadPtrW-1:0] rd_first;
  logic [WritePtrW-1:0] wr_first;

  assign rd_first = rd_rptr_q[ReadPtrW-1:0];
  assign wr_first = wr_rptr_q[WritePtrW-1:0];
  assign rd_ready_o = rd_willing && (rd_wptr_q - rd_rptr_q) < (ReadPtrW + 1)'(MaxReads);
  assign wr_ready_o = wr_willing && (wr_wptr_q - wr_rptr_q) < (WritePtrW + 1)'(MaxWrites);
  // The answer comes out of a register: one clock less here.
  assign respond = rd_wptr_q != rd_rptr_q && rsp_willing && now_q - rd_time_mem[rd_first] >= 32'(MinLatency - 1);
  assign finish = wr_wptr_q != wr_rptr_q && done_willing;

  initial begin
    for (int unsigned i = 0; i < Lines; i++) begin
      mem[i] = '0;
      bad[i] = 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      random_q <= seed_i == '0 ? 32'h1 : seed_i;
      mood_q <= '0;
      mood_age_q <= '0;
      rd_wptr_q <= '0;
      rd_rptr_q <= '0;
      wr_wptr_q <= '0;
      wr_rptr_q <= '0;
      now_q <= '0;
      rsp_valid_o <= 1'b0;
      wr_done_o <= 1'b0;
    end else begin
      random_q <= random_d;
      now_q <= now_q + 1;
      mood_age_q <= mood_age_q + 1;
      if (mood_age_q == '1) mood_q <= random_q[31:30];
      rsp_valid_o <= respond;
      wr_done_o <= finish;
      if (rd_valid_i && rd_ready_o) rd_wptr_q <= rd_wptr_q + 1;
      if (respond) rd_rptr_q <= rd_rptr_q + 1;
      if (wr_valid_i && wr_ready_o) wr_wptr_q <= wr_wptr_q + 1;
      if (finish) wr_rptr_q <= wr_rptr_q + 1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (rd_valid_i && rd_ready_o) begin
      rd_addr_mem[rd_wptr_q[ReadPtrW-1:0]] <= rd_addr_i;
      rd_time_mem[rd_wptr_q[ReadPtrW-1:0]] <= now_q;
    end
    if (wr_valid_i && wr_ready_o) begin
      wr_addr_mem[wr_wptr_q[WritePtrW-1:0]] <= wr_addr_i;
      wr_data_mem[wr_wptr_q[WritePtrW-1:0]] <= wr_data_i;
      wr_strb_mem[wr_wptr_q[WritePtrW-1:0]] <= wr_strb_i;
      wr_bad_mem[wr_wptr_q[WritePtrW-1:0]] <= inject_err_i;
    end
    if (finish && rst_ni) begin  // Nothing before the first reset has cleared the pointers.
      for (int i = 0; i < 64; i++) begin
        if (wr_strb_mem[wr_first][i]) mem[wr_addr_mem[wr_first]][i*8+:8] <= wr_data_mem[wr_first][i*8+:8];
      end
      if (wr_strb_mem[wr_first][0]) bad[wr_addr_mem[wr_first]] <= wr_bad_mem[wr_first];
    end
    rsp_data_o <= mem[rd_addr_mem[rd_first]];
    rsp_err_o <= bad[rd_addr_mem[rd_first]];
  end

endmodule
