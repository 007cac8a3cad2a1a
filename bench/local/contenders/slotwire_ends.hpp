// What the contenders that are Slotwire have in common: a context and one connection within the node.
#pragma once
#include <optional>
#include <stdexcept>
#include <string>

#include "contender.hpp"
#include "slotwire.hpp"

namespace slotwire::bench {

template <typename T>
T must(Result<T> result, const char* what) {
  if (!result) throw std::runtime_error(std::string(what) + ": " + result.error().text);
  return *std::move(result);
}
inline void must(const Result<void>& result, const char* what) {
  if (!result) throw std::runtime_error(std::string(what) + ": " + result.error().text);
}

/// One end of a direct pair: the server side serves a name, the client side connects to it.
class SlotwireLink {
 public:
  explicit SlotwireLink(const Setup& setup)
      : context_(must(Context::open(options_of(setup)), "cannot open a session with slotwired")) {
    using namespace std::chrono_literals;
    const std::string service = "bench-" + std::to_string(setup.job().number);
    if (setup.role == Role::server) {
      service_.emplace(must(context_.serve(service), "cannot serve"));
      setup.bound();
      connection_.emplace(must(service_->accept(20s), "no connection came"));
    } else {
      ConnectOptions rings;
      rings.in_bytes = rings.out_bytes = ring_bytes(setup);
      connection_.emplace(must(context_.connect(service, 20s, rings), "cannot connect"));
    }
    if (!must(connection_->peer(), "no peer").direct) throw std::runtime_error("the pair is not direct");
  }
  Connection& connection() { return *connection_; }

 private:
  static ContextOptions options_of(const Setup& setup) {
    using namespace std::chrono_literals;
    ContextOptions options;
    options.socket = setup.job().endpoint;
    options.name = "bench_local";
    // Spinning sides never sleep; the others give up looking at once.
    options.spin = setup.spins() ? 1'000'000us : 1us;
    options.yield = 1us;
    return options;
  }
  /// The node's default for round trips of short messages; the largest where more is under way.
  static std::uint32_t ring_bytes(const Setup& setup) {
    constexpr std::size_t kShort = 4096;
    constexpr std::uint32_t kLargest = 2 << 20;
    const Kind kind = setup.job().kind;
    const bool round_trips = kind == Kind::round_trip || kind == Kind::open_round_trip;
    return round_trips && setup.size() <= kShort ? 0 : kLargest;
  }
  Context context_;
  std::optional<Service> service_;
  std::optional<Connection> connection_;
};

}  // namespace slotwire::bench
