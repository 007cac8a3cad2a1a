// Deliberately broken proxies. They live here and not in the product: each tampers with frames and rows between the
// calls of a right pipeline, as a wrong one would behave. A simulator that does not catch them is worth nothing.
#pragma once
#include <memory>
#include <span>
#include <string_view>

#include "core/pipeline/pipeline.hpp"
#include "sim/network.hpp"

namespace slotwire::sim {

/// The hooks. The default does nothing.
class Tamper {
 public:
  virtual ~Tamper() = default;
  /// A frame leaves; `row` is the sender's. False: it does not leave.
  virtual bool outgoing(regs::SlotRow& /*row*/, Bytes& /*frame*/) { return true; }
  /// A frame is about to be received.
  virtual void incoming(std::span<regs::SlotRow> /*rows*/, std::uint16_t /*link*/, Bytes& /*frame*/) {}
  /// The pipeline took a frame for `row`, whose out_tail was `before`. `ring` is the slot's output ring.
  virtual void received(regs::SlotRow& /*row*/, pipeline::Position /*before*/, const slot::RingView& /*ring*/) {}
  virtual void before_sweep(std::span<regs::SlotRow> /*rows*/) {}
  /// The node restarts with this row.
  virtual void restart(regs::SlotRow& /*row*/) {}
  virtual void publish(pipeline::MarkUpdate& /*update*/, const regs::SlotRow& /*row*/) {}
  virtual bool reuses_epochs() const { return false; }
};

struct Break {
  std::string_view name;
  std::string_view text;  ///< what it does wrong
  std::unique_ptr<Tamper> (*make)();
};

std::span<const Break> breaks();
/// The break of that name, or null.
const Break* find_break(std::string_view name);

}  // namespace slotwire::sim
