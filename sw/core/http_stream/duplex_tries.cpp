#include "core/http_stream/duplex_tries.hpp"

#include <algorithm>

namespace slotwire::http_stream {

DuplexTries::DuplexTries(const ClientOptions& options, const std::optional<Learned>& learned) : options_(options) {
  if (learned) failures_ = learned->duplex;
}

std::uint64_t DuplexTries::deadline(std::uint64_t now_us) const {
  if (trying()) return open_by_us_;
  return wanted() && failures_.next_us > now_us ? failures_.next_us : kNever;
}

void DuplexTries::begin(std::uint64_t now_us) {
  open_by_us_ = now_us + options_.duplex_open_us;
}

void DuplexTries::attached(std::uint64_t now_us) {
  open_by_us_ = kNever;
  attached_us_ = now_us;
  heard_ = false;
}

void DuplexTries::failed(std::string_view why, std::uint64_t now_us, std::uint64_t random) {
  open_by_us_ = kNever;
  std::uint64_t delay = options_.duplex_retry_first_us;
  for (std::uint32_t i = 0; i < failures_.count && delay < options_.duplex_retry_max_us; ++i) delay *= 2;
  delay = std::min(delay, options_.duplex_retry_max_us);
  ++failures_.count;
  failures_.next_us = now_us + delay - random % (delay / 4 + 1);
  failures_.why = why.substr(0, kMaxWhy);
}

void DuplexTries::lost(std::string_view why, std::uint64_t now_us, std::uint64_t random) {
  if (heard_ && now_us - attached_us_ >= options_.duplex_proved_us) failures_.count = 0;
  failed(why, now_us, random);
}

}  // namespace slotwire::http_stream
