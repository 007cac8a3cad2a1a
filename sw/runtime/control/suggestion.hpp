// What somebody who mistyped a word meant.
#pragma once
#include <string_view>
#include <vector>

namespace slotwire::control {

/// The word of `known` that is nearest to `word` by characters added, left out, changed or swapped with their neighbour
/// (the restricted Damerau-Levenshtein distance); case and the difference between '-' and '_' do not count. Empty when
/// none is near: within a third of its length, and within 3. `word` is foreign: one of more than 64 bytes is not looked
/// at.
std::string_view suggestion(std::string_view word, const std::vector<std::string_view>& known);

}  // namespace slotwire::control
