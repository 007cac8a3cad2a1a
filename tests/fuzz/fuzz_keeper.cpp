// What outlives an engine: the keeper's packets both ways, and what a restarted node makes of descriptors and rows that
// are not as it left them.
//
// An input's first byte chooses: 0 the keeper is attacked, 1 slotwired by its keeper, 2 a node by what was kept.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <memory>
#include <thread>
#include <vector>

#include "fuzzed_node.hpp"
#include "hostile_process.hpp"
#include "input.hpp"
#include "runtime/engine/recovery/keeper.hpp"
#include "runtime/engine/recovery/keeper_process.hpp"

namespace {

using namespace slotwire;
using namespace slotwire::fuzz;
using engine::KeeperOp;
using engine::KeeperReply;
using engine::KeeperRequest;
using engine::KeeperStatus;

constexpr std::size_t kMaxPackets = 48;

/// A directory that only this user may write to, for the whole run.
const std::filesystem::path& directory() {
  static const struct Made {
    std::filesystem::path path;
    Made() {
      std::string pattern = (std::filesystem::temp_directory_path() / "slotwire-fuzz-XXXXXX").string();
      require(::mkdtemp(pattern.data()) != nullptr);
      path = pattern;
    }
    ~Made() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
  } made;
  return made.path;
}

slot::Fd listen_at(const std::filesystem::path& path) {
  slot::Fd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.native().copy(address.sun_path, sizeof address.sun_path - 1);
  ::unlink(path.c_str());
  require(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  require(::listen(listener.get(), 16) == 0);
  return listener;
}

slot::Fd connect_to(const std::filesystem::path& path) {
  slot::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.native().copy(address.sun_path, sizeof address.sun_path - 1);
  require(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  return socket;
}

/// Now. What an earlier input left to the Closer may go at any time.
std::size_t open_descriptors() {
  const auto all = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// Sends bytes with descriptors of some kind, up to four more than are allowed.
void send(int socket, std::string_view bytes, std::size_t count) {
  std::vector<slot::Fd> made;
  for (std::size_t i = 0; i < count; ++i) made.push_back(slot::create_event());
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 8)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (count != 0) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * count);
    for (std::size_t i = 0; i < count; ++i) {
      const int fd = made[i].get();
      std::memcpy(CMSG_DATA(header) + (i * sizeof(int)), &fd, sizeof fd);
    }
  }
  ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

template <class T>
std::string bytes_of(const T& value, Input& input) {
  std::string bytes(reinterpret_cast<const char*>(&value), sizeof value);
  if (input.below(16) == 0) bytes.resize(input.below(2 * sizeof value));
  return bytes;
}

// ---- the keeper is attacked ----

/// One who is attached says everything at once, then ends.
void attack_keeper(Input& input) {
  const std::size_t before = open_descriptors();
  {
    const std::filesystem::path path = directory() / "a.keeper.sock";
    engine::KeeperOptions options;
    options.keep_for = std::chrono::milliseconds(0);
    options.timeout = std::chrono::milliseconds(0);
    options.max_entries = 8;
    options.max_descriptors = 16;
    slot::Fd listener = listen_at(path);
    const slot::Fd slotwired = connect_to(path);
    for (std::size_t i = 0; i < kMaxPackets && !input.empty(); ++i) {
      KeeperRequest request;
      request.op = input.below(8) == 0 ? input.number<std::uint16_t>()
                                       : static_cast<std::uint16_t>(1 + input.below(input.below(16) == 0 ? 4 : 3));
      request.tag = input.below(4) == 0 ? hostile_number<std::uint64_t>(input) : input.below(8);
      if (input.below(32) == 0) request.magic = input.number<std::uint32_t>();
      if (input.below(32) == 0) request.version = input.number<std::uint16_t>();
      const bool stores = request.op == static_cast<std::uint16_t>(KeeperOp::store);
      const std::size_t fds = input.below(8) == 0 ? input.below(8) : stores ? 1 + input.below(4) : 0;
      send(slotwired.get(), bytes_of(request, input), fds);
    }
    ::shutdown(slotwired.get(), SHUT_WR);
    slot::Fd own_directory(::open(directory().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    engine::KeeperProcess keeper(std::move(listener), std::move(own_directory), path.filename(), "", options);
    keeper.run();
    // A greeting, then answers that are right in themselves.
    KeeperReply reply;
    std::vector<slot::Fd> fds;
    while (engine::receive_datagram(slotwired.get(), std::as_writable_bytes(std::span(&reply, 1)), fds, MSG_DONTWAIT) ==
           engine::Received::message) {
      require(reply.magic == engine::kKeeperMagic && reply.version == engine::kKeeperVersion);
      require(reply.status <= static_cast<std::uint16_t>(KeeperStatus::end) && fds.size() <= engine::kMaxFdsPerTag);
    }
    require(!std::filesystem::exists(path));
  }
  require(open_descriptors() <= before);
}

// ---- slotwired is attacked by its keeper ----

/// Plays the keeper for every connection until it is told to end: each packet that comes is answered by the next one of
/// the input.
class HostileKeeper {
 public:
  HostileKeeper(Input& input, slot::Fd listener)
      : input_(input), listener_(std::move(listener)), thread_([this] { play(); }) {}
  ~HostileKeeper() {
    end_.store(true);
    ::shutdown(listener_.get(), SHUT_RDWR);
    ::shutdown(client_.load(), SHUT_RDWR);
    thread_.join();
  }
  HostileKeeper(const HostileKeeper&) = delete;
  HostileKeeper& operator=(const HostileKeeper&) = delete;

 private:
  void play() {
    while (!end_.load()) {
      pollfd wait{listener_.get(), POLLIN, 0};
      ::poll(&wait, 1, -1);
      const slot::Fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) return;
      client_.store(client.get());
      answer(client.get());  // the greeting
      std::array<char, 64> request;
      while (!end_.load() && !input_.empty() && ::recv(client.get(), request.data(), request.size(), 0) > 0) {
        answer(client.get());
      }
      client_.store(-1);
    }
  }
  void answer(int client) {
    KeeperReply reply;
    reply.status = input_.below(4) == 0 ? input_.number<std::uint16_t>() : 0;
    reply.tag = input_.below(4) == 0 ? hostile_number<std::uint64_t>(input_) : ++tag_;
    reply.pid = input_.byte();
    reply.entries = hostile_number<std::uint32_t>(input_);
    if (input_.below(32) == 0) reply.magic = input_.number<std::uint32_t>();
    if (input_.below(8) == 0) reply.status = static_cast<std::uint16_t>(KeeperStatus::end);
    send(client, bytes_of(reply, input_), input_.below(6));
  }

  Input& input_;
  slot::Fd listener_;
  std::atomic<bool> end_ = false;
  std::atomic<int> client_ = -1;
  std::uint64_t tag_ = 0;
  std::thread thread_;
};

void attack_slotwired(Input& input) {
  const std::size_t before = open_descriptors();
  engine::KeeperOptions options;
  options.timeout = std::chrono::milliseconds(200);
  const slot::Fd event = slot::create_event();
  const std::array<int, 1> fds{event.get()};
  {
    const HostileKeeper hostile(input, listen_at(engine::keeper_socket_path(directory(), "a")));
    try {
      engine::Keeper keeper = engine::Keeper::attach(directory(), "a", options);
      require(std::is_sorted(keeper.kept().begin(), keeper.kept().end()));
      static_cast<void>(keeper.store(7, fds));
      static_cast<void>(keeper.fetch(7));
      static_cast<void>(keeper.remove(7));
      for (const engine::Keeper::Entry& entry : keeper.take_kept()) {
        require(!entry.fds.empty() && entry.fds.size() <= engine::kMaxFdsPerTag);
      }
      static_cast<void>(keeper.quit());
    } catch (const std::runtime_error&) {
    }
  }
  require(open_descriptors() <= before + 1);
}

// ---- a node is attacked by what was kept ----

std::string_view name_of(std::size_t number) {
  static constexpr std::array<std::string_view, 2> kNames = {"x", "y"};
  return kNames[number];
}

class Restart {
 public:
  explicit Restart(Input& input) : Restart(input, input.byte()) {}

  void run() {
    live();
    node_.crash();
    const std::size_t changes = 1 + input_.below(8);
    for (std::size_t i = 0; i < changes; ++i) change();
    node_.start();
    // It has taken up what it could, and serves.
    for (const auto& process : processes_) process->connect();
    for (std::size_t step = 0; step < 32 && !input_.empty(); ++step) {
      processes_[input_.below(processes_.size())]->act(input_);
      node_.turn(1 + (std::uint64_t{input_.byte()} << input_.below(12)));
      for (const auto& process : processes_) process->listen();
    }
    for (const auto& process : processes_) {
      process->hang_up();
      process->die(false);
    }
    constexpr int kTurns = 10;
    for (int i = 0; i < kTurns; ++i) node_.turn(1'000'000);
    require(node_.node().slots().used() == 0 && node_.node().sessions().used() == 0);
    require(node_.node().slots().memory().free_bytes == node_.node().slots().memory().total_bytes);
    require(node_.store().size() == 1);
  }

 private:
  Restart(Input& input, std::uint8_t how) : input_(input), node_((how & 1) != 0, (how & 2) != 0) {
    node_.start();
    for (int i = 0; i < 2; ++i) {
      processes_.push_back(
          std::make_unique<HostileProcess>(node_, 1001 + i, i == 0 ? ::getuid() : FuzzedNode::kStranger));
    }
  }

  /// A life that leaves sessions, a pair within the node and connections with a peer.
  void live() {
    auto peer = std::make_shared<PeerEnd>();
    control::PeerHello hello;
    hello.node = "b";
    hello.incarnation = 1;
    if (node_.node().peers().find("b")->link.config->encryption != carriers::CipherSuite::none) {
      hello.encryption = "aes-128-gcm";
    }
    node_.network().call(std::make_unique<PeerChannel>(peer), hello, carriers::Address::parse("10.0.0.2:9"));
    for (const auto& process : processes_) {
      process->connect();
      process->ask(control::Hello{.version = control::kProcessVersion, .name = "p"});
    }
    settle();
    for (std::size_t i = 0; i < processes_.size(); ++i) processes_[i]->ask(control::Serve{std::string(name_of(i)), 0});
    settle();
    processes_[1]->ask(control::Connect{.service = "x"});
    processes_[0]->ask(control::Connect{.service = "y"});
    for (std::uint16_t slot = 1; slot <= 2; ++slot) {
      control::Open open;
      open.id = slot;
      open.service = name_of(slot % 2U);
      open.slot = slot;
      open.epoch = 7;
      open.in_order = open.out_order = 6;
      peer->said.push_back(control::encode_peer(open));
    }
    peer->tell();
    settle();
    require(node_.node().slots().used() == 6);
  }
  void settle() {
    for (int i = 0; i < 4; ++i) node_.turn(1000);
    for (const auto& process : processes_) process->listen();
  }

  std::uint64_t tag() {
    using engine::KeptTag;
    switch (input_.below(8)) {
      case 0:
        return hostile_number<std::uint64_t>(input_);
      case 1:
      case 2:
        return KeptTag::of_session(static_cast<std::uint32_t>(input_.below(8))).number();
      default:
        return KeptTag::of_slot(static_cast<std::uint16_t>(input_.below(20))).number();
    }
  }

  /// One thing is not as it was left.
  void change() {
    sim::SimStore& store = node_.store();
    switch (input_.below(5)) {
      case 0:
        static_cast<void>(store.remove(tag()));
        return;
      case 1: {  // other descriptors
        const std::uint64_t at = tag();
        if (at == engine::KeptTag::of_admin().number()) return;
        static_cast<void>(store.remove(at));
        std::vector<slot::Fd> made;
        std::vector<int> fds;
        for (std::size_t i = 1 + input_.below(3); i > 0; --i) {
          made.push_back(input_.below(2) == 0
                             ? slot::create_event()
                             : slot::create_sealed_file("fuzzed", regs::kPageBytes << input_.below(3)));
          fds.push_back(made.back().get());
        }
        static_cast<void>(store.store(at, fds));
        return;
      }
      case 2: {  // those of another tag
        const std::uint64_t to = tag();
        const auto fetched = store.fetch(tag());
        if (!fetched.ok() || to == engine::KeptTag::of_admin().number()) return;
        static_cast<void>(store.remove(to));
        std::vector<int> fds;
        for (const slot::Fd& fd : fetched.value()) fds.push_back(fd.get());
        static_cast<void>(store.store(to, fds));
        return;
      }
      default:
        scribble();
    }
  }

  /// Writes into admin memory.
  void scribble() {
    const auto kept = node_.store().fetch(engine::KeptTag::of_admin().number());
    if (!kept.ok()) return;
    engine::Admin admin(slot::Fd(::fcntl(kept.value()[0].get(), F_DUPFD_CLOEXEC, 0)), "a", FuzzedNode::kSlots,
                        FuzzedNode::kSessions, std::uint64_t{2} << 20U);
    const auto overwrite = [&](auto& row) {
      auto* const bytes = reinterpret_cast<std::uint8_t*>(&row);
      const std::size_t at = input_.number<std::uint16_t>() % sizeof row;
      for (std::size_t i = 1 + input_.below(8); i > 0 && at + i <= sizeof row; --i) bytes[at + i - 1] = input_.byte();
    };
    switch (input_.below(4)) {
      case 0:
        return overwrite(admin.rows()[input_.below(FuzzedNode::kSlots)]);
      case 1:
        return overwrite(admin.sessions()[input_.below(FuzzedNode::kSessions)]);
      default:
        return overwrite(admin.slots()[input_.below(FuzzedNode::kSlots)]);
    }
  }

  Input& input_;
  FuzzedNode node_;
  std::vector<std::unique_ptr<HostileProcess>> processes_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  switch (input.below(4)) {
    case 0:
      attack_keeper(input);
      break;
    case 1:
      attack_slotwired(input);
      break;
    default:
      Restart(input).run();
  }
  return 0;
}
