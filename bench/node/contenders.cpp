#include "contender.hpp"

#include <cstring>

namespace slotwire::bench {

void read_lines(Bytes bytes) {
  std::uint64_t sum = 0;
  for (std::size_t at = 0; at + 8 <= bytes.size(); at += 64) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    sum += word;
  }
  asm volatile("" : : "r"(sum));
}

Tally::Tally(std::size_t size, std::size_t warm, std::size_t total)
    : size_(size), warm_(warm), total_(total), counts_(1) {}

bool Tally::take(Bytes message) {
  if (message.size() != size_)
    throw std::runtime_error("a message of " + std::to_string(message.size()) + " bytes, not " + std::to_string(size_));
  read_lines(message);
  return count(1);
}

bool Tally::count(std::size_t count) {
  Counts& counts = counts_[0];
  const std::size_t before = counts.received;
  counts.received += count;
  if (before < warm_ && counts.received >= warm_) {
    counts.warm = counts.received;
    counts.begin_us = clock_us(CLOCK_MONOTONIC);
  }
  if (counts.received < total_) return false;
  end();
  return true;
}

void Tally::end() {
  counts_[0].end_us = clock_us(CLOCK_MONOTONIC);
}

double Tally::rate() const {
  const Counts& counts = counts_[0];
  if (counts.begin_us == 0 || counts.end_us <= counts.begin_us) return 0;
  return static_cast<double>(counts.received - counts.warm) * 1e6 / (counts.end_us - counts.begin_us);
}

double Tally::lost_share() const {
  return 1 - (static_cast<double>(counts_[0].received) / static_cast<double>(total_));
}

const std::vector<Contender>& peers() {
  static const std::vector<Contender> all{
      bare_tcp(), bare_tcp_together(), bare_udp(),
#ifdef SLOTWIRE_BENCH_ZEROMQ
      zeromq(),
#endif
#ifdef SLOTWIRE_BENCH_NNG
      nng(),
#endif
#ifdef SLOTWIRE_BENCH_GRPC
      grpc(),
#endif
  };
  return all;
}

const std::vector<std::string>& not_built() {
  static const std::vector<std::string> all{
#ifndef SLOTWIRE_BENCH_ZEROMQ
      "zeromq: the package libzmq3-dev was not there when this was built",
#endif
#ifndef SLOTWIRE_BENCH_NNG
      "nng: the package libnng-dev was not there when this was built",
#endif
#ifndef SLOTWIRE_BENCH_GRPC
      "grpc: the package libgrpc++-dev was not there when this was built",
#endif
  };
  return all;
}

}  // namespace slotwire::bench
