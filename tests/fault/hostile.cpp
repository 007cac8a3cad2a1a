// A hostile process. By kind:
//
//   marks    gets slots like any other, then writes random values into everything it may write to, changes the flags
//   and
//            the state of every descriptor that it shares, punches holes into its memory, passes descriptors that
//            nobody asked for, and ends without goodbye
//   killed   the same, and is killed at whatever it does then
//   deaf     asks and does not read the answers
//   greedy   takes all sessions, slots and memory that it gets
//   churn    connects and closes as fast as it can
//   comings  comes and goes as fast as it can
//   silent   says nothing on as many connections as it gets
//   lists    asks for lists, and sends garbage, as fast as it can
//   all      every kind in turn
//   spin     only burns a processor: what to compare with
//
//   fault_hostile SOCKET SEED SECONDS KIND USER SERVICE...    connects to the services in turn
//
// As root it becomes USER first, since root may take everything.
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "cluster.hpp"
#include "core/slot/bell.hpp"
#include "core/slot/memory.hpp"
#include "core/slot/waiter.hpp"
#include "runtime/control/packet_socket.hpp"

namespace {

using nlohmann::json;
using namespace slotwire;

/// A TCP socket whose close() waits for a second: nobody takes what was sent over it. None: the machine has no room.
slot::Fd lingering_socket() {
  static const slot::Fd listener = [] {
    slot::Fd made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    ::listen(made.get(), 4096);
    return made;
  }();
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
  slot::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 && errno != EINPROGRESS)
    return {};
  const std::array<char, 65536> data{};
  while (::send(socket.get(), data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
  }
  const linger second{1, 1};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &second, sizeof second);
  return socket;
}

class Hostile {
 public:
  Hostile(std::string path, std::uint64_t seed) : path_(std::move(path)), random_(seed) {}

  /// One life: a session, a few slots, random writes for a while, an end without goodbye.
  void marks(const std::vector<std::string>& services, std::int64_t until_ms) {
    slot::Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return;
    control::PacketSocket socket(std::move(fd), std::size_t{1} << 18, 4);
    std::vector<slot::Fd> fds;
    json answer = ask(socket, {{"op", "hello"}, {"version", 2}, {"name", "hostile"}}, fds);
    if (!answer.contains("ok") || fds.size() != 3) return;
    const slot::Mapping bells = slot::map_file(fds[0].get(), regs::kPageBytes, slot::Access::read_write);
    const slot::Fd kick = std::move(fds[2]);
    std::vector<slot::Space> spaces;
    std::vector<slot::Fd> wakes, files;
    for (const std::string& service : services) {
      answer = ask(socket, {{"op", "connect"}, {"service", service}, {"timeout_ms", 2000}}, fds);
      if (!answer.contains("ok") || fds.size() < 3) continue;
      spaces.emplace_back(fds[0].get(), answer["in_order"].get<unsigned>(), slot::Access::read_write);
      ++slots;
      for (std::size_t i = 2; i < fds.size(); ++i) wakes.push_back(std::move(fds[i]));
      // The other space is handed out read-only: mapping it writable must fail.
      bool refused = false;
      try {
        const slot::Space other(fds[1].get(), answer["out_order"].get<unsigned>(), slot::Access::read_write);
      } catch (const std::system_error&) {
        refused = true;
      }
      if (!refused) ++writable_proxy_pages;
      files.push_back(std::move(fds[0]));
    }
    if (spaces.empty()) return;
    const std::vector<slot::Fd>* const shared[] = {&wakes, &files};
    // Now and then everything at full speed, now and then gently enough that a slot lives longer.
    const std::int64_t end =
        std::min<std::int64_t>(until_ms, fault::now_ms() + static_cast<std::int64_t>(random_() % 60));
    while (fault::now_ms() < end) {
      for (int i = 0; i < 200; ++i) act(spaces[random_() % spaces.size()], bells, kick, wakes);
      for (const auto* fds : shared) misuse((*fds)[random_() % fds->size()].get());
      misuse(kick.get());
      if (random_() % 8 == 0) garble(socket);
      if (random_() % 16 == 0) {
        slot::Fd passed = lingering_socket();
        if (passed) socket.send(R"({"op":"status","id":1})", {passed.get()});
        std::thread([closes = std::move(passed)] {}).detach();  // waits for it where it is the last one
      }
      control::Packet packet;
      while (socket.receive(packet) == control::PacketSocket::Got::packet) {
        const json event = json::parse(packet.text, nullptr, false);
        if (event.is_object() && event.value("reason", std::string()) == "fault") ++faults;
      }
    }
    ++lives;
  }

  /// Attacks on the control socket: what a process can take, ask for or leave unread there. Each lasts 100 ms at most.

