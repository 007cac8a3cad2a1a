// Copies that do not pass through the caches of the processor that writes: for many lines at once, which another
// processor reads. A plain store first fetches the line that the reader had, a streaming one does not.
#pragma once
#include <cstddef>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace slotwire::slot {

/// Writes one line of 64 bytes at `to`, which is aligned to 64. Visible to others after stream_fence().
inline void stream_line(std::byte* to, const std::byte* from) {
#if defined(__x86_64__)
  for (std::size_t i = 0; i < 64; i += sizeof(__m128i)) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
  }
#else
  std::memcpy(to, from, 64);
#endif
}

/// Orders streamed lines before every later store.
inline void stream_fence() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

}  // namespace slotwire::slot
