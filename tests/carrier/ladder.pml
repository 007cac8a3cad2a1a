/* How a link moves from one carrier to another while lines flow ("Path frames" and "Loss, order and duplicates" in
   docs/protocol.md, LadderCarrier in core/carriers/ladder.cpp, Pipeline in core/pipeline/), for Spin.

   One direction of a link, over three rungs: UDP, which also loses frames and brings them in another order, TCP and
   HTTP. A rung may break, and then what is in it is lost; it may be repaired, and frames that were in flight over one
   rung arrive after later ones over another. The sender sends lines of a ring over its rung, releases a line when the
   peer has acknowledged it, goes back to that mark when nothing moves, and moves to any rung that works whenever it
   likes; the receiver does the same for its acknowledgements. What the process wrote must arrive in its order, once, and
   all of it.

   Faults, to see that they are found: EARLY_RELEASE (a line is released when a stream carrier has it), NO_SEQ (the
   receiver takes what comes), NEW_COUNT (it takes what comes first over another rung), NO_RESEND (the sender never goes
   back), NO_LEAVE (it stays on a rung that broke). */

#define LINES 3    /* that the process writes */
#define RING 2
#define RUNGS 3
#define UDP 0
#define LOSSES 1   /* frames that UDP loses, or a rung that just broke swallows */
#define BREAKS 2
#define MOVES 1    /* to a rung although the one in use works; leaving a broken one is free */

chan data[RUNGS] = [2] of { byte, byte };  /* number of a line, and what was at its place in the ring */
chan acks[RUNGS] = [1] of { byte };
bool works[RUNGS] = true;
byte ring[RING];
byte written, sent, released;  /* of the sender's ring; the process writes line n as n */
byte delivered;                /* to the receiver's process */
byte losses, moves;

proctype process() {
end:
  do
  :: atomic { written < LINES && written - released < RING -> ring[written % RING] = written; written++ }
  od
}

proctype sender() {
  byte rung, number;
end:
  do
  :: atomic { sent < written && works[rung] && nfull(data[rung]) ->
       data[rung]!sent, ring[sent % RING];
       sent++;
#ifdef EARLY_RELEASE
       if
       :: rung != UDP && sent > released -> released = sent
       :: else
       fi
#endif
     }
  :: atomic { sent < written && !works[rung] && losses < LOSSES -> losses++; sent++ }
  :: atomic { acks[0]?number -> goto acked }
  :: atomic { acks[1]?number -> goto acked }
  :: atomic { acks[2]?number -> goto acked }
#ifndef NO_RESEND
  /* The timer: nothing is under way. */
  :: atomic { sent > released && empty(data[0]) && empty(data[1]) && empty(data[2]) && empty(acks[0]) &&
              empty(acks[1]) && empty(acks[2]) && works[rung] -> sent = released }
#endif
#ifndef NO_LEAVE
  :: atomic { !works[rung] -> rung = (rung + 1) % RUNGS }
#endif
  :: atomic { works[rung] && works[(rung + 1) % RUNGS] && moves < MOVES -> moves++; rung = (rung + 1) % RUNGS }
  :: atomic { works[rung] && works[(rung + 2) % RUNGS] && moves < MOVES -> moves++; rung = (rung + 2) % RUNGS }
  od;
acked:
  atomic {
    assert(number <= written);
    if
    :: number > released -> released = number
    :: else
    fi;
    if
    :: sent < released -> sent = released
    :: else
    fi;
    number = 0;
    goto end
  }
}

proctype receiver() {
  byte rung, number, content, from;
end:
  do
  :: atomic { data[0]?number, content -> from = 0; goto take }
  :: atomic { data[1]?number, content -> from = 1; goto take }
  :: atomic { data[2]?number, content -> from = 2; goto take }
  od;
take:
  atomic {
    if
#ifdef NO_SEQ
    :: true ->
#else
#ifdef NEW_COUNT
    :: number == delivered || from != rung ->
#else
    :: number == delivered ->
#endif
#endif
       /* Each line once, in order, as the process wrote it. */
       assert(content == delivered);
       delivered++
    :: else
    fi;
    rung = from;
    number = 0; content = 0
  };
  /* Acknowledged again, too, over any rung that works: the receiver chooses its own. */
  if
  :: atomic { works[0] && nfull(acks[0]) -> acks[0]!delivered }
  :: atomic { works[1] && nfull(acks[1]) -> acks[1]!delivered }
  :: atomic { works[2] && nfull(acks[2]) -> acks[2]!delivered }
  fi;
  goto end
}

proctype network() {
  byte breaks, number, content, which;
end:
  do
  /* UDP loses one, or brings a later one first. */
  :: atomic { losses < LOSSES && nempty(data[UDP]) -> data[UDP]?number, content; losses++; number = 0; content = 0 }
  :: atomic { losses < LOSSES && nempty(acks[UDP]) -> acks[UDP]?number; losses++; number = 0 }
  :: atomic { len(data[UDP]) == 2 && losses < LOSSES ->
       data[UDP]?number, content; data[UDP]!number, content; losses++; number = 0; content = 0 }
  /* A rung breaks, with all that is in it; never the last one that works. */
  :: atomic { breaks < BREAKS && works[0] && (works[1] || works[2]) -> which = 0; goto broken }
  :: atomic { breaks < BREAKS && works[1] && (works[0] || works[2]) -> which = 1; goto broken }
  :: atomic { breaks < BREAKS && works[2] && (works[0] || works[1]) -> which = 2; goto broken }
  :: atomic { !works[0] && breaks < BREAKS -> works[0] = true }
  :: atomic { !works[1] && breaks < BREAKS -> works[1] = true }
  :: atomic { !works[2] && breaks < BREAKS -> works[2] = true }
  od;
broken:
  atomic {
    breaks++;
    works[which] = false;
    do
    :: data[which]?number, content
    :: empty(data[which]) -> break
    od;
    do
    :: acks[which]?number
    :: empty(acks[which]) -> break
    od;
    number = 0; content = 0; which = 0;
    goto end
  }
}

/* When nothing can happen any more, everything has arrived and is released. */
proctype judge() {
  timeout -> assert(delivered == LINES && released == LINES)
}

init {
  atomic { run process(); run sender(); run receiver(); run network(); run judge() }
}
