// The server's loops: it echoes what comes, or takes it.
#pragma once
#include <cstdint>
#include <vector>

#include "end.hpp"
#include "message.hpp"

namespace slotwire::bench {

template <typename End>
class ServerSide {
 public:
  ServerSide(End& end, const Setup& setup)
      : end_(end), setup_(setup), clock_(setup.job().clock), checker_(setup), answer_(setup.size()) {}

  void run() {
    switch (setup_.job().kind) {
      case Kind::round_trip:
      case Kind::open_round_trip:
      case Kind::loan:
      case Kind::pass:
        echo();
        break;
      case Kind::one_way:
      case Kind::one_way_batch:
      case Kind::open_one_way:
      case Kind::publish:
        if constexpr (HasMessages<End>) take();
        break;
    }
    setup_.board.delivered.fetch_add(checker_.count());
    setup_.board.ended.store(clock_.now());
    count_up(setup_.board.done);
  }

 private:
  /// An answer with the request's contents. Where contents count, they are written anew: a server that only passed them
  /// on would do half of the work.
  Bytes answer_to(Bytes message, std::span<std::byte> into) {
    const Kind kind = setup_.job().kind;
    Header header{};
    std::memcpy(&header, message.data(), sizeof header);
    if (kind == Kind::loan || setup_.job().verify != 0) fill_contents(into, header.sequence & ~kFlags);
    if (setup_.lulls()) header.time = lull(clock_);
    write_header(into, header);
    return into;
  }

  void echo() {
    const Kind kind = setup_.job().kind;
    const bool anew = kind == Kind::loan || setup_.lulls();
    bool last = false;
    const auto check = [&](Bytes message) {
      last = checker_.take(message);
      if (kind != Kind::pass) read_lines(message);
    };
    while (!last) {
      if constexpr (HasCalls<End>) {
        end_.answer([&](Bytes message) {
          check(message);
          return anew ? answer_to(message, answer_.first(setup_.size())) : message;
        });
      } else {
        end_.receive([&](Bytes message) {
          check(message);
          if constexpr (HasLoans<End>) {
            if (kind == Kind::loan || kind == Kind::pass) {
              end_.send_loan(setup_.size(), [&](std::span<std::byte> room) { answer_to(message, room); });
              return;
            }
          }
          end_.send(anew ? answer_to(message, answer_.first(setup_.size())) : message);
        });
      }
    }
    if constexpr (requires { end_.flush(); }) end_.flush();
  }

  void take() {
    const Kind kind = setup_.job().kind;
    std::atomic<std::uint64_t>& seen = setup_.board.progress[setup_.index].seen;
    bool last = false;
    std::size_t series = 0;
    std::vector<std::uint64_t> delays;
    const auto on_message = [&](Bytes message) {
      Header header{};
      if (kind == Kind::publish && checker_.count() == 1 && number_of(message) == 1) return;  // sent again
      last = checker_.take(message, &header);
      read_lines(message);
      if (kind == Kind::open_one_way) {
        const std::size_t now_in = last ? kLoads.size() + 1 : series_of(header);
        if (now_in != series) {
          summarise_series(series, delays);
          series = now_in;
        }
        const std::uint64_t now = clock_.now();
        delays.push_back(now > header.time ? now - header.time : 0);
      }
      seen.store(checker_.count(), std::memory_order_release);
    };
    delays.reserve(kind == Kind::open_one_way ? std::size_t{1} << 24 : 0);
    while (!last) {
      if constexpr (requires { end_.receive_some(on_message); }) {
        end_.receive_some(on_message);
      } else {
        end_.receive(on_message);
      }
    }
  }
  static std::uint64_t number_of(Bytes message) {
    Header header{};
    std::memcpy(&header, message.data(), sizeof header);
    return header.sequence & ~kFlags;
  }
  void summarise_series(std::size_t series, std::vector<std::uint64_t>& delays) {
    if (series >= 1 && series <= kLoads.size()) {
      const Figures figures = summarise(delays, clock_);
      setup_.board.open[series - 1].p50 = figures.p50;
      setup_.board.open[series - 1].p99 = figures.p99;
    }
    delays.clear();
  }

  End& end_;
  const Setup& setup_;
  const Clock clock_;
  Checker checker_;
  Buffer answer_;
};

}  // namespace slotwire::bench
