#include "core/http_stream/learning.hpp"

#include <algorithm>
#include <string>

namespace slotwire::http_stream {
namespace {

std::string seconds(std::uint64_t us) {
  const std::uint64_t tenths = (us + 50 * kMillisecond) / (100 * kMillisecond);
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

}  // namespace

HoldLearner::HoldLearner(const ClientOptions& options, const std::optional<Learned>& learned)
    : options_(options), hold_us_(options.hold_us) {
  if (!learned) return;
  if (learned->hold_us != 0) hold_us_ = std::clamp(learned->hold_us, options.hold_min_us, options.hold_max_us);
  cut_us_ = learned->cut_us;
}

void HoldLearner::cut(std::uint64_t after_us) {
  cut_us_ = cut_us_ == 0 ? after_us : std::min(cut_us_, after_us);
  hold_us_ = std::clamp(after_us / 5 * 4, options_.hold_min_us, hold_us_);
  needed_ = std::min(2 * needed_, kForgetHolds);
  holds_ = 0;
}

void HoldLearner::silent_cut() {
  hold_us_ = std::max(options_.hold_min_us, hold_us_ / 2);
  needed_ = std::min(2 * needed_, kForgetHolds);
  holds_ = 0;
}

void HoldLearner::whole_hold() {
  ++holds_;
  if (serial_ || holds_ < needed_) return;
  // Up to a little less than where it was cut, and beyond that only after a long time.
  std::uint64_t most = options_.hold_max_us;
  if (cut_us_ != 0 && holds_ < kForgetHolds) most = std::min(most, std::max(hold_us_, cut_us_ / 10 * 9));
  if (holds_ >= kForgetHolds) cut_us_ = 0;
  if (hold_us_ >= most) return;
  hold_us_ = std::min(most, hold_us_ + hold_us_ / 4);
  holds_ = 0;
}

void HoldLearner::passed_held(bool passed) {
  if (passed) {
    probed_ = true;
    serial_ = false;
    stuck_ = 0;
  } else if (++stuck_ >= kSerialEvidence) {
    probed_ = true;
    serial_ = true;
  }
}

std::string Learned::text() const {
  std::string text = "requests are held for " + seconds(hold_us);
  if (cut_us != 0) text += ", a held request was cut after " + seconds(cut_us);
  if (serial) text += ", a held request makes others wait";
  text += ", bodies are at most " + std::to_string(bundle_bytes) + " bytes";
  return text;
}

}  // namespace slotwire::http_stream
