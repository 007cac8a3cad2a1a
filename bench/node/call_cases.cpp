#include "call_cases.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <deque>
#include <memory>
#include <stdexcept>
#include <unordered_map>

#include "cluster.hpp"
#include "core/slot/memory.hpp"
#include "slotwire.h"

namespace slotwire::bench {
namespace {

constexpr std::size_t kCallBytes = 64;
constexpr std::size_t kWarmCalls = 64;  ///< of each caller, before the clock starts
constexpr int kWaitMs = 30'000;

double clock_us(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return (static_cast<double>(now.tv_sec) * 1e6) + (static_cast<double>(now.tv_nsec) / 1e3);
}

/// Processor time of another process.
double cpu_us_of(pid_t pid) {
  clockid_t clock = 0;
  if (::clock_getcpuclockid(pid, &clock) != 0) throw std::runtime_error("a process of the benchmark has ended");
  return clock_us(clock);
}

/// What one caller can do: `start(n)` begins call number n, `finish()` waits for answers and reports each by `done(n)`.
class CallEnd {
 public:
  virtual ~CallEnd() = default;
  virtual void start(std::size_t number) = 0;
  virtual void finish(const std::function<void(std::size_t)>& done) = 0;
};

class SlotEnd final : public CallEnd {
 public:
  explicit SlotEnd(const CallNodes& nodes) {
    sw_options options;
    SW_INIT(options);
    options.socket = nodes.socket.c_str();
    check(sw_open(&options, &context_));
    sw_connect_options rings;
    SW_INIT(rings);
    check(sw_connect(context_, nodes.service.c_str(), &rings, kWaitMs, &connection_));
  }
  ~SlotEnd() override { sw_close(context_); }
  void start(std::size_t number) override {
    std::uint32_t id = 0;
    check(sw_start_call(connection_, 1, data_.data(), data_.size(), kWaitMs, &id));
    calls_[id] = number;
  }
  void finish(const std::function<void(std::size_t)>& done) override {
    for (sw_timeout_ms timeout = kWaitMs;; timeout = 0) {
      sw_message message;
      SW_INIT(message);
      const int status = sw_receive(connection_, timeout, &message);
      if (status == SW_AGAIN) return;
      check(status);
      const auto call = calls_.find(message.id);
      if (message.kind != SW_REPLY || call == calls_.end()) throw std::runtime_error("an answer to no call");
      const std::size_t number = call->second;
      calls_.erase(call);
      sw_release(connection_, &message);
      done(number);
    }
  }

 private:
  static void check(int status) {
    if (status != SW_OK) throw std::runtime_error(std::string(sw_status_name(status)) + ": " + sw_last_error());
  }
  sw_context* context_ = nullptr;
  sw_connection* connection_ = nullptr;
  std::unordered_map<std::uint32_t, std::size_t> calls_;
  std::array<std::byte, kCallBytes> data_{};
};

/// Sends everything or ends the process: a peer that is gone ends the benchmark elsewhere.
void send_all(int fd, const char* data, std::size_t size) {
  while (size != 0) {
    const ssize_t n = ::send(fd, data, size, MSG_NOSIGNAL);
    if (n <= 0) ::_exit(1);
    data += n;
    size -= static_cast<std::size_t>(n);
  }
}

class TcpEnd final : public CallEnd {
 public:
  TcpEnd(const sockaddr_in& server, Sending sending)
      : sending_(sending), fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int one = 1;
    ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&server), sizeof server) != 0)
      throw std::runtime_error("no bare connection");
  }
  // Answers come in the order of the requests.
  void start(std::size_t number) override {
    under_way_.push_back(number);
    if (sending_ == Sending::each) return send_all(fd_.get(), buffer_.data(), kCallBytes);
    unsent_ += kCallBytes;
  }
  void finish(const std::function<void(std::size_t)>& done) override {
    send_all(fd_.get(), buffer_.data(), std::exchange(unsent_, 0));
    do {
      const ssize_t n = ::recv(fd_.get(), received_.data(), received_.size(), 0);
      if (n <= 0) throw std::runtime_error("the bare server ended");
      got_ += static_cast<std::size_t>(n);
    } while (got_ < kCallBytes);
    for (; got_ >= kCallBytes; got_ -= kCallBytes) {
      const std::size_t number = under_way_.front();
      under_way_.pop_front();
      done(number);
    }
  }

 private:
  Sending sending_;
  slot::Fd fd_;
  std::deque<std::size_t> under_way_;
  std::size_t unsent_ = 0, got_ = 0;
  std::array<char, 1 << 16> buffer_{}, received_{};
};

