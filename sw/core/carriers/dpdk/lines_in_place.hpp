// Lines sent from where they are, in slot memory: a buffer that points at them behind the one with the headers.
#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include "core/carriers/dpdk/dpdk.hpp"

struct rte_mbuf;
struct rte_mempool;

namespace slotwire::carriers {

/// What a port does with the lines of frames.
struct LinesInPlace {
  static constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();
  std::size_t from_bytes = kNever;  ///< payload from which on lines are sent from where they are; less is copied
  std::string text;                 ///< the same for people, and why

  bool any() const noexcept { return from_bytes != kNever; }
};

/// For a port of `driver`; `chains`: it says that it takes frames of several buffers. Only drivers are trusted that
/// read a frame on the processor and are through with it when their transmit call returns: with others the lines would
/// have to stay where they are for longer. Throws std::runtime_error when `wanted` is on and cannot be.
LinesInPlace lines_in_place(std::string_view driver, bool chains, ZeroCopy wanted);

/// Buffers without room of their own, `count` of them. None: no memory (rte_errno).
rte_mempool* make_lines_pool(const char* name, unsigned count, unsigned cache, int socket);
/// Chains `lines`, of such a pool, behind `head`. The payload must stay until the frame is freed or copied.
void attach_lines(rte_mbuf& head, rte_mbuf& lines, std::span<const std::byte> payload) noexcept;
/// Copies what is chained behind `head`, which has room for it, and frees the chain. Does nothing where nothing is.
void copy_lines(rte_mbuf& head) noexcept;

}  // namespace slotwire::carriers
