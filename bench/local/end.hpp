// What a contender's class has. An End is one side of it:
//
//   End(const Setup&)                    a server calls setup.bound() and waits for its client; throws
//   void send(Bytes)                     waits for room
//   void receive(f)                      waits for a message and calls f(Bytes) with it in place
//
// or, if it knows only calls, `void call(Bytes, f)` for the client and `void answer(f)` for the server, where f returns
// what is to be answered. If it has them, these are used too:
//
//   void send_batch(Bytes all, size)     messages of `size` bytes, one after the other in `all`
//   void receive_some(f)                 at least one message
//   void send_loan(size, fill)           room of the contender's own, fill(std::span<std::byte>) writes into it
//   void flush()                         what was sent is on its way
#pragma once
#include <concepts>
#include <cstddef>
#include <span>

#include "contender.hpp"

namespace slotwire::bench {

template <typename End>
concept HasMessages = requires(End& end, Bytes bytes) {
  end.send(bytes);
};
template <typename End>
concept HasCalls = requires(End& end, Bytes bytes) {
  end.call(bytes, [](Bytes) {});
};
template <typename End>
concept HasLoans = requires(End& end) {
  end.send_loan(std::size_t{}, [](std::span<std::byte>) {});
};
template <typename End>
concept HasBatches = requires(End& end, Bytes bytes) {
  end.send_batch(bytes, std::size_t{});
};

}  // namespace slotwire::bench
