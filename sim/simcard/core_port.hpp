// The host port of a simulated core.
#pragma once
#include "sim/card/sim_core.hpp"
#include "sim/simcard/host_port.hpp"

namespace slotwire::sim {

class CorePort final : public AccessPort {
 public:
  explicit CorePort(SimCore& core) : core_(core) {}
  bool write(std::uint32_t address, const Bytes& data, std::uint64_t strobes) override {
    return core_.host_write(address, data, strobes);
  }
  bool read(std::uint32_t address) override { return core_.host_read(address); }
  bool answered() const override { return core_.host_answered(); }
  Reply take_answer() override {
    const SimCore::Answer answer = core_.take_answer();
    return {answer.data, answer.error};
  }

 private:
  SimCore& core_;
};

}  // namespace slotwire::sim
