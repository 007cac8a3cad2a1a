// The rules of AXI4, AXI4-Lite and AXI4-Stream at a port, looked at clock by clock, for either side of the port. Each
// check keeps the first breach that it saw.
//
// see() takes what the port shows at a rising clock edge outside a reset; reset() forgets what waits.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

namespace slotwire::sim::axi {

/// A valid/ready handshake: what is offered stays, and stays the same, until it is taken.
class HandshakeCheck {
 public:
  explicit HandshakeCheck(std::string name) : name_(std::move(name)) {}
  void reset() { waits_ = false; }
  /// `payload`: everything that must not change while valid waits for ready.
  void see(bool valid, bool ready, std::span<const std::uint32_t> payload);
  const std::string& violation() const { return violation_; }

 private:
  std::string name_, violation_;
  bool waits_ = false;
  std::vector<std::uint32_t> payload_;
};

/// AXI4-Stream that carries packets of bytes: no holes, only the last beat of a packet is short, no packet without
/// bytes.
class StreamCheck {
 public:
  struct Beat {
    bool valid = false, ready = false, last = false;
    std::span<const std::uint32_t> data;  ///< 32-bit words, byte 0 first
    std::uint64_t keep = 0;
  };
  /// `max_beats`: longest packet.
  StreamCheck(std::string name, std::size_t max_beats)
      : name_(std::move(name)), handshake_(name_), max_beats_(max_beats) {}
  void reset() {
    handshake_.reset();
    beats_ = 0;
  }
  void see(const Beat& beat);
  const std::string& violation() const { return violation_.empty() ? handshake_.violation() : violation_; }

 private:
  void violated(const std::string& what);

  std::string name_, violation_;
  HandshakeCheck handshake_;
  std::size_t max_beats_, beats_ = 0;
  std::vector<std::uint32_t> payload_;
};

/// AXI4-Lite: answers only to what was asked, in number; addresses aligned to the word.
class LiteCheck {
 public:
  struct Sample {
    bool awvalid = false, awready = false, wvalid = false, wready = false, bvalid = false, bready = false;
    bool arvalid = false, arready = false, rvalid = false, rready = false;
    std::uint32_t awaddr = 0, wdata = 0, wstrb = 0, bresp = 0, araddr = 0, rdata = 0, rresp = 0;
  };
  explicit LiteCheck(const std::string& name);
  void reset();
  void see(const Sample& sample);
  const std::string& violation() const { return violation_; }

 private:
  std::string name_, violation_;
  HandshakeCheck aw_, w_, b_, ar_, r_;
  std::size_t aws_ = 0, ws_ = 0, ars_ = 0;  ///< taken and not answered
};

/// AXI4 with all bursts of one ID, as slot memory is reached: INCR bursts that do not cross 4 KiB, as many beats as
/// said and the last one marked, answers only to what was asked.
class MemoryCheck {
 public:
  struct Address {
    bool valid = false, ready = false;
    std::uint64_t address = 0;
    std::uint32_t id = 0, length = 0, size = 0, burst = 0;
  };
  struct Sample {
    Address aw, ar;
    bool wvalid = false, wready = false, wlast = false, bvalid = false, bready = false;
    bool rvalid = false, rready = false, rlast = false;
    std::span<const std::uint32_t> wdata, rdata;
    std::uint64_t wstrb = 0;
    std::uint32_t bresp = 0, rresp = 0;
  };
  /// `bytes`: of the data bus. `most`: bursts under way in one direction.
  MemoryCheck(const std::string& name, std::size_t bytes, std::size_t most);
  void reset();
  void see(const Sample& sample);
  const std::string& violation() const { return violation_; }

 private:
  void violated(const std::string& what);
  void see_address(const Address& address, HandshakeCheck& handshake, const char* which);

  std::string name_, violation_;
  std::size_t bytes_, most_;
  HandshakeCheck aw_, w_, b_, ar_, r_;
  std::deque<std::uint32_t> write_lengths_, read_lengths_;  ///< of bursts whose beats are not all there
  std::deque<std::uint32_t> early_beats_;                   ///< beats of whole bursts that came before their addresses
  std::uint32_t write_beats_ = 0, read_beats_ = 0;
  std::size_t writes_ = 0, whole_ = 0;  ///< bursts addressed and not answered; of them with all beats
};

}  // namespace slotwire::sim::axi
