#include "sim/pci/pcie_host_port.hpp"

#include <Vslotwire_pcie_host_sim.h>
#include <verilated.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>

#include "sim/pci/pcie_bridge.hpp"

namespace slotwire::sim {
namespace {

using Model = Vslotwire_pcie_host_sim;
using Bridge = PcieBridge<Model>;

/// From an interrupt, or the answer to a request, to the next request: a few.
constexpr unsigned kRequestClocks = 8;

/// Which BAR a card address is in, and where.
std::pair<unsigned, std::uint64_t> place(std::uint32_t address) {
  constexpr std::uint64_t kPages = std::uint64_t{PcieHostPort::kSlots} * regs::kPageBytes;
  if (address >= regs::kCardMemory) return {regs::kPciMemoryBar, address - regs::kCardMemory};
  if (address >= regs::kCardProxyPages) return {regs::kPciDoorbellsBar, kPages + (address - regs::kCardProxyPages)};
  if (address >= regs::kCardProcessPages) return {regs::kPciDoorbellsBar, address - regs::kCardProcessPages};
  return {regs::kPciRegistersBar, address};
}

}  // namespace

struct PcieHostPort::Parts {
  Parts(AccessPort& port, std::uint64_t seed, std::function<void()> reset)
      : card(port), reset_card(std::move(reset)), bridge(model, {.seed = seed}) {
    for (unsigned vector = 0; vector < kVectors; ++vector) bridge.set_vector(vector, {vector, 0}, false);
    bridge.enable_msix(true);
  }

  VerilatedContext context;
  Model model{&context, "pcie_host"};
  AccessPort& card;
  std::function<void()> reset_card;
  Bridge bridge;
  std::deque<std::uint64_t> reads;  ///< tags, in order
  std::uint32_t raised = 0;
  unsigned requests_for = 0;  ///< clocks in which the shell may make a request for an interrupt
  bool core_in_reset = false;
};

PcieHostPort::PcieHostPort(AccessPort& card, std::uint64_t seed, std::function<void()> reset_card)
    : parts_(std::make_unique<Parts>(card, seed, std::move(reset_card))) {
  Parts& p = *parts_;
  p.model.axi_aclk = 0;
  p.model.dma_busy = 0;  // reset_card waits for what the card writes into host memory
  p.bridge.bus_reset(true);
  for (unsigned i = 0; i < 8; ++i) clock();
  p.bridge.bus_reset(false);
  for (unsigned vector = 0; vector < kVectors; ++vector) p.bridge.set_vector(vector, {vector, 0}, false);
  p.bridge.enable_msix(true);
  for (unsigned i = 0; i < 8; ++i) clock();
}

PcieHostPort::~PcieHostPort() {
  parts_->model.final();
}

bool PcieHostPort::write(std::uint32_t address, const Bytes& data, std::uint64_t strobes) {
  if (parts_->bridge.waiting() >= kMostWaiting) return false;
  const auto [bar, offset] = place(address);
  parts_->bridge.write(bar, offset, data, strobes);
  return true;
}

bool PcieHostPort::read(std::uint32_t address) {
  if (parts_->reads.size() >= kMostWaiting) return false;
  const auto [bar, offset] = place(address);
  parts_->reads.push_back(parts_->bridge.read(bar, offset, regs::kLineBytes));
  return true;
}

bool PcieHostPort::answered() const {
  return !parts_->reads.empty() && parts_->bridge.completed(parts_->reads.front());
}

AccessPort::Reply PcieHostPort::take_answer() {
  Reply reply;
  const auto completion = parts_->bridge.take(parts_->reads.front());
  parts_->reads.pop_front();
  reply.error = !completion || completion->status != Bridge::Status::ok;
  if (!reply.error) std::copy(completion->data.begin(), completion->data.end(), reply.data.begin());
  return reply;
}

bool PcieHostPort::idle() const {
  return parts_->bridge.idle() && parts_->reads.empty() && parts_->requests_for == 0;
}

void PcieHostPort::clock() {
  Parts& p = *parts_;
  Model& m = p.model;
  p.bridge.drive();
  m.core_irq = static_cast<std::uint8_t>(std::exchange(p.raised, 0));
  m.host_req_ready = 0;
  m.host_rsp_valid = !p.core_in_reset && p.card.answered();
  if (m.host_rsp_valid != 0) {
    const Reply reply = p.card.take_answer();
    std::memcpy(m.host_rsp_rdata.data(), reply.data.data(), reply.data.size());
    m.host_rsp_err = reply.error;
  }
  m.eval();
  if (m.host_req_valid != 0) {
    Bytes data;
    std::memcpy(data.data(), m.host_req_wdata.data(), data.size());
    m.host_req_ready =
        m.host_req_write != 0 ? p.card.write(m.host_req_addr, data, m.host_req_wstrb) : p.card.read(m.host_req_addr);
    m.eval();
  }
  if (m.usr_irq_in_vld != 0) p.requests_for = kRequestClocks;
  if (p.requests_for != 0) --p.requests_for;
  p.bridge.sample();
  m.axi_aclk = 1;
  m.eval();
  m.axi_aclk = 0;
  m.eval();
  const bool in_reset = m.core_rst_n == 0;
  if (in_reset && !p.core_in_reset) p.reset_card();
  p.core_in_reset = in_reset;
}

void PcieHostPort::interrupt(std::uint32_t vectors) {
  parts_->raised |= vectors & ((1U << kVectors) - 1);
  parts_->requests_for = kRequestClocks;
}

std::uint32_t PcieHostPort::take_messages() {
  std::uint32_t vectors = 0;
  for (const Bridge::Message& message : parts_->bridge.messages) vectors |= 1U << message.address;
  parts_->bridge.messages.clear();
  return vectors;
}

void PcieHostPort::function_reset() {
  Parts& p = *parts_;
  p.bridge.function_reset();
  while (!p.reads.empty()) {
    p.bridge.take(p.reads.front());
    p.reads.pop_front();
  }
  // The table that the host sees is the function's; here every message passes.
  for (unsigned vector = 0; vector < kVectors; ++vector) p.bridge.set_vector(vector, {vector, 0}, false);
  p.bridge.enable_msix(true);
  p.raised = 0;
}

bool PcieHostPort::resetting() const {
  return parts_->bridge.resetting();
}

const std::string& PcieHostPort::violation() const {
  return parts_->bridge.violation();
}

}  // namespace slotwire::sim
