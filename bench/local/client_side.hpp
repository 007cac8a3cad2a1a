// The client's loops of every kind of measurement, over any contender's class.
#pragma once
#include <sched.h>

#include <cstdint>
#include <random>
#include <vector>

#include "end.hpp"
#include "message.hpp"

namespace slotwire::bench {

template <typename End>
class ClientSide {
 public:
  ClientSide(End& end, const Setup& setup)
      : end_(end),
        setup_(setup),
        clock_(setup.job().clock),
        buffer_(setup.size() * (setup.job().kind == Kind::one_way_batch ? kBatch : 1)),
        checker_(setup) {}

  void run() {
    switch (setup_.job().kind) {
      case Kind::round_trip:
      case Kind::loan:
      case Kind::pass:
        round_trips();
        exchange(kLast);
        break;
      case Kind::open_round_trip:
        round_trips();
        for (std::size_t i = 0; i < kLoads.size(); ++i) open_round_trips(i);
        exchange(kLast);
        break;
      case Kind::one_way:
      case Kind::one_way_batch:
        if constexpr (HasMessages<End>) one_way();
        break;
      case Kind::open_one_way:
        if constexpr (HasMessages<End>) open_one_way();
        break;
      case Kind::publish:
        if constexpr (HasMessages<End>) publish();
        break;
    }
  }

 private:
  static constexpr std::size_t kMaxSamples = std::size_t{1} << 20;
  static constexpr std::size_t kMinSamples = 500;
  static constexpr double kMaxDelay = 9;  ///< times the time of a measurement
  /// Messages before the timed part, and all that there are when contents are checked.
  std::uint64_t at_least() const { return setup_.size() > (std::size_t{64} << 10) ? 8 : 100; }

  bool verifying() const { return setup_.job().verify != 0; }
  std::uint64_t later(double milliseconds) const { return clock_.now() + clock_.ticks(milliseconds * 1e6); }
  double timed_ms() const { return verifying() ? 0.0 : setup_.job().milliseconds; }

  /// The time is over. Where other programs take the processor away for longer than that, it goes on for a while: the
  /// median is to be of more than a handful.
  bool enough(std::size_t samples, std::uint64_t now, std::uint64_t end) const {
    if (samples >= kMaxSamples || verifying()) return true;
    return now >= end && (samples >= kMinSamples || now >= end + clock_.ticks(timed_ms() * 1e6 * kMaxDelay));
  }

  /// The next message in the buffer.
  Bytes next(std::uint64_t flags, std::uint64_t time = 0) {
    const std::span<std::byte> message = buffer_.first(setup_.size());
    write(message, flags, time);
    return message;
  }
  void write(std::span<std::byte> into, std::uint64_t flags, std::uint64_t time = 0) {
    ++sequence_;
    if (verifying() || setup_.job().kind == Kind::loan) fill_contents(into, sequence_);
    write_header(into, {sequence_ | flags, time});
  }

  void exchange(std::uint64_t flags) {
    const auto check = [&](Bytes answer) {
      Header header{};
      checker_.take(answer, &header);
      answer_lull_ = header.time;
      if (setup_.job().kind != Kind::pass) read_lines(answer);
    };
    if constexpr (HasCalls<End>) {
      end_.call(next(flags), check);
    } else {
      const Kind kind = setup_.job().kind;
      if constexpr (HasLoans<End>) {
        if (kind == Kind::loan || kind == Kind::pass) {
          end_.send_loan(setup_.size(), [&](std::span<std::byte> room) { write(room, flags); });
          end_.receive(check);
          return;
        }
      }
      end_.send(next(flags));
      end_.receive(check);
    }
  }

