#include "sim/engine/sim_machine.hpp"

#include <fcntl.h>

#include <stdexcept>
#include <utility>

namespace slotwire::sim {

using control::PacketChannel;
using engine::ControlChannel;

// ---- the keeper ----

core::Result<void> SimStore::store(std::uint64_t tag, std::span<const int> fds) {
  if (late_) {
    ++refused_;
    return core::Error{"the keeper does not answer"};
  }
  if (kept_.contains(tag)) return core::Error{"there is something under tag " + std::to_string(tag) + " already"};
  std::vector<slot::Fd>& list = kept_[tag];
  for (const int fd : fds) list.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  return {};
}

core::Result<void> SimStore::remove(std::uint64_t tag) {
  if (kept_.erase(tag) == 0) return core::Error{"there is nothing under tag " + std::to_string(tag)};
  return {};
}

core::Result<std::vector<slot::Fd>> SimStore::fetch(std::uint64_t tag) {
  const auto found = kept_.find(tag);
  if (found == kept_.end()) return core::Error{"there is nothing under tag " + std::to_string(tag)};
  std::vector<slot::Fd> fds;
  for (const slot::Fd& fd : found->second) fds.emplace_back(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  return fds;
}

engine::KeptDescriptors SimStore::take() const {
  engine::KeptDescriptors all;
  for (const auto& [tag, fds] : kept_) {
    for (const slot::Fd& fd : fds) all[tag].emplace_back(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  }
  return all;
}

// ---- processes ----

namespace {

class Watch final : public engine::ProcessWatch {
 public:
  Watch(Timeline& timeline, std::function<bool()> dead)
      : timeline_(timeline), handle_(timeline.add_handle([dead = std::move(dead)] {
          return dead() ? static_cast<std::uint32_t>(EPOLLIN) : 0U;
        })) {}
  ~Watch() override { timeline_.remove_handle(handle_); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  int fd() const override { return handle_; }

 private:
  Timeline& timeline_;
  int handle_;
};

}  // namespace

core::Result<std::unique_ptr<engine::ProcessWatch>> SimProcesses::watch(const engine::PeerCredentials& who) {
  const pid_t pid = who.pid;
  ++sought_;
  if (!alive_[pid]) return core::Error{"process " + std::to_string(pid) + " has ended"};
  return std::unique_ptr<engine::ProcessWatch>(
      std::make_unique<Watch>(timeline_, [this, pid] { return !alive_[pid]; }));
}

// ---- control sockets ----

class PacketPipe::EngineEnd final : public PacketChannel {
 public:
  explicit EngineEnd(std::shared_ptr<PacketPipe> pipe)
      : pipe_(std::move(pipe)), handle_(pipe_->timeline_.add_handle([raw = pipe_.get()] {
          return !raw->to_engine_.empty() || raw->process_gone_ ? static_cast<std::uint32_t>(EPOLLIN) : 0U;
        })) {}
  ~EngineEnd() override {
    pipe_->engine_gone_ = true;
    pipe_->timeline_.remove_handle(handle_);
  }
  EngineEnd(const EngineEnd&) = delete;
  EngineEnd& operator=(const EngineEnd&) = delete;

  int fd() const override { return handle_; }
  Got receive(control::Packet& packet) override {
    if (pipe_->to_engine_.empty()) return pipe_->process_gone_ ? Got::closed : Got::nothing;
    packet.text = std::move(pipe_->to_engine_.front());
    packet.fds.clear();
    pipe_->to_engine_.pop_front();
    return Got::packet;
  }
  bool send(const std::string& text, const std::vector<int>& fds) override {
    constexpr std::size_t kQueue = 256;
    if (pipe_->process_gone_ || pipe_->to_process_.size() >= kQueue) return false;
    control::Packet packet;
    packet.text = text;
    for (const int fd : fds) packet.fds.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    pipe_->to_process_.push_back(std::move(packet));
    return true;
  }
  bool flush() override { return !pipe_->process_gone_; }
  bool waiting() const override { return false; }
  std::uint64_t queued() const override { return 0; }
  void give_up() override { pipe_->process_gone_ = true; }

 private:
  std::shared_ptr<PacketPipe> pipe_;
  int handle_;
};

std::unique_ptr<PacketChannel> PacketPipe::engine_end() {
  return std::make_unique<EngineEnd>(shared_from_this());
}

bool PacketPipe::send(const std::string& text) {
  if (engine_gone_) return false;
  to_engine_.push_back(text);
  return true;
}

std::optional<control::Packet> PacketPipe::receive() {
  if (to_process_.empty()) return std::nullopt;
  control::Packet packet = std::move(to_process_.front());
  to_process_.pop_front();
  return packet;
}

// ---- control connections ----

/// Both directions of one connection. Side 0 dialled.
struct SimControlNet::Connection {
  struct Direction {
    std::deque<std::pair<std::uint64_t, std::string>> messages;  ///< when each arrives
    std::uint64_t last_us = 0;
  };
  Direction to[2];
  std::string closed[2];  ///< why each side sees its end
};

class SimControlNet::Channel final : public ControlChannel {
 public:
  Channel(SimControlNet& net, SimLoop& loop, std::shared_ptr<Connection> connection, int side)
      : net_(net), loop_(loop), connection_(std::move(connection)), side_(side) {
    handle_ =
        net_.timeline_.add_handle([this] { return arrived() || closed() ? static_cast<std::uint32_t>(EPOLLIN) : 0U; });
  }
  ~Channel() override {
    loop_.remove(handle_);
    net_.timeline_.remove_handle(handle_);
    // The other end learns of it once the way there is over; what was sent before still arrives.
    const std::weak_ptr<Connection> there = connection_;
    const int other = 1 - side_;
    const std::uint64_t at = std::max(connection_->to[other].last_us, net_.timeline_.now_us() + net_.delay_us);
    net_.timeline_.at(at, [there, other] {
      if (const auto connection = there.lock(); connection && connection->closed[other].empty()) {
        connection->closed[other] = "the peer closed the connection";
      }
    });
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  Sent send(std::string_view message) override {
    if (closed()) return Sent::closed;
    Connection::Direction& way = connection_->to[1 - side_];
    way.last_us =
        std::max(way.last_us, net_.timeline_.now_us() + net_.random_.between(net_.delay_us, 3 * net_.delay_us));
    way.messages.emplace_back(way.last_us, std::string(message));
    return Sent::sent;
  }
  std::optional<std::string> next() override {
    if (!arrived()) return std::nullopt;
    std::string message = std::move(connection_->to[side_].messages.front().second);
    connection_->to[side_].messages.pop_front();
    return message;
  }
  bool closed() const override { return !connection_->closed[side_].empty() && !arrived(); }
  std::string reason() const override { return connection_->closed[side_]; }
  void on_ready(std::function<void()> ready) override {
    loop_.remove(handle_);
    loop_.add(handle_, EPOLLIN, [ready = std::move(ready)](std::uint32_t) { ready(); });
  }

 private:
  bool arrived() const {
    const auto& messages = connection_->to[side_].messages;
    return !messages.empty() && messages.front().first <= net_.timeline_.now_us();
  }

  SimControlNet& net_;
  SimLoop& loop_;
  std::shared_ptr<Connection> connection_;
  int side_;
  int handle_ = -1;
};

class SimControlNet::Port final : public engine::ControlNetwork {
 public:
  Port(SimControlNet& net, SimLoop& loop, std::string node) : net_(net), loop_(loop), node_(std::move(node)) {
    net_.ports_[node_] = this;
  }
  ~Port() override { net_.ports_.erase(node_); }
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  void listen(OnCaller on_caller) override { on_caller_ = std::move(on_caller); }
  std::unique_ptr<ControlChannel> dial(const engine::LinkConfig& link, std::uint64_t /*timeout_us*/) override {
    const auto to = net_.ports_.find(link.peer);
    if (net_.down_ || to == net_.ports_.end()) throw std::runtime_error("nobody answers at node '" + link.peer + "'");
    auto connection = std::make_shared<Connection>();
    net_.connections_.push_back(connection);
    to->second->accept(std::make_unique<Channel>(net_, to->second->loop_, connection, 1));
    return std::make_unique<Channel>(net_, loop_, connection, 0);
  }
  void resolve(const std::string& host, OnAddresses found) override {
    found(std::vector{carriers::Address::parse(host + ":0")});
  }
  std::string_view protection() const override { return ""; }

 private:
  /// As the gate does it: whoever says hello is let in.
  void accept(std::unique_ptr<ControlChannel> channel) {
    ControlChannel* const caller = channel.get();
    callers_[caller] = std::move(channel);
    caller->on_ready([this, caller] { take(caller); });
  }
  void take(ControlChannel* caller) {
    const std::optional<std::string> text = caller->next();
    if (!text && !caller->closed()) return;
    std::unique_ptr<ControlChannel> channel = std::move(callers_.extract(caller).mapped());
    if (!text) return;
    const core::Result<control::PeerMessage> message = control::decode_peer(*text);
    const auto* const hello = message.ok() ? std::get_if<control::PeerHello>(&message.value()) : nullptr;
    if (hello == nullptr || !on_caller_) return;
    on_caller_(std::move(channel), *hello, carriers::Address::parse("127.0.0.1:1"));
  }

  SimControlNet& net_;
  SimLoop& loop_;
  std::string node_;
  OnCaller on_caller_;
  std::map<ControlChannel*, std::unique_ptr<ControlChannel>> callers_;
};

std::unique_ptr<engine::ControlNetwork> SimControlNet::join(const std::string& node, SimLoop& loop) {
  return std::make_unique<Port>(*this, loop, node);
}

void SimControlNet::cut() {
  for (const auto& weak : connections_) {
    const auto connection = weak.lock();
    if (!connection) continue;
    for (int side = 0; side < 2; ++side) {
      connection->to[side].messages.clear();
      if (connection->closed[side].empty()) connection->closed[side] = "the connection was cut";
    }
  }
  connections_.clear();
}

}  // namespace slotwire::sim
