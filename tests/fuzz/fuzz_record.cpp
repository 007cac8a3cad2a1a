// Records out of a ring that somebody else wrote: whatever lies there and whatever the marks say, a reader stays inside
// the ring, hands out nothing that is longer than it, and once broken stays broken.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "core/slot/memory.hpp"
#include "core/slot/record.hpp"

namespace {

using slotwire::regs::kLineBytes;
using slotwire::slot::Access;
using slotwire::slot::Consumer;
using slotwire::slot::RecordReader;
using slotwire::slot::Space;

constexpr unsigned kOrder = 6;

Space& space() {
  static Space mapped = [] {
    const slotwire::slot::Fd file =
        slotwire::slot::create_sealed_file("fuzz", slotwire::slot::space_file_bytes(kOrder));
    return Space(file.get(), kOrder, Access::read_write);
  }();
  return mapped;
}

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Space& s = space();
  std::uint32_t head = 0;
  std::uint32_t ahead = 0;
  if (size < 8) return 0;
  std::memcpy(&head, data, 4);
  std::memcpy(&ahead, data + 4, 4);
  data += 8;
  size -= 8;
  const std::size_t ring_bytes = kLineBytes << kOrder;
  std::memset(s.ring(), 0, ring_bytes);
  std::memcpy(s.ring(), data, size < ring_bytes ? size : ring_bytes);
  s.marks().head.store(head);
  s.marks().tail.store(head + (ahead % 200));  // mostly within the ring of 64 lines, now and then beyond
  RecordReader reader(Consumer({s.ring(), kOrder, true}, s.marks().head, s.marks().tail));
  std::uint32_t held = 0;
  std::uint64_t sum = 0;
  for (int i = 0; i < 200; ++i) {
    const auto view = reader.peek(held);
    if (!view) break;
    require(!reader.broken());
    require(view->payload.size() == view->header.length && view->lines >= 1 && view->lines <= s.lines());
    require(view->payload.data() >= s.ring() &&
            view->payload.data() + view->payload.size() <= s.ring() + (2 * ring_bytes));
    for (const std::byte b : view->payload) sum += std::to_integer<std::uint64_t>(b);
    held += view->lines;
    require(held <= s.lines());
    if (i % 3 == 2) {
      reader.consumer().release(held);
      held = 0;
    }
  }
  if (reader.broken()) require(!reader.peek(0));
  // What was read must not be optimised away.
  volatile std::uint64_t keep = sum;
  (void)keep;
  return 0;
}
