// Part of slotwire_pkg, which includes it at its end: what the modules of the core hand to each other. Written by hand, unlike the
// rest; in the same package, since Yosys 0.23 takes no package that names another.

  // What is done to a slot's row.
  typedef enum logic [3:0] {
    OpNone = 4'd0,
    OpInTail = 4'd1,  // A doorbell.
    OpOutHead = 4'd2,  // A doorbell.
    OpRx = 4'd3,  // A received frame.
    OpTx = 4'd4,  // The turn of a ready slot.
    OpTimer = 4'd5,  // The timer sweep comes by.
    OpLinkUp = 4'd6,
    OpLinkDown = 4'd7,
    OpWrite = 4'd8,  // The host writes the row: binds or frees the slot.
    OpRead = 4'd9,
    OpFault = 4'd10,
    OpInit = 4'd11,  // After a reset: the slot is free, its marks can still be read.
    OpRefused = 4'd15  // Slot memory refused received lines. 12 to 14 are those of a proof (fv_link.sv).
  } op_e;

  // A received frame without its lines.
  typedef struct packed {
    logic        drop;  // Dropped before its slot is looked at, for `cause`.
    logic        damaged;  // Dropped because the port marked it; not counted with the slots' frames.
    logic [7:0]  cause;  // A counter.
    logic [3:0]  frame_type;  // As it came: any value.
    logic [15:0] dst_slot;
    logic [15:0] src_slot;
    logic [15:0] epoch;
    logic [31:0] seq;
    logic [31:0] ack;
    logic [15:0] credit;
    logic [9:0]  lines;  // As many stand in the payload FIFO unless the frame is dropped.
    logic [31:0] src_ip;
    logic [15:0] src_port;
  } rx_head_t;

  // An operation on a slot.
  typedef struct packed {
    op_e         kind;
    logic [15:0] slot;
    logic [31:0] value;  // OpInTail, OpOutHead: the mark. OpRx: seq. OpRefused: where the lines end that are in memory.
    logic [31:0] ack;  // From here on: OpRx, of the frame.
    logic [15:0] credit;
    logic [15:0] src_slot;
    logic [15:0] epoch;
    logic [9:0]  lines;
    logic [3:0]  frame_type;
    logic [31:0] src_ip;
    logic [15:0] src_port;
    logic [7:0]  cause;  // OpFault, OpRefused: the cause. OpRx: counter of the reason to drop the frame, if `drop`.
    logic        drop;
    logic        damaged;
    logic        beyond;  // Its slot is beyond the table.
    logic        may_send;  // OpInTail: a frame may be sent at once.
    logic        ctl;  // The host waits for its end.
  } op_t;

  // What the rules say of a frame to send.
  typedef struct packed {
    frame_type_e frame_type;
    logic [9:0]  lines;
    logic [31:0] seq;
    logic [31:0] ack;
    logic [15:0] credit;
  } tx_head_t;

  // A frame to send: all that its headers tell.
  typedef struct packed {
    tx_head_t    head;
    logic [15:0] slot;
    logic [15:0] peer_slot;
    logic [15:0] epoch;
    logic [31:0] peer_ip;
    logic [15:0] peer_port;
    logic [47:0] peer_mac;
  } tx_frame_t;

  // And where its lines are: from head.seq on in the ring of 2^order lines at line `base` of slot memory.
  typedef struct packed {
    tx_frame_t   frame;
    logic [31:0] base;
    logic [3:0]  order;
  } tx_job_t;

  // Which lines of a received frame are taken: `skip` are dropped first, `take` are written, what is left is dropped.
  typedef struct packed {
    logic [9:0]  skip;
    logic [9:0]  take;
    logic [31:0] at;  // Position of the first one that is taken.
  } rx_lines_t;

  // The verdict on a received frame: these lines go into the ring of 2^order lines at line `base` of slot memory.
  typedef struct packed {
    logic [15:0] slot;
    rx_lines_t   lines;
    logic [31:0] base;
    logic [3:0]  order;
  } verdict_t;

  // What the core tells the part that writes into host memory (slotwire_dma), beside the lines themselves.
  typedef struct packed {
    logic        shows_head;  // IN_HEAD of `slot` is shown now.
    logic        shows_tail;  // OUT_TAIL: memory has its lines.
    logic [15:0] slot;
    logic [31:0] head;
    logic [31:0] tail;
    logic        fault_ready;
    logic        access;  // Of a DMA row by the driver, held until access_done.
    logic        access_write;
    logic [15:0] access_slot;
    dma_row_t    access_row;
  } dma_from_core_t;

  // And what that part tells the core: registers all of them.
  typedef struct packed {
    logic        show_ready;  // Without it, no mark is shown.
    logic        fault;  // A mark of fault_slot was refused; held until fault_ready.
    logic [15:0] fault_slot;
    logic        access_done;
    dma_row_t    access_row;
    logic        count_line;
    logic        count_mark;
    logic        count_refused;
  } dma_to_core_t;