/// Echoes what arrives on every connection.
[[noreturn]] void serve_bare(int listener, Sending sending) {
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  const auto watch = [&](int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  };
  watch(listener);
  std::array<char, 1 << 16> buffer{};
  while (true) {
    std::array<epoll_event, 64> events{};
    const int n = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < n; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == listener) {
        const int connected = ::accept(listener, nullptr, nullptr);
        const int one = 1;
        ::setsockopt(connected, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watch(connected);
        continue;
      }
      const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
      if (got <= 0) ::close(fd);
      const std::size_t size = got <= 0 ? 0 : static_cast<std::size_t>(got);
      const std::size_t step = sending == Sending::each ? kCallBytes : size;
      for (std::size_t at = 0; at < size; at += step) send_all(fd, buffer.data() + at, std::min(step, size - at));
    }
  }
}

/// Memory that the callers share with the benchmark.
struct Board {
  std::size_t calls_each;
  double* latencies;  ///< microseconds, `calls_each` of each caller
  double* cpu_us;     ///< of each caller, between the start and its end

  Board(std::size_t callers, std::size_t calls) : calls_each(calls), callers_(callers) {
    void* const memory = ::mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("no memory for the callers' results");
    latencies = static_cast<double*>(memory);
    cpu_us = latencies + (callers * calls);
  }
  ~Board() { ::munmap(latencies, bytes()); }
  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;

 private:
  std::size_t bytes() const { return callers_ * (calls_each + 1) * sizeof(double); }
  std::size_t callers_;
};

/// Keeps `under_way` calls under way until `count` are answered.
void run_calls(CallEnd& end, std::size_t under_way, std::size_t count, double* latencies) {
  std::vector<double> begun(count);
  std::size_t started = 0, finished = 0;
  const auto start = [&] {
    begun[started] = clock_us(CLOCK_MONOTONIC);
    end.start(started++);
  };
  while (started < std::min(under_way, count)) start();
  while (finished < count) {
    end.finish([&](std::size_t number) {
      if (latencies != nullptr) latencies[number] = clock_us(CLOCK_MONOTONIC) - begun[number];
      ++finished;
      if (started < count) start();
    });
  }
}

