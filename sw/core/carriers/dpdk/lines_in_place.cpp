#include "core/carriers/dpdk/lines_in_place.hpp"

#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace slotwire::carriers {
namespace {

/// Drivers that were shown to send a chain whole and to keep no part of it (tests/dpdk/in_place_test.cpp), and the
/// payload from which on that was measured to take less time than a copy (docs/measurements.md).
struct Proven {
  std::string_view driver;
  std::size_t pays_from_bytes;
};
constexpr Proven kProven[] = {
    {"net_af_packet", 64 * regs::kLineBytes},
    {"net_slotwire", LinesInPlace::kNever},
    {"net_tap", LinesInPlace::kNever},
    {"net_vhost", 32 * regs::kLineBytes},
};

std::string proven_names() {
  std::string names;
  for (const Proven& one : kProven) names += (names.empty() ? "" : ", ") + std::string(one.driver);
  return names;
}

void nothing_to_free(void* /*lines*/, void* /*opaque*/) {}

}  // namespace

LinesInPlace lines_in_place(std::string_view driver, bool chains, ZeroCopy wanted) {
  const std::string name(driver);
  const auto* const found =
      std::find_if(std::begin(kProven), std::end(kProven), [&](const Proven& one) { return one.driver == driver; });
  const bool able = found != std::end(kProven) && chains;
  if (wanted == ZeroCopy::on && !able) {
    throw std::runtime_error(
        name + " cannot send lines from where they are, and dpdk.zero_copy is \"on\"; the drivers that can are " +
        proven_names() + "; set dpdk.zero_copy = \"auto\"");
  }
  if (wanted == ZeroCopy::off) return {LinesInPlace::kNever, "off"};
  if (wanted == ZeroCopy::on) return {regs::kLineBytes, "on"};
  if (!able) return {LinesInPlace::kNever, "off: not with " + name};
  if (found->pays_from_bytes == LinesInPlace::kNever)
    return {LinesInPlace::kNever, "off: not measured to pay with " + name};
  return {found->pays_from_bytes, "from " + std::to_string(found->pays_from_bytes / regs::kLineBytes) + " lines on"};
}

rte_mempool* make_lines_pool(const char* name, unsigned count, unsigned cache, int socket) {
  constexpr auto kPrivate = RTE_ALIGN_CEIL(sizeof(rte_mbuf_ext_shared_info), RTE_MBUF_PRIV_ALIGN);
  return ::rte_pktmbuf_pool_create(name, count, cache, static_cast<std::uint16_t>(kPrivate), 0, socket);
}

void attach_lines(rte_mbuf& head, rte_mbuf& lines, std::span<const std::byte> payload) noexcept {
  // One count for each buffer, in the buffer: the last to free it is the only one, and needs no atomic operation.
  auto* const shared = static_cast<rte_mbuf_ext_shared_info*>(::rte_mbuf_to_priv(&lines));
  shared->free_cb = nothing_to_free;
  shared->fcb_opaque = nullptr;
  ::rte_mbuf_ext_refcnt_set(shared, 1);
  const auto bytes = static_cast<std::uint16_t>(payload.size());
  // DPDK takes what is only read through a pointer that is not const.
  ::rte_pktmbuf_attach_extbuf(&lines, const_cast<std::byte*>(payload.data()), RTE_BAD_IOVA, bytes, shared);
  lines.data_len = bytes;
  head.next = &lines;
  head.nb_segs = 2;
  head.pkt_len = head.data_len + std::uint32_t{bytes};
}

void copy_lines(rte_mbuf& head) noexcept {
  rte_mbuf* const lines = head.next;
  if (lines == nullptr) return;
  std::memcpy(rte_pktmbuf_mtod_offset(&head, std::byte*, head.data_len), rte_pktmbuf_mtod(lines, const std::byte*),
              lines->data_len);
  head.data_len = static_cast<std::uint16_t>(head.data_len + lines->data_len);
  head.next = nullptr;
  head.nb_segs = 1;
  ::rte_pktmbuf_free_seg(lines);
}

}  // namespace slotwire::carriers