  /// Asks and does not read.
  void deaf(const std::vector<std::string>& services, std::int64_t until_ms) {
    const Attack attack(*this, until_ms);
    const json request = connect_to(services);
    control::PacketSocket socket = join();
    while (attack.goes_on() && socket.send(json{{"op", "status"}, {"id", 1}}.dump())) socket.send(request.dump());
  }
  /// Takes all sessions, and all slots and memory of each.
  void greedy(const std::vector<std::string>& services, std::int64_t until_ms) {
    const Attack attack(*this, until_ms);
    json ring = connect_to(services);
    ring["in_bytes"] = 1 << (12 + (random_() % 10));
    std::vector<control::PacketSocket> sessions;
    std::vector<slot::Fd> fds;
    while (attack.goes_on()) {
      sessions.push_back(join());
      for (int i = 0; i < 8 && attack.goes_on(); ++i) {
        if (const json answer = ask(sessions.back(), ring, fds); answer.contains("error")) ++refusals;
      }
    }
  }
  /// Connects and closes, as fast as it can.
  void churn(const std::vector<std::string>& services, std::int64_t until_ms) {
    const Attack attack(*this, until_ms);
    const json request = connect_to(services);
    control::PacketSocket socket = join();
    std::vector<slot::Fd> fds;
    while (attack.goes_on()) {
      const json answer = ask(socket, request, fds);
      if (!answer.contains("local")) break;
      ask(socket, {{"op", "close"}, {"local", answer["local"]}}, fds);
    }
  }
  /// Comes and goes.
  void comings(const std::vector<std::string>& /*services*/, std::int64_t until_ms) {
    const Attack attack(*this, until_ms);
    while (attack.goes_on()) {
      control::PacketSocket socket = join();
      if (random_() % 2 == 0) socket.send(R"({"op":"bye"})");
    }
  }
  /// Says nothing.
  void silent(const std::vector<std::string>& /*services*/, std::int64_t until_ms) {
    const Attack attack(*this, until_ms);
    std::vector<slot::Fd> held;
    for (int i = 0; i < 100; ++i) held.push_back(reach());
    while (attack.goes_on()) {
    }
  }
  /// Lists and garbage.
  void lists(const std::vector<std::string>& /*services*/, std::int64_t until_ms) {
    const Attack attack(*this, until_ms);
    control::PacketSocket socket = join();
    while (attack.goes_on()) {
      if (!socket.send(json{{"op", "slots"}, {"id", 1}, {"from", 0}, {"max", 128}}.dump())) break;
      garble(socket);
      control::Packet packet;
      while (socket.receive(packet) == control::PacketSocket::Got::packet) {
      }
    }
  }

  /// A life in a process of its own that is killed at whatever it does then.
  void killed(const std::vector<std::string>& services, std::int64_t until_ms) {
    const auto wait_ms = static_cast<int>(random_() % 40);
    const pid_t child = ::fork();
    if (child == 0) {
      random_.seed(static_cast<std::uint64_t>(::getpid()));
      while (true) marks(services, until_ms + 60'000);
    }
    if (child < 0) return;
    ::poll(nullptr, 0, wait_ms);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ++kills;
  }

  std::uint64_t attacks = 0, refusals = 0, kills = 0;
  std::uint64_t lives = 0, faults = 0, writes = 0, slots = 0, writable_proxy_pages = 0, resized = 0;

 private:
  /// One attack on the control socket, counted, and its time.
  class Attack {
   public:
    Attack(Hostile& hostile, std::int64_t until_ms) : end_(std::min<std::int64_t>(until_ms, fault::now_ms() + 100)) {
      ++hostile.attacks;
    }
    bool goes_on() const { return fault::now_ms() < end_; }

   private:
    std::int64_t end_;
  };

  json connect_to(const std::vector<std::string>& services) {
    return {{"op", "connect"}, {"id", 7}, {"service", services[random_() % services.size()]}, {"timeout_ms", 500}};
  }

  slot::Fd reach() {
    slot::Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    static_cast<void>(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address));
    return fd;
  }

  /// A control socket that has said hello.
  control::PacketSocket join() {
    control::PacketSocket socket(reach(), std::size_t{1} << 18, 4);
    std::vector<slot::Fd> fds;
    ask(socket, {{"op", "hello"}, {"version", 2}, {"name", "hostile"}}, fds);
    return socket;
  }

  json ask(control::PacketSocket& socket, json request, std::vector<slot::Fd>& fds) {
    request["id"] = ++id_;
    if (!socket.send(request.dump())) return json::object();
    while (true) {
      pollfd wait{socket.fd(), POLLIN, 0};
      if (::poll(&wait, 1, 5000) != 1) return json::object();
      control::Packet packet;
      if (socket.receive(packet) != control::PacketSocket::Got::packet) return json::object();
      json message = json::parse(packet.text, nullptr, false);
      if (!message.is_object() || message.value("id", 0U) != id_) continue;
      fds = std::move(packet.fds);
      return message;
    }
  }

  std::uint32_t value() {
    switch (random_() % 4) {
      case 0:
        return static_cast<std::uint32_t>(random_());
      case 1:
        return static_cast<std::uint32_t>(random_() % 4096);
      case 2:
        return static_cast<std::uint32_t>(0 - (random_() % 4096));
      default:
        return static_cast<std::uint32_t>(random_() % 8);
    }
  }