  /// Warms up, then measures for the job's time.
  void round_trips() {
    const std::uint64_t warm = later(timed_ms() / 4);
    for (std::uint64_t i = 0; i < at_least() || clock_.now() < warm; ++i) exchange(0);
    std::vector<std::uint64_t> ticks;
    ticks.reserve(kMaxSamples);
    const bool lulls = setup_.lulls();
    const std::uint64_t switches = lulls ? voluntary_switches(setup_.board) : 0;
    const std::uint64_t cpu = cpu_ns(setup_.board);
    const std::uint64_t begin = clock_.now(), end = later(timed_ms());
    std::uint64_t last = begin;
    do {
      if (lulls) {
        lull(clock_);
        last = clock_.now();
      }
      exchange(0);
      const std::uint64_t now = clock_.now();
      ticks.push_back(now - last - (lulls ? answer_lull_ : 0));
      last = now;
    } while (!enough(ticks.size(), last, end));
    const auto count = static_cast<double>(ticks.size());
    Figures& figures = setup_.board.closed;
    const double spent = static_cast<double>(cpu_ns(setup_.board) - cpu);
    figures = summarise(ticks, clock_);
    figures.rate = count * 1e9 / clock_.ns(last - begin);
    figures.cpu_ns = spent / count;
    // Each round trip has two lulls, which are sleeps of their own.
    if (lulls) figures.sleeps = (static_cast<double>(voluntary_switches(setup_.board) - switches) / count) - 2;
  }

  /// Times of arrival with gaps that are exponentially distributed, as those of many independent users are. The same
  /// in every run.
  class Arrivals {
   public:
    Arrivals(const Clock& clock, double rate)
        : gap_(1e9 / rate / clock.ns_per_tick), at_(static_cast<double>(clock.now())) {}
    std::uint64_t next() {
      at_ += gap_ * exponential_(random_);
      return static_cast<std::uint64_t>(at_);
    }

   private:
    double gap_, at_;
    std::mt19937_64 random_{1};
    std::exponential_distribution<double> exponential_;
  };

  /// Times count from when a message was to be sent, so a slow answer is paid for by all that wait behind it.
  void open_round_trips(std::size_t load) {
    const double rate = setup_.board.closed.rate * kLoads[load];
    std::vector<std::uint64_t> ticks;
    ticks.reserve(kMaxSamples);
    Arrivals arrivals(clock_, rate);
    const std::uint64_t cpu = cpu_ns(setup_.board);
    const std::uint64_t begin = clock_.now(), end = later(timed_ms());
    std::uint64_t last = begin;
    do {
      const std::uint64_t due = arrivals.next();
      while (clock_.now() < due) pause_cpu();
      exchange(0);
      last = clock_.now();
      ticks.push_back(last - due);
    } while (!enough(ticks.size(), last, end));
    const auto count = static_cast<double>(ticks.size());
    const double spent = static_cast<double>(cpu_ns(setup_.board) - cpu);
    Figures& figures = setup_.board.open[load];
    figures = summarise(ticks, clock_);
    figures.rate = count * 1e9 / clock_.ns(last - begin);
    figures.cpu_ns = spent / count;
  }

  void flush() {
    if constexpr (requires { end_.flush(); }) end_.flush();
  }

  void send_one(std::uint64_t flags, std::uint64_t time) { end_.send(next(flags, time)); }

  void send_many(std::uint64_t flags) {
    for (std::size_t i = 0; i < kBatch; ++i)
      write({buffer_.data() + (i * setup_.size()), setup_.size()}, i + 1 == kBatch ? flags : 0);
    const Bytes all = buffer_.first(setup_.size() * kBatch);
    if constexpr (HasBatches<End>) {
      end_.send_batch(all, setup_.size());
    } else {
      for (std::size_t i = 0; i < kBatch; ++i) end_.send(all.subspan(i * setup_.size(), setup_.size()));
    }
  }

  void one_way() {
    const bool batch = setup_.job().kind == Kind::one_way_batch;
    const std::size_t step = batch ? kBatch : 1;
    const auto send = [&](std::uint64_t flags) { batch ? send_many(flags) : send_one(flags, 0); };
    constexpr std::uint64_t kLooks = 64;  // messages between two readings of the clock
    std::uint64_t stop = later(timed_ms() / 4);
    do {
      for (std::uint64_t i = 0; i < kLooks; i += step) send(0);
    } while (clock_.now() < stop);
    const std::uint64_t cpu = cpu_ns(setup_.board);
    const std::uint64_t delivered = setup_.board.progress[0].seen.load(std::memory_order_relaxed);
    const std::uint64_t begin = clock_.now();
    stop = later(timed_ms());
    do {
      for (std::uint64_t i = 0; i < kLooks; i += step) send(0);
    } while (clock_.now() < stop);
    send(kLast);
    flush();
    wait_until_at_least(setup_.board.done, 1);
    const auto count = static_cast<double>(sequence_ - delivered);
    Figures& figures = setup_.board.closed;
    figures.rate = count * 1e9 / clock_.ns(setup_.board.ended.load() - begin);
    figures.cpu_ns = static_cast<double>(cpu_ns(setup_.board) - cpu) / count;
  }

