// The machine under a simulated engine: what survives it, the processes it sees, and the channels to processes and
// peers.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/control/packet_socket.hpp"
#include "runtime/engine/peers/control_channel.hpp"
#include "runtime/engine/recovery.hpp"
#include "runtime/engine/recovery/descriptor_store.hpp"
#include "runtime/engine/sessions/session.hpp"
#include "sim/engine/sim_loop.hpp"
#include "sim/random.hpp"

namespace slotwire::sim {

/// The keeper: descriptors that survive an engine.
class SimStore final : public engine::DescriptorStore {
 public:
  core::Result<void> store(std::uint64_t tag, std::span<const int> fds) override;
  core::Result<void> remove(std::uint64_t tag) override;
  core::Result<std::vector<slot::Fd>> fetch(std::uint64_t tag) override;
  /// Duplicates of everything, as a new engine gets them.
  engine::KeptDescriptors take() const;
  void clear() { kept_.clear(); }
  std::size_t size() const { return kept_.size(); }
  bool has(std::uint64_t tag) const { return kept_.contains(tag); }
  bool ready() const override { return !late_; }
  /// Nothing is stored until it is in time again.
  void be_late(bool late) { late_ = late; }
  /// Times that it was late.
  std::size_t refused() const { return refused_; }

 private:
  engine::KeptDescriptors kept_;
  bool late_ = false;
  std::size_t refused_ = 0;
};

/// The processes of a machine, by pid.
class SimProcesses final : public engine::Processes {
 public:
  explicit SimProcesses(Timeline& timeline) : timeline_(timeline) {}
  void born(pid_t pid) { alive_[pid] = true; }
  void died(pid_t pid) { alive_[pid] = false; }
  core::Result<std::unique_ptr<engine::ProcessWatch>> watch(const engine::PeerCredentials& who) override;
  /// How often a process was to be watched, successful or not.
  std::size_t sought() const { return sought_; }

 private:
  Timeline& timeline_;
  std::map<pid_t, bool> alive_;
  std::size_t sought_ = 0;
};

/// A control socket in memory: packets in order, and an end that the other side sees.
class PacketPipe : public std::enable_shared_from_this<PacketPipe> {
 public:
  explicit PacketPipe(Timeline& timeline) : timeline_(timeline) {}
  /// The engine's end; once.
  std::unique_ptr<control::PacketChannel> engine_end();

  // The process's end.
  bool send(const std::string& text);
  std::optional<control::Packet> receive();
  bool ended() const { return engine_gone_; }
  void close() { process_gone_ = true; }

 private:
  class EngineEnd;
  Timeline& timeline_;
  std::deque<std::string> to_engine_;
  std::deque<control::Packet> to_process_;
  bool engine_gone_ = false, process_gone_ = false;
};

/// Control connections between simulated engines: in order, delayed, and lost as a whole when they are cut.
class SimControlNet {
 public:
  SimControlNet(Timeline& timeline, Random& random) : timeline_(timeline), random_(random) {}

  /// The network as the engine of `node` sees it, for one life of it.
  std::unique_ptr<engine::ControlNetwork> join(const std::string& node, SimLoop& loop);
  /// Breaks every connection; what is on the way is lost.
  void cut();
  /// New connections fail while it is down.
  void set_down(bool down) { down_ = down; }
  std::uint32_t delay_us = 200;  ///< shortest way; up to three times that

 private:
  struct Connection;
  class Channel;
  class Port;

  Timeline& timeline_;
  Random& random_;
  bool down_ = false;
  std::map<std::string, Port*> ports_;
  std::vector<std::weak_ptr<Connection>> connections_;
};

}  // namespace slotwire::sim
