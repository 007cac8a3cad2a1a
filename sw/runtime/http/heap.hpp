// The heap of a process that passes bodies on.
#pragma once

namespace slotwire::http {

/// From now on this process keeps up to kKeptHeapBytes of freed memory at the end of its heap, and takes blocks up to
/// kHeapBlockBytes from the heap. By default the C library gives 128 KiB back at a time; with bodies of that size each
/// of them would be paid for with page faults. For the whole process, before it has threads. No effect with another C
/// library than glibc.
void keep_freed_memory();

constexpr int kKeptHeapBytes = 16 << 20;
constexpr int kHeapBlockBytes = 4 << 20;

}  // namespace slotwire::http
