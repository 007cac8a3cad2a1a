// How many messages a service got, by label: a table that does not grow beyond a limit.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace slotwire::inspect {

class Counts {
 public:
  /// Labels that are counted apart; those beyond are "other".
  static constexpr std::size_t kMaxLabels = 64;

  void add(std::string_view label, std::uint64_t count = 1) {
    auto found = by_label_.find(label);
    if (found == by_label_.end()) {
      const bool full = by_label_.size() >= kMaxLabels - 1 && label != kOther;
      found = by_label_.emplace(std::string(full ? kOther : label), 0).first;
    }
    found->second = sum(found->second, count);
  }
  /// The largest number where the sum is beyond it.
  static std::uint64_t sum(std::uint64_t a, std::uint64_t b) { return b > ~a ? ~std::uint64_t{0} : a + b; }
  const std::map<std::string, std::uint64_t, std::less<>>& by_label() const { return by_label_; }

  static constexpr std::string_view kOther = "other";
  std::uint64_t invalid = 0;  ///< connections that said something else than the language
  std::uint64_t refused = 0;  ///< of these, connections that were ended for it

 private:
  std::map<std::string, std::uint64_t, std::less<>> by_label_;
};

}  // namespace slotwire::inspect
