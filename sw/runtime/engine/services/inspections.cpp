#include "runtime/engine/services/inspections.hpp"

#include <iterator>

namespace slotwire::engine {

void Inspections::add(const control::Inspected& found) {
  if (!by_service_.contains(found.service) && by_service_.size() >= most_) return;
  Entry& entry = by_service_[found.service];
  entry.language = found.language;
  for (const control::InspectedLabel& label : found.labels) entry.counts.add(label.label, label.count);
  entry.counts.invalid = inspect::Counts::sum(entry.counts.invalid, found.invalid);
  entry.counts.refused = inspect::Counts::sum(entry.counts.refused, found.refused);
}

const std::pair<const std::string, Inspections::Entry>* Inspections::at(std::size_t index) const {
  if (index >= by_service_.size()) return nullptr;
  return &*std::next(by_service_.begin(), static_cast<std::ptrdiff_t>(index));
}

}  // namespace slotwire::engine
