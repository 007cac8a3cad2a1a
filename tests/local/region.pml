/* How processes find or make a region ("Regions" in docs/blocks.md, Region::attach in runtime/blocks/region.cpp), for
   Spin. Each process opens the region, uses it and leaves, OPENINGS times, and is killed at any step, or not at all.

   A step is a system call that others can see the effect of. The kernel takes a dead process's names and descriptors
   back one after the other, in any order. A forked child that keeps a socket, and other users, are left out.

   Faults, to see that they are found: LATE_BIND (the own socket is bound after the lock is let go), NO_LOCK (nobody
   waits for the lock), NO_BIND (only who made the region binds a socket), LOCK_STAYS (the lock outlives its holder),
   ONE_LOOK (only the first socket that is found is tried). */

#define PROCESSES 3
#ifndef OPENINGS
#define OPENINGS 1
#endif

byte lock;                 /* who has the creation lock, plus 1 */
byte has[PROCESSES];       /* the region whose descriptor a process has open; 0: none */
bool bound[PROCESSES];     /* its socket has a name */
bool attached[PROCESSES];  /* it uses the region */
bool killed[PROCESSES];
bool ended[PROCESSES];
byte regions;              /* made so far */

#define AGREES(q) assert(!attached[q] || has[q] == has[self])

inline take_lock() {
#ifdef NO_LOCK
  skip
#else
  atomic { lock == 0 -> lock = self + 1 }
#endif
}

inline let_go_of_lock() {
#ifdef NO_LOCK
  skip
#else
  lock = 0
#endif
}

/* The list of sockets is read from a file, not at one moment. */
inline read_sockets() {
  q = 0;
  do
  :: q < PROCESSES -> atomic { seen[q] = bound[q]; q++ }
  :: else -> break
  od
}

/* Opens the descriptor of a process that the list names; it may have gone meanwhile. */
inline try_holders() {
  q = 0;
  do
  :: q < PROCESSES && has[self] == 0 ->
     atomic {
       if
       :: seen[q] && has[q] != 0 -> has[self] = has[q]
#ifdef ONE_LOOK
       :: seen[q] && has[q] == 0 -> q = PROCESSES - 1
       :: !seen[q] -> skip
#else
       :: else -> skip
#endif
       fi;
       q++
     }
  :: else -> break
  od;
  /* What is not needed any more would only multiply the states. */
  skip;
  d_step { q = 0; seen[0] = false; seen[1] = false; seen[2] = false }
}

proctype process(byte self) {
  byte q, openings;
  bool seen[PROCESSES];
  bool made;
  {
    do
    :: openings < OPENINGS ->
       openings++;
       take_lock();
       read_sockets();
       try_holders();
       if
       :: has[self] == 0 -> atomic { regions++; has[self] = regions; made = true }
       :: else -> skip
       fi;
#ifdef LATE_BIND
       let_go_of_lock();
       bound[self] = true;
#else
#ifdef NO_BIND
       bound[self] = made;
#else
       bound[self] = true;
#endif
       let_go_of_lock();
#endif
       atomic { made = false; attached[self] = true; AGREES(0); AGREES(1); AGREES(2) }
       attached[self] = false;
       bound[self] = false;
       has[self] = 0
    :: else -> break
    od
  } unless { killed[self] }
  skip;
  d_step { q = 0; openings = 0; made = false; seen[0] = false; seen[1] = false; seen[2] = false }
  do
  :: bound[self] -> bound[self] = false
  :: has[self] != 0 -> has[self] = 0
#ifndef LOCK_STAYS
  :: lock == self + 1 -> lock = 0
#endif
  :: else -> break
  od;
  ended[self] = true
}

proctype killer(byte victim) {
  /* Whenever, or never. */
end:
  atomic { !ended[victim] -> killed[victim] = true; attached[victim] = false }
}

init {
  atomic {
    run process(0); run process(1); run process(2);
    run killer(0); run killer(1); run killer(2)
  }
  ended[0] && ended[1] && ended[2];
  assert(lock == 0 && !bound[0] && !bound[1] && !bound[2] && has[0] == 0 && has[1] == 0 && has[2] == 0)
}
