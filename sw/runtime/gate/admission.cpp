#include "runtime/gate/admission.hpp"

#include <algorithm>
#include <cstring>

namespace slotwire::gate {

Source source_of(const carriers::Address& address) {
  constexpr std::size_t kPrefixBytes = 8;  // a /64
  Source source{};
  if (address.family() == AF_INET) {
    sockaddr_in four{};
    std::memcpy(&four, address.data(), sizeof four);
    source[0] = 4;
    std::memcpy(&source[1], &four.sin_addr, sizeof four.sin_addr);
  } else if (address.family() == AF_INET6) {
    sockaddr_in6 six{};
    std::memcpy(&six, address.data(), sizeof six);
    source[0] = 6;
    std::memcpy(&source[1], &six.sin6_addr, kPrefixBytes);
  }
  return source;
}

void Admission::know(const carriers::Address& peer) {
  const Source source = source_of(peer);
  if (!known_.insert(source).second) return;
  const auto here = of_source_.find(source);
  if (here == of_source_.end()) return;
  for (const std::uint64_t caller : here->second) strangers_.erase(caller);
}

std::optional<Admission::Displaced> Admission::admit(std::uint64_t caller, const carriers::Address& from) {
  const Source source = source_of(from);
  const bool stranger = !known_.contains(source);
  std::optional<Displaced> displaced;
  if (const auto same = of_source_.find(source);
      same != of_source_.end() && same->second.size() >= limits_.per_source) {
    displaced = Displaced{*same->second.begin(), true};
  } else if (stranger && strangers_.size() >= limits_.callers) {
    displaced = Displaced{*strangers_.begin(), false};
  }
  if (displaced) leave(displaced->caller);
  sources_.emplace(caller, source);
  of_source_[source].insert(caller);
  if (stranger) strangers_.insert(caller);
  return displaced;
}

void Admission::leave(std::uint64_t caller) {
  const auto found = sources_.find(caller);
  if (found == sources_.end()) return;
  const auto of = of_source_.find(found->second);
  of->second.erase(caller);
  if (of->second.empty()) of_source_.erase(of);
  strangers_.erase(caller);
  sources_.erase(found);
}

}  // namespace slotwire::gate
