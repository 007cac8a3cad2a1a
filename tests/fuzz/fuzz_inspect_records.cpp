// Records as an inspector reads them, and the streams in them, from the beginning of a connection and from the middle:
// nothing is read past the payload, invalid stays invalid, nothing that is shown is long or unprintable.
#include <algorithm>

#include "core/inspect/inspector.hpp"
#include "fuzz/fuzz_inspect.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace slotwire;
  fuzz::Input input(data, size);
  const auto language = static_cast<inspect::Language>(input.below(4));
  const auto role = static_cast<inspect::Role>(input.below(2));
  inspect::Limits limits;
  limits.record_bytes = 1 << 16;
  inspect::Inspector inspector(language, role, static_cast<inspect::Join>(input.below(2)), limits);
  fuzz::FoundMessages messages(limits);
  while (!input.empty()) {
    slot::RecordHeader header;
    header.kind = static_cast<slot::RecordKind>(input.below(16));
    header.flags = input.byte();
    header.code = input.number<std::uint16_t>();
    header.id = input.number<std::uint32_t>();
    header.deadline_us = input.number<std::uint32_t>();
    const std::string_view payload = input.text(4096);
    header.length = static_cast<std::uint32_t>(payload.size()) | (input.below(32) == 0 ? 1U << 20U : 0U);
    const bool good = inspector.begin(header, messages);
    fuzz::require(good == inspector.problem().empty());
    const bool fed = inspector.feed(payload, messages);
    fuzz::require(fed == inspector.problem().empty() && (good || !fed));
    const inspect::Guess guess = inspect::guess(header, payload);
    fuzz::require(guess.language == inspect::Language::records || !payload.empty());
    inspector.expect_reply(input.below(2) == 0);
  }
  return 0;
}
