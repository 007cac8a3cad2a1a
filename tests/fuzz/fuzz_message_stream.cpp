// Whatever a peer sends: messages come out whole and within the limit, frames within theirs, and the way the bytes are
// cut into pieces makes no difference.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "core/carriers/message_stream.hpp"
#include "core/carriers/preamble.hpp"

namespace {

using namespace slotwire::carriers;

constexpr std::size_t kMaxMessage = 300;

void require(bool good) {
  if (!good) std::abort();
}

std::vector<std::string> messages(std::span<const std::byte> bytes, std::size_t piece, bool& failed) {
  MessageParser parser(kMaxMessage);
  std::vector<std::string> result;
  while (!bytes.empty() && !parser.failed()) {
    bytes = bytes.subspan(parser.feed(bytes.first(std::min(piece, bytes.size()))));
    if (auto message = parser.next()) {
      require(!message->empty() && message->size() <= kMaxMessage);
      result.push_back(std::move(*message));
    }
  }
  failed = parser.failed();
  return result;
}

std::vector<std::size_t> frames(std::span<const std::byte> bytes, std::size_t piece, bool& failed) {
  FrameReader reader;
  std::vector<std::size_t> sizes;
  for (;;) {
    while (const auto frame = reader.next()) {
      require(frame->size() <= FrameReader::kMaxFrame);
      sizes.push_back(frame->size());
    }
    if (bytes.empty() || reader.failed()) break;
    const auto wanted = reader.wanted();
    require(!wanted.empty());
    const std::size_t count = std::min({piece, wanted.size(), bytes.size()});
    std::copy_n(bytes.begin(), count, wanted.begin());
    reader.filled(count);
    bytes = bytes.subspan(count);
  }
  failed = reader.failed();
  return sizes;
}

void preamble(std::span<const std::byte> bytes) {
  PreambleReader reader;
  auto state = PreambleReader::State::more;
  while (state == PreambleReader::State::more && !bytes.empty()) {
    const auto wanted = reader.wanted();
    require(!wanted.empty());
    const std::size_t count = std::min(wanted.size(), bytes.size());
    std::copy_n(bytes.begin(), count, wanted.begin());
    state = reader.filled(count);
    bytes = bytes.subspan(count);
  }
  if (state == PreambleReader::State::done) require(valid_node_name(reader.preamble().node));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = std::size_t{1} + data[0];
  const auto bytes = std::as_bytes(std::span(data, size)).subspan(1);
  bool failed_whole = false, failed_pieces = false;
  require(messages(bytes, size, failed_whole) == messages(bytes, piece, failed_pieces));
  require(failed_whole == failed_pieces);
  require(frames(bytes, size, failed_whole) == frames(bytes, piece, failed_pieces));
  require(failed_whole == failed_pieces);
  preamble(bytes);
  return 0;
}
