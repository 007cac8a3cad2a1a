// What a simulated card's ports are connected to outside. Every kind carries whole Ethernet frames without check
// sequences.
//
// `make_wire` reads:
//   tap:NAME[@NETNS]       a TAP interface, made here; NETNS is the path or the name of a network namespace
//   veth:NAME[@NETNS]      an Ethernet interface that exists (one end of a veth pair, say), through a packet socket
//   listen:PATH            another simulated card that connects to this socket
//   connect:PATH           another simulated card that listens on it
//   pcap:FILE[,OUTPUT]     frames of FILE come in once, what goes out is written to OUTPUT
//   none                   nothing: frames that go out are lost
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace slotwire::sim {

class Wire {
 public:
  /// Longest frame that a wire takes or gives; longer ones are dropped.
  static constexpr std::size_t kMaxFrame = 9216;

  virtual ~Wire() = default;
  /// The next frame that came in, into `room`; 0: none now. Never waits.
  virtual std::size_t receive(std::span<std::byte, kMaxFrame> room) = 0;
  /// Sends a frame; it is lost when the other end has no room, as on any wire.
  virtual void send(std::span<const std::byte> frame) = 0;
  /// Readable when receive() may have something; -1: receive() always has, or never.
  virtual int fd() const { return -1; }
  /// Nothing will come in any more.
  virtual bool ended() const { return false; }
};

/// Throws std::runtime_error that says what is wrong with `text` or what could not be had, and what to do.
std::unique_ptr<Wire> make_wire(const std::string& text);

}  // namespace slotwire::sim
