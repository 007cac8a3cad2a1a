// A model of what a card behind PCI Express costs: no measurement. Clocks of the card come from the simulation; what
// the bus adds comes from published measurements, each with its source, and from assumptions, each said to be one.
#pragma once
#include <cmath>
#include <cstdint>

namespace slotwire::bench {

/// A bus and a host. All times in nanoseconds.
struct PcieParameters {
  // R. Neugebauer et al., "Understanding PCIe performance for end host networking", SIGCOMM 2018
  // (doi 10.1145/3230543.3230560): PCIe 3.0 x8 leaves 57.88 Gb/s to transactions (section 3), 24 bytes of a write or
  // read request and 20 of a completion are not data, 547 ns is the median of a read of 64 bytes across the bus and
  // back (NFP6000 in a Haswell Xeon, section 6).
  double gigabits = 57.88;
  double request_bytes = 24, completion_bytes = 20;
  double read_64_ns = 547;
  // A write is posted: it arrives after half of that. Intel, "TCC Tools developer guide", data streams (PCIe to
  // memory).
  double posted_part = 0.5;
  // Assumed: largest payload of a request, and how many posted requests a receiver takes before it gives credit back.
  double max_payload = 256;
  double posted_credits = 64;
  // Assumed: a load of a line that the bus has just written to the host's memory; waking a sleeping thread by an
  // interrupt, from the message's arrival to the thread's first instruction.
  double host_load_ns = 100;
  double wake_ns = 4'000;
  // Assumed: from a write at the bridge's slave port to its answer, which says that it was sent.
  double bridge_answer_ns = 80;
  // The card's clock (docs/synthesis.md).
  double clock_ns = 4;

  double posted_ns() const { return read_64_ns * posted_part; }
};

/// Where the process reads what arrived.
enum class OutputSpace { card, host };
/// How it learns of it.
enum class Notice { polling, interrupt };

class PcieModel {
 public:
  /// `doorbell_clocks`, `mark_clocks`: doorbell-to-wire and wire-to-mark of the card.
  PcieModel(const PcieParameters& parameters, double doorbell_clocks, double mark_clocks)
      : p_(parameters), doorbell_clocks_(doorbell_clocks), mark_clocks_(mark_clocks) {}

  /// Nanoseconds that `lines` lines and their requests occupy the bus. `store_bytes`: bytes of a store, 64 if combined.
  double occupied_ns(std::uint32_t lines, double store_bytes) const;
  /// From the process's first store to the frame's first beat.
  double send_ns(std::uint32_t lines, double store_bytes) const;
  /// From the frame's last beat until the process has the lines in its cache.
  double receive_ns(std::uint32_t lines, OutputSpace space, Notice notice) const;
  /// A call and its answer between two hosts with such cards, without the wire and the program's own time.
  double round_trip_ns(std::uint32_t lines, double store_bytes, OutputSpace space, Notice notice) const {
    return 2 * (send_ns(lines, store_bytes) + receive_ns(lines, space, notice));
  }
  /// The same over whole cards whose output rings and marks are in host memory, polled: what the cards need comes from
  /// a simulation of them, from the doorbell at the bridge to the wire and from the wire to the mark at the bridge,
  /// with an answer of the bridge to the lines in between. Each line is a request of its own.
  double host_round_trip_ns(std::uint32_t lines, double store_bytes, double doorbell_to_wire_ns,
                            double wire_to_mark_ns) const {
    const double card = (doorbell_clocks_ + mark_clocks_) * p_.clock_ns;
    return round_trip_ns(lines, store_bytes, OutputSpace::host, Notice::polling) -
           2 * (card - doorbell_to_wire_ns - wire_to_mark_ns - split_ns(lines));
  }
  /// Messages a second that one direction of the bus carries: what binds first of bandwidth and credits.
  double messages_per_second(std::uint32_t lines, double store_bytes) const;

 private:
  /// What lines as requests of their own cost more than requests as large as they may be.
  double split_ns(std::uint32_t lines) const {
    return (lines - std::ceil(lines * 64.0 / p_.max_payload)) * p_.request_bytes * 8 / p_.gigabits;
  }

  PcieParameters p_;
  double doorbell_clocks_, mark_clocks_;
};

}  // namespace slotwire::bench