/// A process of one caller: warms up, says so on `ready`, waits for the end of `go`, calls, says so again.
[[noreturn]] void be_caller(const std::function<std::unique_ptr<CallEnd>()>& connect, const CallShape& shape,
                            std::size_t index, const Board& board, int ready, int go) {
  try {
    const std::unique_ptr<CallEnd> end = connect();
    run_calls(*end, shape.under_way, std::max(kWarmCalls, shape.under_way), nullptr);
    char byte = 0;
    if (::write(ready, &byte, 1) != 1 || ::read(go, &byte, 1) != 0) ::_exit(1);
    const double cpu = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    run_calls(*end, shape.under_way, board.calls_each, board.latencies + (index * board.calls_each));
    board.cpu_us[index] = clock_us(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    ::_exit(::write(ready, &byte, 1) == 1 ? 0 : 1);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_node: caller %zu of %s: %s\n", index, shape.name.c_str(), error.what());
    ::_exit(1);
  }
}

/// The callers as processes. `ready` tells by a byte of each that it is where it should be.
class Callers {
 public:
  Callers(const CallShape& shape, const Board& board, const std::function<std::unique_ptr<CallEnd>()>& connect) {
    std::array<int, 2> ready{}, go{};
    if (::pipe2(ready.data(), O_CLOEXEC) != 0 || ::pipe2(go.data(), O_CLOEXEC) != 0)
      throw std::runtime_error("no pipe for the callers");
    for (std::size_t i = 0; i < shape.callers; ++i) {
      const pid_t child = ::fork();
      if (child == 0) {
        ::close(go[1]);
        be_caller(connect, shape, i, board, ready[1], go[0]);
      }
      children_.push_back(child);
    }
    ::close(ready[1]);
    ::close(go[0]);
    ready_ = slot::Fd(ready[0]);
    go_ = slot::Fd(go[1]);
  }
  ~Callers() {
    for (const pid_t child : children_) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
  }
  Callers(const Callers&) = delete;
  Callers& operator=(const Callers&) = delete;

  void wait_for_all() const {
    for (std::size_t i = 0; i < children_.size(); ++i) {
      char byte = 0;
      if (::read(ready_.get(), &byte, 1) != 1) throw std::runtime_error("the callers of a benchmark ended early");
    }
  }
  void go() { go_ = slot::Fd(); }

 private:
  std::vector<pid_t> children_;
  slot::Fd ready_, go_;
};

CallResult measure(const CallShape& shape, std::size_t calls, const std::vector<pid_t>& servers,
                   const std::vector<pid_t>& proxies, const std::function<std::unique_ptr<CallEnd>()>& connect) {
  const std::size_t each = std::max<std::size_t>(calls / shape.callers, 1);
  const Board board(shape.callers, each);
  Callers callers(shape, board, connect);
  callers.wait_for_all();
  const auto cpu_of = [](const std::vector<pid_t>& pids) {
    double sum = 0;
    for (const pid_t pid : pids) sum += cpu_us_of(pid);
    return sum;
  };
  const double servers_before = cpu_of(servers), proxies_before = cpu_of(proxies);
  const double begin = clock_us(CLOCK_MONOTONIC);
  callers.go();
  callers.wait_for_all();
  const double elapsed = clock_us(CLOCK_MONOTONIC) - begin;
  const double servers_us = cpu_of(servers) - servers_before, proxies_us = cpu_of(proxies) - proxies_before;
  double callers_us = 0;
  for (std::size_t i = 0; i < shape.callers; ++i) callers_us += board.cpu_us[i];
  const auto total = static_cast<double>(each * shape.callers);
  std::vector<double> us(board.latencies, board.latencies + (each * shape.callers));
  std::sort(us.begin(), us.end());
  return {.rate = total * 1e6 / elapsed,
          .p50 = us[us.size() / 2],
          .p99 = us[us.size() * 99 / 100],
          .cpu_us = (callers_us + servers_us + proxies_us) / total,
          .proxies_us = proxies_us / total};
}

}  // namespace

const std::vector<CallShape>& call_shapes() {
  static const std::vector<CallShape> shapes{{.name = "call-1"},
                                             {.name = "call-16", .callers = 16},
                                             {.name = "call-64", .callers = 64},
                                             {.name = "under-way-64", .under_way = 64}};
  return shapes;
}

CallResult measure_calls(const CallShape& shape, std::size_t calls, const CallNodes& nodes) {
  return measure(shape, calls, {nodes.server}, nodes.proxies, [&] { return std::make_unique<SlotEnd>(nodes); });
}

CallResult measure_bare_calls(const CallShape& shape, std::size_t calls, Sending sending) {
  const slot::Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0 ||
      ::listen(listener.get(), 256) != 0) {
    throw std::runtime_error("no bare listener");
  }
  const pid_t server = ::fork();
  if (server == 0) serve_bare(listener.get(), sending);
  const std::unique_ptr<const pid_t, void (*)(const pid_t*)> guard(&server, [](const pid_t* pid) {
    ::kill(*pid, SIGKILL);
    ::waitpid(*pid, nullptr, 0);
  });
  return measure(shape, calls, {server}, {}, [&] { return std::make_unique<TcpEnd>(address, sending); });
}

}  // namespace slotwire::bench
