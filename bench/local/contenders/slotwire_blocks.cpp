// Slotwire's blocks: a topic in each direction, without slotwired.
#include "contenders/slotwire_blocks_end.hpp"
#include "registry.hpp"

namespace slotwire::bench {

Contender slotwire_blocks() {
  return make_contender<BlocksEnd>("slotwire blocks", {.group = Group::slotwire, .fans_out = true});
}

}  // namespace slotwire::bench
