// What a client learns of the proxies on its way: how long they let a request be held, and whether it holds up others.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/http_stream/client.hpp"

namespace slotwire::http_stream {

/// The hold time to ask for. It falls when held requests are cut, and is raised again, ever more rarely, after many
/// that were not.
class HoldLearner {
 public:
  HoldLearner(const ClientOptions& options, const std::optional<Learned>& learned);

  std::uint64_t hold_us() const { return serial_ ? options_.hold_min_us : hold_us_; }
  std::uint64_t cut_us() const { return cut_us_; }
  bool serial() const { return serial_; }
  bool probed() const { return probed_; }

  /// A held request was cut after `after_us`, with an answer of a proxy or without one.
  void cut(std::uint64_t after_us);
  /// A held request was answered by nobody, for as long as it could be held: cut at an unknown time.
  void silent_cut();
  /// A request was held for the whole time that was asked for.
  void whole_hold();
  /// A request was sent while another was held, early enough to have arrived before the hold ended. `passed`: it did.
  void passed_held(bool passed);

 private:
  static constexpr unsigned kWholeHolds = 8;      ///< before the hold time is raised for the first time
  static constexpr unsigned kForgetHolds = 512;   ///< before it is raised beyond where a request was cut
  static constexpr unsigned kSerialEvidence = 2;  ///< requests that waited behind a held one, in succession

  ClientOptions options_;
  std::uint64_t hold_us_;
  std::uint64_t cut_us_ = 0;
  unsigned holds_ = 0, needed_ = kWholeHolds, stuck_ = 0;
  bool serial_ = false, probed_ = false;
};

}  // namespace slotwire::http_stream
