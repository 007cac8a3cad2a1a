// What may stand between the nodes and their network, as encryption does.
#pragma once
#include "sim/network.hpp"

namespace slotwire::sim {

/// One object serves one run. Nothing of it lives on when a node dies but what it keeps itself.
class Between {
 public:
  virtual ~Between() = default;
  /// `frame` leaves `from` for `to`; it may be changed. False: it is not sent.
  virtual bool leave(std::uint16_t from, std::uint16_t to, Time now, Bytes& frame) = 0;
  /// `frame` has come to `to` as the network delivers it; it may be changed. False: it is dropped.
  virtual bool arrive(std::uint16_t from, std::uint16_t to, Time now, Bytes& frame) = 0;
  /// `node` begins its first or another life.
  virtual void begin_life(std::uint16_t node, std::size_t nodes) = 0;
};

}  // namespace slotwire::sim
