// What processes found in the connections of services whose configuration asks for it: counts by service, which outlive
// the processes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "core/inspect/counts.hpp"
#include "runtime/control/messages.hpp"
#include "runtime/engine/services/directory.hpp"

namespace slotwire::engine {

/// One thread.
class Inspections {
 public:
  /// `most`: services that are counted at once.
  explicit Inspections(std::size_t most) : most_(most) {}

  /// Adds what a process that serves the service found. Nothing is added for a service beyond the limit.
  void add(const control::Inspected& found);

  struct Entry {
    std::string language;
    inspect::Counts counts;
  };
  std::size_t size() const { return by_service_.size(); }
  /// The service that is number `index` by name, and what was found; null: there are fewer.
  const std::pair<const std::string, Entry>* at(std::size_t index) const;

 private:
  std::size_t most_;
  std::map<std::string, Entry, std::less<>> by_service_;
};

}  // namespace slotwire::engine