  void act(const slot::Space& space, const slot::Mapping& bells, const slot::Fd& kick,
           const std::vector<slot::Fd>& wakes) {
    ++writes;
    slot::MarkPage& marks = space.marks();
    switch (random_() % 9) {
      case 0:
        if (random_() % 16 == 0) marks.tail.store(value());
        break;
      case 1:
        if (random_() % 16 == 0) marks.head.store(value());
        break;
      case 2:
        marks.wait.store(value());
        break;
      case 3:  // a small step forward: what an honest process would do, with garbage in the lines
        marks.tail.fetch_add(static_cast<std::uint32_t>(random_() % 3));
        break;
      case 4: {
        auto& page = *reinterpret_cast<slot::BellPage*>(bells.data());
        page.words[random_() % regs::kBellWordCount].store(random_());
        page.summary.store(random_());
        break;
      }
      case 5:
        reinterpret_cast<std::uint64_t*>(bells.data())[random_() % (regs::kPageBytes / 8)] = random_();
        break;
      case 6:
        slot::signal_event(kick.get());
        break;
      case 7:
        slot::signal_event(wakes[random_() % wakes.size()].get());
        break;
      default: {
        auto* words = reinterpret_cast<std::uint64_t*>(space.ring());
        const std::size_t count = std::size_t{space.lines()} * regs::kLineBytes / 8;
        for (int i = 0; i < 64; ++i) words[random_() % count] = random_();
        break;
      }
    }
  }

  /// What can be done to a descriptor whatever it is. None of it blocks.
  void misuse(int fd) {
    switch (random_() % 4) {
      case 0:
        ::fcntl(fd, F_SETFL, random_() % 2 == 0 ? 0 : O_NONBLOCK);
        break;
      case 1: {
        const itimerspec timer{{0, static_cast<long>(random_() % 100'000)},
                               {0, static_cast<long>(random_() % 100'000)}};
        ::timerfd_settime(fd, 0, &timer, nullptr);
        break;
      }
      case 2:
        if (::ftruncate(fd, static_cast<off_t>(random_() % 2)) == 0) ++resized;
        break;
      default:
        if (random_() % 16 != 0) break;
        ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(random_() % 4) * 4096, 8192);
    }
  }

  void garble(control::PacketSocket& socket) {
    std::string text;
    switch (random_() % 4) {
      case 0:
        for (std::size_t i = random_() % 300; i-- > 0;) text += static_cast<char>(random_());
        break;
      case 1:
        text = json{{"op", "close"}, {"id", 1}, {"local", random_()}}.dump();
        break;
      case 2:
        text = std::string(1 + (random_() % 5000), '[');
        break;
      default:
        text = json{{"op", "connect"}, {"id", "x"}, {"service", std::string(random_() % 200, 'a')}}.dump();
    }
    if (!text.empty()) socket.send(text);
  }

  std::string path_;
  std::mt19937_64 random_;
  unsigned id_ = 0;
};

struct Kind {
  std::string_view name;
  void (Hostile::*attack)(const std::vector<std::string>&, std::int64_t);
};
constexpr std::array<Kind, 8> kKinds = {{{"marks", &Hostile::marks},
                                         {"killed", &Hostile::killed},
                                         {"deaf", &Hostile::deaf},
                                         {"greedy", &Hostile::greedy},
                                         {"churn", &Hostile::churn},
                                         {"comings", &Hostile::comings},
                                         {"silent", &Hostile::silent},
                                         {"lists", &Hostile::lists}}};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) return 2;
  const auto seed = static_cast<std::uint64_t>(std::atoll(argv[2]));
  Hostile hostile(argv[1], seed);
  const std::int64_t until = fault::now_ms() + (std::atoll(argv[3]) * 1000);
  const std::string kind = argv[4];
  if (kind == "spin") {
    while (fault::now_ms() < until) {
    }
    return 0;
  }
  const auto user = static_cast<uid_t>(std::atoll(argv[5]));
  const std::vector<std::string> services(argv + 6, argv + argc);
  // As root nothing would be refused.
  if (::geteuid() == 0 && ::setresuid(user, user, user) != 0) return 2;
  bool known = false;
  for (std::size_t turn = seed; fault::now_ms() < until; ++turn) {
    const Kind& next = kKinds[turn % kKinds.size()];
    if (kind != "all" && kind != next.name) continue;
    known = true;
    (hostile.*next.attack)(services, until);
  }
  if (!known) return 2;
  std::printf("user %u, %s: %lu attacks on the control socket, %lu refusals, %lu times killed\n", user, kind.c_str(),
              hostile.attacks, hostile.refusals, hostile.kills);
  std::printf("user %u, %s: %lu lives, %lu slots, %lu random writes, %lu of its slots were faulted\n", user,
              kind.c_str(), hostile.lives, hostile.slots, hostile.writes, hostile.faults);
  if (hostile.writable_proxy_pages != 0)
    std::printf("hostile: %lu proxy pages could be mapped writable\n", hostile.writable_proxy_pages);
  if (hostile.resized != 0) std::printf("hostile: %lu times a file could be resized\n", hostile.resized);
  return hostile.writable_proxy_pages != 0 || hostile.resized != 0 ? 1 : 0;
}
