// The table of a node's slots, as 'slotwire slots' and 'slotwire status --slots' show it.
#pragma once
#include <string>

#include "tools/slotwire/control_client.hpp"

namespace slotwire::cli {

/// A field of a row of slotwired's as text; "-" if it is not there.
std::string text_of(const Json& row, const char* key);

/// Which slots are shown; what is empty fits all.
struct SlotFilter {
  std::string process;  ///< the pid or the name of the process that owns the slot
  std::string service;

  bool fits(const Json& row) const;
};

/// The node's slots that fit, in the order of their numbers. Throws CommandError.
Json slots_of(ControlClient& client, const SlotFilter& filter = {});
/// The table for people, one line for each slot; a sentence if there is none.
std::string slot_text(const Json& slots);

}  // namespace slotwire::cli
