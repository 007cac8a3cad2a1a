#include "pcie_model.hpp"

#include <algorithm>
#include <cmath>

namespace slotwire::bench {
namespace {

constexpr double kLine = 64, kMarkBytes = 4;

}  // namespace

double PcieModel::occupied_ns(std::uint32_t lines, double store_bytes) const {
  const double stores = lines * kLine / store_bytes;
  return (stores * (store_bytes + p_.request_bytes) + kMarkBytes + p_.request_bytes) * 8 / p_.gigabits;
}

double PcieModel::send_ns(std::uint32_t lines, double store_bytes) const {
  // Posted one after the other; the doorbell comes last and is not overtaken.
  return p_.posted_ns() + occupied_ns(lines, store_bytes) + doorbell_clocks_ * p_.clock_ns;
}

double PcieModel::receive_ns(std::uint32_t lines, OutputSpace space, Notice notice) const {
  const double card = mark_clocks_ * p_.clock_ns;
  if (space == OutputSpace::card) {
    // Uncached reads go one at a time: the mark, then each line (a load of 64 bytes). A poll is under way, so that the
    // mark is seen after half a poll and one that begins then; an interrupt arrives like a write and the mark is read
    // once.
    const double reads = lines * p_.read_64_ns;
    const double noticed =
        notice == Notice::polling ? 1.5 * p_.read_64_ns : p_.posted_ns() + p_.wake_ns + p_.read_64_ns;
    return card + noticed + reads;
  }
  // The card writes lines and mark into the host's memory, in requests as large as they may be.
  const double requests = std::ceil(lines * kLine / p_.max_payload);
  const double bytes = lines * kLine + requests * p_.request_bytes + kMarkBytes + p_.request_bytes;
  const double arrived = p_.posted_ns() + bytes * 8 / p_.gigabits;
  return card + arrived + (notice == Notice::interrupt ? p_.wake_ns : 0) + (1.0 + lines) * p_.host_load_ns;
}

double PcieModel::messages_per_second(std::uint32_t lines, double store_bytes) const {
  const double requests = lines * kLine / store_bytes + 1;
  // Credits come back a round trip after their request went.
  const double by_credits = requests / p_.posted_credits * p_.read_64_ns;
  return 1e9 / std::max(occupied_ns(lines, store_bytes), by_credits);
}

}  // namespace slotwire::bench
