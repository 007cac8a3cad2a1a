// pmd_echo PATH FIRST_PORT: an application on net_slotwire. UDP to port FIRST_PORT + n comes to queue n (by flows, for
// n above 0) and goes back to its sender from there. Says "ready", and at its end how many frames each queue had.
#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <utility>

#include "pmd_port.hpp"

namespace slotwire::test {
namespace {

constexpr std::uint16_t kQueues = 4;
// A signal handler sets it, in whatever thread the signal arrives.
std::atomic<bool> stopping{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only set what takes no lock");

/// Who sent it becomes who gets it; sums stay right, as only places change.
void turn_around(rte_mbuf& frame) {
  auto* const bytes = rte_pktmbuf_mtod(&frame, std::byte*);
  std::swap_ranges(bytes, bytes + 6, bytes + 6);
  std::swap_ranges(bytes + 26, bytes + 30, bytes + 30);
  std::swap_ranges(bytes + 34, bytes + 36, bytes + 36);
}

void run(const std::string& path, std::uint16_t first_port) {
  PmdPort port(path, {.queues = kQueues});
  if (::rte_eth_promiscuous_enable(port.id()) != 0) throw std::runtime_error("promiscuous mode is refused");
  for (std::uint16_t queue = 1; queue < kQueues; ++queue) {
    rte_flow_item_udp spec{}, mask{};
    spec.hdr.dst_port = rte_cpu_to_be_16(static_cast<std::uint16_t>(first_port + queue));
    mask.hdr.dst_port = 0xffff;
    const rte_flow_action_queue to{queue};
    if (port.flow({{RTE_FLOW_ITEM_TYPE_ETH, nullptr, nullptr, nullptr},
                   {RTE_FLOW_ITEM_TYPE_IPV4, nullptr, nullptr, nullptr},
                   {RTE_FLOW_ITEM_TYPE_UDP, &spec, nullptr, &mask}},
                  {{RTE_FLOW_ACTION_TYPE_QUEUE, &to}}) == nullptr) {
      throw std::runtime_error(std::string("a flow is refused: ") + port.error.message);
    }
  }
  std::printf("ready\n");
  std::fflush(stdout);
  std::array<unsigned long, kQueues> echoed{};
  while (!stopping) {
    for (std::uint16_t queue = 0; queue < kQueues; ++queue) {
      for (rte_mbuf* frame : port.take(queue)) {
        const Frame bytes = bytes_of(frame);
        const bool ours = bytes.size() >= 42 && bytes[12] == std::byte{8} && bytes[13] == std::byte{0} &&
                          bytes[23] == std::byte{17} &&
                          (std::to_integer<unsigned>(bytes[36]) << 8 | std::to_integer<unsigned>(bytes[37])) ==
                              first_port + 0U + queue;
        if (ours) turn_around(*frame);
        if (ours && ::rte_eth_tx_burst(port.id(), queue, &frame, 1) == 1) {
          ++echoed[queue];
        } else {
          ::rte_pktmbuf_free(frame);
        }
      }
    }
  }
  const rte_eth_stats stats = port.stats();
  std::printf("echoed %lu %lu %lu %lu, missed %lu, errors %lu\n", echoed[0], echoed[1], echoed[2], echoed[3],
              stats.imissed, stats.ierrors + stats.oerrors);
}

}  // namespace
}  // namespace slotwire::test

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: pmd_echo PATH FIRST_PORT\n");
    return 2;
  }
  std::signal(SIGTERM, [](int) { slotwire::test::stopping = true; });
  std::signal(SIGINT, [](int) { slotwire::test::stopping = true; });
  try {
    slotwire::test::run(argv[1], static_cast<std::uint16_t>(std::atoi(argv[2])));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "pmd_echo: %s\n", error.what());
    return 1;
  }
  return 0;
}
