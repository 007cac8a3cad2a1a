// One side that talks by blocks: a topic in each direction, written and read in place.
#pragma once
#include <unistd.h>

#include <optional>

#include "contenders/slotwire_ends.hpp"
#include "sides.hpp"
#include "slotwire_blocks.hpp"

namespace slotwire::bench {

inline constexpr std::uint32_t kBlockEntries = 256;

class BlocksEnd {
 public:
  explicit BlocksEnd(const Setup& setup)
      : spins_(setup.spins()),
        region_(must(Region::open("bench-" + std::to_string(::getppid()) + "-" + std::to_string(setup.job().number)),
                     "no region")) {
    const bool client = setup.role == Role::client;
    const bool both_ways = setup.job().kind != Kind::publish;
    const std::string here = client ? "to" : "from";
    const std::string there = client ? "from" : "to";
    if (client || both_ways) {
      // Eight messages under way at least, and what the caches hold if they are small.
      const std::uint64_t bytes = std::max<std::uint64_t>(std::uint64_t{1} << 20, 8 * setup.size());
      out_ = must(region_.publish(here, {.entries = kBlockEntries, .block_bytes = bytes}), "cannot publish");
    }
    if (!client || both_ways) in_ = must(region_.subscribe(there), "cannot subscribe");
    if (!client) setup.bound();
    if (out_) {
      const Result<void> joined = out_->wait_for_subscribers(client ? setup.subscribers() : 1, Deadline::never());
      if (!joined) throw std::runtime_error(joined.error().text);
    }
    // The client waits until the server's side has its memory mapped.
    while (!client && in_->publishers() == 0) pause_cpu();
  }

  void send(Bytes message) {
    send_loan(message.size(),
              [&](std::span<std::byte> room) { std::memcpy(room.data(), message.data(), message.size()); });
  }
  template <typename Fill>
  void send_loan(std::size_t size, Fill fill) {
    Block block = must(out_->loan(size, Deadline::never()), "no loan");
    fill(block.data());
    const Result<void> published = out_->publish(std::move(block), Deadline::never());
    if (!published) throw std::runtime_error("cannot publish: " + published.error().text);
  }
  template <typename Take>
  void receive(Take take) {
    while (true) {
      Result<View> view = in_->take(spins_ ? Deadline::now() : Deadline::never());
      if (view) {
        take(view->data());
        return;
      }
      if (view.status() != Status::again) throw std::runtime_error("cannot take: " + view.error().text);
      pause_cpu();
    }
  }

 private:
  bool spins_;
  Region region_;
  std::optional<Publisher> out_;
  std::optional<Subscriber> in_;
};

}  // namespace slotwire::bench
