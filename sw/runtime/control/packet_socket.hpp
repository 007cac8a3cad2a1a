// The control socket's packets: one JSON text and up to a few descriptors a packet, over SOCK_SEQPACKET.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/slot/memory.hpp"

namespace slotwire::control {

/// Most descriptors in one packet.
inline constexpr std::size_t kMaxPacketFds = 8;

/// One packet as it was received.
struct Packet {
  std::string text;
  std::vector<slot::Fd> fds;
};

/// One end of a control socket, as those see it who need not know what is under it.
class PacketChannel {
 public:
  /// `unwanted`: descriptors came with a packet that may not carry any; the packet is not taken. `lost_descriptors`:
  /// more came than a packet may have, or than this process may open.
  enum class Got { packet, nothing, closed, too_long, lost_descriptors, unwanted };

  virtual ~PacketChannel() = default;
  /// Readable (epoll) when receive() has something.
  virtual int fd() const = 0;
  virtual Got receive(Packet& packet) = 0;
  /// Sends or queues. A packet with `fds` never waits, so that a peer that does not read collects no descriptors of
  /// this process. False: the peer does not read and this packet cannot wait, or it has ended.
  virtual bool send(const std::string& text, const std::vector<int>& fds) = 0;
  /// Sends what waits; call when the channel is writable. False as send().
  virtual bool flush() = 0;
  virtual bool waiting() const = 0;
  /// Bytes of memory that wait.
  virtual std::uint64_t queued() const = 0;
  /// Throws away what waits and ends the connection: the channel becomes readable, and reads as closed.
  virtual void give_up() = 0;
  /// Why it was given up; empty when it was not.
  virtual std::string_view given_up() const { return {}; }
};

/// Over a connected SOCK_SEQPACKET socket. Non-blocking. One thread.
class PacketSocket final : public PacketChannel {
 public:
  /// `max_text` bytes of text a packet; `max_queue` packets wait when the peer does not read.
  PacketSocket(slot::Fd socket, std::size_t max_text, std::size_t max_queue);
  ~PacketSocket() override;
  PacketSocket(PacketSocket&&) noexcept = default;
  PacketSocket(const PacketSocket&) = delete;
  PacketSocket& operator=(const PacketSocket&) = delete;

  /// Which packets may carry descriptors, by their text.
  using MayCarry = std::function<bool(std::string_view text)>;
  /// From now on the other end is not trusted: closing what it passed may take as long as it likes, so descriptors are
  /// taken from packets that `may_carry` allows alone, and others are closed elsewhere (Closer) with the socket.
  void distrust(MayCarry may_carry) { may_carry_ = std::move(may_carry); }

  int fd() const override { return socket_.get(); }
  Got receive(Packet& packet) override;
  bool send(const std::string& text, const std::vector<int>& fds = {}) override;
  bool flush() override;
  bool waiting() const override { return !queue_.empty(); }
  std::uint64_t queued() const override { return queued_; }
  void give_up() override;

 private:
  enum class Sent { yes, full, gone };
  /// Whether the packet that comes next carries descriptors that it may not.
  bool next_is_unwanted();
  Sent send_now(const std::string& text, const std::vector<int>& fds) const;

  slot::Fd socket_;
  std::size_t max_text_, max_queue_;
  std::unique_ptr<char[]> buffer_;  ///< max_text_ bytes; not cleared, so that looking at an empty socket costs nothing
  std::deque<std::string> queue_;
  std::uint64_t queued_ = 0;
  MayCarry may_carry_;  ///< none: the other end is trusted
};

}  // namespace slotwire::control
