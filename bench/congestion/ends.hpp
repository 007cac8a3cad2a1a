// The ends of bulk traffic, over Slotwire and over TCP. Each runs in a process of its own and prints lines of JSON.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace slotwire::bench {

struct SenderOptions {
  std::string to;           ///< a service, or address:port
  std::uint64_t first = 1;  ///< number of the first stream; the others follow
  std::size_t connections = 1;
  std::uint32_t ring_bytes = 0;     ///< over Slotwire: each connection's ring towards the sink; 0: the node's default
  std::string algorithm = "cubic";  ///< over TCP: TCP_CONGESTION
  std::chrono::milliseconds time{1000};
  std::chrono::milliseconds patience{60'000};  ///< for connecting, and for what is in the rings at the end to arrive
};

struct SinkOptions {
  std::string at;  ///< a service, or address:port
  std::size_t connections = 1;
};

// A sender connects, prints {"ready": true}, waits for a line on its standard input, sends for its time as much as it
// can, and prints what it sent. A sink prints {"ready": true}, then samples (sampler.hpp), and what each stream brought
// when all its connections have ended. All throw std::runtime_error when they cannot go on. A stream with wrong content
// is no error but is reported.
void send_over_slotwire(const SenderOptions& options);
void sink_of_slotwire(const SinkOptions& options);
/// Ends its connections at once when the time is over: what the kernel has not sent is discarded.
void send_over_tcp(const SenderOptions& options);
void sink_of_tcp(const SinkOptions& options);

}  // namespace slotwire::bench
