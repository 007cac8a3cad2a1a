// Any bytes as a frame: the header survives decoding and encoding, and every way to its CRC gives the same one.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "core/pipeline/crc32c.hpp"
#include "core/pipeline/frame.hpp"

namespace {

void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace slotwire;
  const auto input = std::as_bytes(std::span(data, size));
  const std::uint32_t whole = pipeline::crc32c_portable(0, input);
  require(pipeline::crc32c(0, input) == whole);

  // The first byte says where to cut the run in two.
  const std::size_t cut = size == 0 ? 0 : data[0] * size / 256;
  require(pipeline::crc32c(pipeline::crc32c(0, input.first(cut)), input.subspan(cut)) == whole);

  if (size < regs::kHeaderBytes) {
    return 0;
  }
  const auto header_bytes = input.first<regs::kHeaderBytes>();
  const auto payload = input.subspan(regs::kHeaderBytes);
  pipeline::Header header = pipeline::decode(header_bytes);
  std::array<std::byte, regs::kHeaderBytes> again{};
  pipeline::encode(header, again);
  require(std::ranges::equal(again, header_bytes));
  require(!regs::name(header.type).empty());

  const std::uint32_t crc = pipeline::frame_crc(header_bytes, payload);
  header.crc = crc;
  pipeline::encode(header, again);
  require(pipeline::frame_crc(again, payload) == crc);
  require(pipeline::decode(again) == header);
  return 0;
}
