// A client's end of the control socket with what waits in it counted: for the client, for its user and for the node.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/control/packet_socket.hpp"
#include "runtime/engine/sessions/user_accounts.hpp"

namespace slotwire::engine {

/// A client that does not read is given up when more waits for it than `limits.unread*` allow: what waits is thrown
/// away at once, and the channel reads as closed from then on, so that whoever serves it drops it in its own time.
/// Nothing is thrown away silently: what cannot wait costs the client its connection. One thread.
class MeteredChannel final : public control::PacketChannel {
 public:
  /// `accounts` outlives the channel. `most`: bytes that may wait for this client.
  MeteredChannel(std::unique_ptr<control::PacketChannel> inner, UserAccounts& accounts, uid_t uid, std::uint64_t most)
      : inner_(std::move(inner)), accounts_(accounts), uid_(uid), most_(most) {}

  int fd() const override { return inner_->fd(); }
  Got receive(control::Packet& packet) override { return why_.empty() ? inner_->receive(packet) : Got::closed; }
  bool send(const std::string& text, const std::vector<int>& fds) override;
  bool flush() override;
  bool waiting() const override { return inner_->waiting(); }
  std::uint64_t queued() const override { return inner_->queued(); }
  void give_up() override;
  std::string_view given_up() const override { return why_; }

 private:
  void count();

  std::unique_ptr<control::PacketChannel> inner_;
  UserAccounts& accounts_;
  uid_t uid_;
  std::uint64_t most_;
  UserAccounts::Charge waits_;
  std::string why_;
};

}  // namespace slotwire::engine
