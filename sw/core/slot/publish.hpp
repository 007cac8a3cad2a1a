// Publishing proxy marks: what whoever moves a slot's lines does when a proxy mark moved.
#pragma once
#include <cstdint>

#include "core/slot/marks.hpp"

namespace slotwire::slot {

/// Stores the proxy marks of a slot in its proxy page, and wakes the slot's process through the event `wake` if the
/// process sleeps for a mark that moved; for the tail of its output space only from the process's aim on. `signalled`
/// holds the WAIT value that was answered last, one for each slot. Called by the one thread that moves the slot's
/// lines.
void publish_marks(MarkPage& proxy, const MarkPage& process, int wake, std::uint32_t& signalled, Position in_head,
                   Position out_tail);

/// The waking alone: marks that somebody else stored in the proxy page have moved, `moved` says which (bits of WAIT).
/// They were stored before the call.
void wake_for_marks(const MarkPage& process, int wake, std::uint32_t& signalled, std::uint32_t moved,
                    Position out_tail);

}  // namespace slotwire::slot
