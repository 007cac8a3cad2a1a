// Good and bad answers in a row, and what they make of whoever gives them.
#pragma once
#include <cstdint>

#include "runtime/engine/config/config.hpp"

namespace slotwire::engine {

/// Well until `fall` bad answers came in a row, then failing until `rise` good ones did.
class HealthCount {
 public:
  bool failing() const { return failing_; }
  /// Returns whether this answer changed what is thought.
  bool note(bool good, const HealthConfig& rules) {
    if (good != failing_) {
      against_ = 0;  // as expected
      return false;
    }
    if (++against_ < (failing_ ? rules.rise : rules.fall)) return false;
    against_ = 0;
    failing_ = !failing_;
    return true;
  }

 private:
  bool failing_ = false;
  std::uint32_t against_ = 0;  ///< answers in a row that speak against what is thought
};

}  // namespace slotwire::engine
