// What four processes need at least for what Slotwire does between two nodes: two ends that share memory with a process
// each that passes on what lies there, by UDP, without order, loss, limits or any check. The floor on this machine.
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <system_error>

#include "bare.hpp"
#include "contender.hpp"

namespace slotwire::bench {
namespace {

constexpr std::size_t kCallers = 64, kPeers = 4;
/// Bytes of the ring between an end and its relay, and of a datagram.
constexpr std::size_t kRing = std::size_t{1} << 20, kPiece = std::size_t{1} << 15;
/// How long a relay that stays awake yields before it sleeps.
constexpr double kAwakeUs = 2000;

/// Who reads waits here; who wrote wakes it.
struct Bell {
  std::atomic<std::uint32_t> asleep{0};
  int event = -1;
};

void wake(Bell& bell) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (bell.asleep.load(std::memory_order_relaxed) != 0 && bell.asleep.exchange(0) != 0) ::eventfd_write(bell.event, 1);
}

/// One wait after another, until `ready` says that there is something. `socket`: ends a sleep, too; -1: there is none.
template <class Ready>
void wait(Bell& bell, int socket, double awake_us, const Ready& ready) {
  if (ready()) return;
  for (const double begin = clock_us(CLOCK_MONOTONIC); awake_us > 0 && clock_us(CLOCK_MONOTONIC) - begin < awake_us;) {
    ::sched_yield();
    if (ready()) return;
  }
  while (true) {
    bell.asleep.store(1, std::memory_order_seq_cst);
    if (ready()) break;
    std::array<pollfd, 2> fds{{{bell.event, POLLIN, 0}, {socket, POLLIN, 0}}};
    ::poll(fds.data(), fds.size(), -1);
    if (fds[0].revents != 0) {
      eventfd_t count = 0;
      ::eventfd_read(bell.event, &count);
    }
    if (ready()) break;
  }
  bell.asleep.store(0, std::memory_order_relaxed);
}

using Call = std::array<std::byte, kCallBytes>;

/// Calls in one direction between an end and its relay: a place for each caller and a bit that says that it is full.
struct Box {
  std::array<Call, kCallers> places{};
  alignas(64) std::atomic<std::uint64_t> full{0};
};

/// A ring of bytes between an end and its relay. A piece does not wrap.
struct Ring {
  alignas(64) std::atomic<std::uint64_t> tail{0};
  alignas(64) std::atomic<std::uint64_t> head{0};
  alignas(64) std::array<std::byte, kRing> bytes{};
  std::byte* at(std::uint64_t position) { return bytes.data() + (position % kRing); }
};

/// The memory of one node's end and its relay.
struct Side {
  Box to_relay, to_end;
  Ring ring;
  Bell relay, end;
  std::array<Bell, kCallers> callers;
};

struct Datagram {
  std::uint32_t caller = 0, peer = 0;
  Call call{};
};

/// All that the processes share, made before they are forked.
class Relays {
 public:
  explicit Relays(double awake_us) : awake_us_(awake_us), sides_(kPeers + 1), peer_of_(kCallers), callers_(1) {
    for (std::size_t i = 0; i <= kPeers; ++i) {
      open_bell(sides_[i].relay);
      open_bell(sides_[i].end);
      sockets_.push_back(bare_listener(SOCK_DGRAM));
      const int size = 8 << 20;
      ::setsockopt(sockets_.back().get(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
      ::fcntl(sockets_.back().get(), F_SETFL, O_NONBLOCK);
      sockaddr_in& address = addresses_.at(i);
      socklen_t length = sizeof address;
      ::getsockname(sockets_.back().get(), reinterpret_cast<sockaddr*>(&address), &length);
    }
    for (Bell& bell : sides_[0].callers) open_bell(bell);
    for (std::size_t i = 0; i <= kPeers; ++i)
      parts_.push_back(std::make_unique<Part>("a relay", [this, i](const Ready&) { relay(i); }));
  }

  std::vector<pid_t> pids() const {
    std::vector<pid_t> pids;
    for (const auto& part : parts_) pids.push_back(part->pid());
    return pids;
  }

  /// Answers each request with its own bytes.
  void serve(const Ready& ready, std::size_t peer) {
    if (peer == 0) callers_[0] = 0;
    Side& side = sides_[peer + 1];
    ready(std::to_string(peer));
    while (true) {
      wait(side.end, -1, awake_us_, [&] { return side.to_end.full.load(std::memory_order_acquire) != 0; });
      for (std::uint64_t full = side.to_end.full.exchange(0); full != 0; full &= full - 1) {
        const auto caller = static_cast<std::size_t>(std::countr_zero(full));
        side.to_relay.places.at(caller) = side.to_end.places.at(caller);
        side.to_relay.full.fetch_or(std::uint64_t{1} << caller);
      }
      wake(side.relay);
    }
  }
  std::size_t add_caller(std::size_t peer) {
    const std::size_t caller = callers_[0]++ % kCallers;
    sides_[0].to_end.full.fetch_and(~(std::uint64_t{1} << caller));
    peer_of_[caller] = peer;
    return caller;
  }
  void start(std::size_t caller) {
    sides_[0].to_relay.places.at(caller).fill(std::byte{0x5a});
    sides_[0].to_relay.full.fetch_or(std::uint64_t{1} << caller);
    wake(sides_[0].relay);
  }
  void finish(std::size_t caller) {
    const std::uint64_t bit = std::uint64_t{1} << caller;
    Box& box = sides_[0].to_end;
    wait(sides_[0].callers.at(caller), -1, awake_us_,
         [&] { return (box.full.load(std::memory_order_acquire) & bit) != 0; });
    box.full.fetch_and(~bit);
  }

  /// The sender's end of the stream to peer 0.
  void write(Bytes message) {
    Ring& ring = sides_[0].ring;
    while (!message.empty()) {
      const std::uint64_t tail = ring.tail.load(std::memory_order_relaxed);
      wait(sides_[0].end, -1, awake_us_,
           [&] { return tail - ring.head.load(std::memory_order_acquire) + kPiece <= kRing; });
      const std::size_t n = std::min(kPiece, message.size());
      std::memcpy(ring.at(tail), message.data(), n);
      ring.tail.store(tail + n, std::memory_order_release);
      message = message.subspan(n);
      wake(sides_[0].relay);
    }
  }
  /// Its receiver, which reads messages where they are. They are a whole number of pieces.
  void receive_all(const Ready& ready, Tally& tally) {
    Ring& ring = sides_[1].ring;
    ready("0");
    std::size_t have = 0;
    for (bool last = false; !last;) {
      const std::uint64_t head = ring.head.load(std::memory_order_relaxed);
      wait(sides_[1].end, -1, awake_us_, [&] { return ring.tail.load(std::memory_order_acquire) != head; });
      const std::uint64_t tail = ring.tail.load(std::memory_order_acquire);
      for (std::uint64_t at = head; at != tail; at += kPiece) read_lines({ring.at(at), kPiece});
      ring.head.store(tail, std::memory_order_release);
      have += tail - head;
      if (have >= tally.size()) last = tally.count(have / tally.size());
      have %= tally.size();
      wake(sides_[0].relay);  // shared by both nodes, which saves the datagram that gives the room back
    }
  }

 private:
  static void open_bell(Bell& bell) {
    bell.event = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (bell.event < 0) throw std::system_error(errno, std::generic_category(), "no eventfd for a relay");
  }

  void send(std::size_t from, std::size_t to, const void* data, std::size_t size) {
    ::sendto(sockets_.at(from).get(), data, size, 0, reinterpret_cast<const sockaddr*>(&addresses_.at(to)),
             sizeof(sockaddr_in));
  }

  /// Passes on until it is killed.
  void relay(std::size_t number) {
    Side& side = sides_[number];
    const int socket = sockets_.at(number).get();
    while (true) {
      bool any = false;
      wait(side.relay, socket, awake_us_, [&] { return any = pass_on(number, side, socket); });
    }
  }
  bool pass_on(std::size_t number, Side& side, int socket) {
    bool any = send_calls(number, side);
    if (number == 0) any = send_bytes(side) || any;
    for (bool more = true; more;) {
      // Bytes go straight to their place in the ring, calls are told from them by their size.
      Ring& ring = side.ring;
      const std::uint64_t tail = ring.tail.load(std::memory_order_relaxed);
      const ssize_t n = ::recv(socket, ring.at(tail), kPiece, MSG_DONTWAIT);
      more = n > 0;
      any = any || more;
      if (n == static_cast<ssize_t>(kPiece)) {
        ring.tail.store(tail + kPiece, std::memory_order_release);
        wake(side.end);
      } else if (n > 0) {
        take_calls(number, side, {ring.at(tail), static_cast<std::size_t>(n)});
      }
    }
    return any;
  }
  /// All that are there in one datagram for each peer.
  bool send_calls(std::size_t number, Side& side) {
    if (side.to_relay.full.load(std::memory_order_acquire) == 0) return false;
    std::array<std::array<Datagram, kCallers>, kPeers> out;
    std::array<std::size_t, kPeers> counts{};
    for (std::uint64_t full = side.to_relay.full.exchange(0); full != 0; full &= full - 1) {
      const auto caller = static_cast<std::uint32_t>(std::countr_zero(full));
      const std::size_t peer = peer_of_[caller];
      out.at(peer).at(counts.at(peer)++) = {caller, static_cast<std::uint32_t>(peer), side.to_relay.places.at(caller)};
    }
    for (std::size_t peer = 0; peer < kPeers; ++peer) {
      if (counts.at(peer) != 0)
        send(number, number == 0 ? peer + 1 : 0, out.at(peer).data(), counts.at(peer) * sizeof(Datagram));
    }
    return true;
  }
  void take_calls(std::size_t number, Side& side, Bytes bytes) {
    for (std::size_t at = 0; at + sizeof(Datagram) <= bytes.size(); at += sizeof(Datagram)) {
      Datagram datagram;
      std::memcpy(static_cast<void*>(&datagram), bytes.data() + at, sizeof datagram);
      const std::size_t caller = datagram.caller % kCallers;
      side.to_end.places.at(caller) = datagram.call;
      side.to_end.full.fetch_or(std::uint64_t{1} << caller);
      if (number == 0) wake(side.callers.at(caller));
    }
    if (number != 0) wake(side.end);
  }
  bool send_bytes(Side& side) {
    Ring& ring = side.ring;
    const std::uint64_t head = ring.head.load(std::memory_order_relaxed);
    const std::uint64_t room = sides_[1].ring.head.load(std::memory_order_acquire) + kRing;
    if (ring.tail.load(std::memory_order_acquire) == head || sent_ + kPiece > room) return false;
    send(0, 1, ring.at(head), kPiece);
    sent_ += kPiece;
    ring.head.store(head + kPiece, std::memory_order_release);
    wake(side.end);
    return true;
  }

  double awake_us_;
  SharedArray<Side> sides_;  ///< the caller's first
  SharedArray<std::size_t> peer_of_, callers_;
  std::vector<slot::Fd> sockets_;
  std::array<sockaddr_in, kPeers + 1> addresses_{};
  std::uint64_t sent_ = 0;  ///< bytes, in the first relay
  std::vector<std::unique_ptr<Part>> parts_;
};

class RelayedEnd final : public CallEnd {
 public:
  RelayedEnd(Relays& relays, std::size_t peer) : relays_(relays), caller_(relays.add_caller(peer)) {}
  void start(std::size_t number) override {
    number_ = number;
    relays_.start(caller_);
  }
  void finish(const std::function<void(std::size_t)>& done) override {
    relays_.finish(caller_);
    done(number_);
  }

 private:
  Relays& relays_;
  std::size_t caller_, number_ = 0;
};

class RelayedSource final : public Source {
 public:
  explicit RelayedSource(Relays& relays) : relays_(relays) {}
  void send(Bytes message) override { relays_.write(message); }

 private:
  Relays& relays_;
};

Contender make(const std::string& name, double awake_us) {
  const auto relays = std::make_shared<Relays>(awake_us);
  return {.name = name,
          .echo = [relays](const Ready& ready, std::size_t peer) { relays->serve(ready, peer); },
          .call = [relays](const std::string& peer) { return std::make_unique<RelayedEnd>(*relays, std::stoul(peer)); },
          .sink = [relays](const Ready& ready, Tally& tally) { relays->receive_all(ready, tally); },
          .source = [relays](const std::string&) { return std::make_unique<RelayedSource>(*relays); },
          .proxies = relays->pids(),
          .smallest = kPiece,
          .only_single = true};
}

}  // namespace

Contender relay_asleep() {
  return make("relay", 0);
}

Contender relay_awake() {
  return make("relay, awake", kAwakeUs);
}

}  // namespace slotwire::bench
