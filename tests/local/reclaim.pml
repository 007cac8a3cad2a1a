/* How slotwired reclaims what a process left in a region's directory ("With slotwired" in docs/blocks.md, KeptRegion in
   runtime/engine/regions/kept_region.cpp, remove_member() in runtime/blocks/region.cpp), for Spin.

   The directory has one place. Two processes attach to it, publish and detach; whoever attaches removes first what a dead
   one left. A reader looks at the publication when the directory's generation has changed. slotwired sees that a member
   has ended, and removes its entries if it gets the lock. All three kinds but the reader are killed at any step, or not
   at all; slotwired starts again up to LIVES times. A step is a store that others can see, or a system call. The kernel
   gives the lock of a dead process back.

   Faults, to see that they are found: NO_LOCK (slotwired does not take the lock), STATE_FIRST (it frees the member's
   entry before the publication), NO_COUNT (it does not count the change), COUNT_LAST (it counts it when the member has
   gone), NO_RESCAN (a slotwired that starts again looks at nobody), NO_RETRY (it gives up when the lock is taken),
   BY_PLACE (it removes whoever is at the place where somebody had ended). */

#define LIVES 2
#define ENGINE 3

byte lock;              /* who may change the directory: a process plus 1, or ENGINE; 0: nobody */
byte member;            /* the place: a process plus 1; 0: free */
byte publication;       /* the publication at the place, by its process plus 1 */
byte generation;
bool dead[2], over[2];  /* killed; does nothing any more */
bool crash, engine_over;
byte view, seen;        /* what the reader knows */

#define CHANGE(who) assert(lock == who)
#define IS_DEAD(m) (m != 0 && dead[m - 1])

/* remove_member(): counted before the member goes, so that whoever finds it after a death counts once more. */
inline remove_member(who) {
  atomic { CHANGE(who); publication = 0 };
  atomic { CHANGE(who); generation++ };
  atomic { CHANGE(who); member = 0 }
}

proctype process(byte self) {
  {
    atomic { lock == 0 && (member == 0 || IS_DEAD(member)) -> lock = self + 1 };
    if
    :: member != 0 -> remove_member(self + 1)
    :: else
    fi;
    atomic { CHANGE(self + 1); assert(member == 0 && publication == 0); member = self + 1 };
    atomic { CHANGE(self + 1); generation++ };
    lock = 0;
    atomic { lock == 0 -> lock = self + 1 };
    atomic { CHANGE(self + 1); assert(member == self + 1); publication = self + 1 };
    atomic { CHANGE(self + 1); generation++ };
    lock = 0;
    if
    :: atomic { lock == 0 -> lock = self + 1 };
       assert(member == self + 1 && publication == self + 1);
       remove_member(self + 1);
       lock = 0
    :: true  /* stays until it is killed, or for good */
    fi
  } unless { dead[self] };
  atomic {
    if
    :: dead[self] && lock == self + 1 -> lock = 0
    :: else
    fi;
    over[self] = true
  }
}

proctype killer(byte victim) {
end:
  atomic { !over[victim] -> dead[victim] = true }
}

proctype reader() {
end:
  do
  :: atomic { generation != seen -> seen = generation };
     view = publication
  od
}

proctype engine_killer() {
  byte n;
end:
  do
  :: atomic { n < LIVES && !engine_over && !crash -> crash = true; n++ }
  od
}

proctype engine() {
  byte ended;
  bool looks = true;
again:
  {
    do
    :: /* Its pidfd has become readable, or the member is found to have ended when it is to be watched. */
       atomic { looks && IS_DEAD(member) -> ended = member };
       if
#ifdef NO_LOCK
       :: true
#else
       :: atomic { lock == 0 -> lock = ENGINE }
       :: lock != 0 ->
#ifdef NO_RETRY
          looks = false;
#endif
          ended = 0
#endif
       fi;
       if
#ifdef BY_PLACE
       :: ended != 0 && member != 0 -> assert(dead[member - 1]);
#else
       :: ended != 0 && member == ended -> assert(dead[member - 1]);
#endif
#ifdef STATE_FIRST
          atomic { CHANGE(ENGINE); member = 0 };
          atomic { CHANGE(ENGINE); publication = 0 };
          atomic { CHANGE(ENGINE); generation++ }
#else
#ifdef NO_COUNT
          atomic { CHANGE(ENGINE); publication = 0 };
          atomic { CHANGE(ENGINE); member = 0 }
#else
#ifdef COUNT_LAST
          atomic { CHANGE(ENGINE); publication = 0 };
          atomic { CHANGE(ENGINE); member = 0 };
          atomic { CHANGE(ENGINE); generation++ }
#else
          remove_member(ENGINE)
#endif
#endif
#endif
       :: else
       fi;
       if
       :: lock == ENGINE -> lock = 0
       :: else
       fi
    :: over[0] && over[1] && !(looks && IS_DEAD(member)) -> break
    od
  } unless { crash };
  if
  :: crash ->
     atomic {
       if
       :: lock == ENGINE -> lock = 0
       :: else
       fi;
       ended = 0;
       crash = false
     };
#ifdef NO_RESCAN
     /* It waits for news of members that it does not know. */
     looks = false;
#endif
     goto again
  :: else
  fi;
  engine_over = true
}

init {
  atomic {
    run process(0); run process(1); run killer(0); run killer(1); run reader(); run engine_killer(); run engine()
  };
  over[0] && over[1] && engine_over;
  /* The reader has had its look. */
  seen == generation;
  timeout;
  assert(lock == 0);
  assert(!IS_DEAD(member));
  assert(publication == 0 || (member == publication && !IS_DEAD(publication)));
  assert(view == publication)
}
