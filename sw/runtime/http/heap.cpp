#include "runtime/http/heap.hpp"

#include <cstdlib>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace slotwire::http {

void keep_freed_memory() {
#if defined(__GLIBC__)
  ::mallopt(M_TRIM_THRESHOLD, kKeptHeapBytes);
  ::mallopt(M_MMAP_THRESHOLD, kHeapBlockBytes);
#endif
}

}  // namespace slotwire::http