  /// Waits until the server side has all that was sent.
  void drain() {
    flush();
    while (setup_.board.progress[0].seen.load(std::memory_order_acquire) < sequence_) pause_cpu();
  }

  /// A message belongs to the series whose number it bears; the server side knows a series' delays when the next
  /// begins.
  void open_one_way() {
    std::uint64_t stop = later(timed_ms() / 2);
    std::uint64_t begin = clock_.now();
    constexpr std::uint64_t kLooks = 64;
    do {
      for (std::uint64_t i = 0; i < kLooks; ++i) send_one(0, clock_.now());
    } while (clock_.now() < stop);
    drain();
    const double saturation = static_cast<double>(sequence_) * 1e9 / clock_.ns(clock_.now() - begin);
    setup_.board.closed.rate = saturation;
    for (std::size_t load = 0; load < kLoads.size(); ++load) {
      Arrivals arrivals(clock_, saturation * kLoads[load]);
      const std::uint64_t first = sequence_;
      const std::uint64_t cpu = cpu_ns(setup_.board);
      begin = clock_.now();
      stop = later(timed_ms());
      std::uint64_t due = arrivals.next();
      do {
        while (clock_.now() < due) pause_cpu();
        send_one(static_cast<std::uint64_t>(load + 1) << kSeriesShift, due);
        due = arrivals.next();
      } while (due < stop && sequence_ - first < kMaxSamples - 1);
      drain();
      Figures& figures = setup_.board.open[load];
      figures.rate = static_cast<double>(sequence_ - first) * 1e9 / clock_.ns(clock_.now() - begin);
      figures.cpu_ns = static_cast<double>(cpu_ns(setup_.board) - cpu) / static_cast<double>(sequence_ - first);
    }
    send_one(kLast, 0);
    flush();
    wait_until_at_least(setup_.board.done, 1);
  }

  /// Bursts that every queue holds; what is timed is the publisher's own calls.
  void publish() {
    // Until all subscribers are known to the publisher, a first message may reach some of them only; it is sent again.
    while (!all_have(1)) {
      sequence_ = 0;
      send_one(0, 0);
      flush();
      for (const std::uint64_t again = later(1); clock_.now() < again && !all_have(1);) ::sched_yield();
    }
    const std::uint64_t warm = later(timed_ms() / 4);
    for (std::uint64_t i = 0; i < at_least() || clock_.now() < warm; i += kBurst) burst();
    std::vector<std::uint64_t> ticks;
    ticks.reserve(kMaxSamples);
    const std::uint64_t before = sequence_, cpu = cpu_ns(setup_.board), end = later(timed_ms());
    do {
      ticks.push_back(burst());
    } while (clock_.now() < end && ticks.size() < kMaxSamples);
    const double spent = static_cast<double>(cpu_ns(setup_.board) - cpu);
    Figures& figures = setup_.board.closed;
    figures = summarise(ticks, clock_);
    figures.p50 /= kBurst;
    figures.p99 /= kBurst;
    figures.cpu_ns = spent / static_cast<double>(sequence_ - before);
    send_one(kLast, 0);
    flush();
    wait_until_at_least(setup_.board.done, setup_.subscribers());
  }
  std::uint64_t burst() {
    const std::uint64_t begin = clock_.now();
    for (std::size_t i = 0; i < kBurst; ++i) send_one(0, 0);
    const std::uint64_t ticks = clock_.now() - begin;
    flush();
    while (!all_have(sequence_)) ::sched_yield();
    return ticks;
  }
  bool all_have(std::uint64_t messages) const {
    for (unsigned i = 0; i < setup_.subscribers(); ++i) {
      if (setup_.board.progress[i].seen.load(std::memory_order_acquire) < messages) return false;
    }
    return true;
  }

  End& end_;
  const Setup& setup_;
  const Clock clock_;
  Buffer buffer_;
  Checker checker_;
  std::uint64_t answer_lull_ = 0;  ///< ticks, of the last answer
  std::uint64_t sequence_ = 0;     ///< of the last message
};

}  // namespace slotwire::bench
