// What `slotwire stream` is told on its command line.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/http_stream/options.hpp"
#include "core/http_stream/streams.hpp"
#include "runtime/http/server.hpp"

namespace slotwire::cli {

/// Files of PEM texts; empty: none.
struct StreamTlsFiles {
  std::string certificate, key, ca;
};

struct StreamServeOptions {
  std::vector<std::string> addresses;
  std::string path;
  std::vector<std::string> targets;  ///< "[NAME=]HOST:PORT"; the first is for clients that name none
  StreamTlsFiles tls;
  std::vector<std::string> trusted_proxies;
  http::ServerLimits limits;
  http_stream::ServerOptions sessions;
  http_stream::StreamsOptions streams;
  std::chrono::microseconds hold{45'000'000}, grace{60'000'000}, connect_timeout{5'000'000};
  std::uint64_t memory = std::uint64_t{512} << 20U;
  std::uint64_t stream_memory = std::uint64_t{512} << 20U;
  std::uint64_t stream_window = std::uint64_t{1} << 20U;
  bool quiet = false, verbose = false;
};

struct StreamConnectOptions {
  std::string url;
  std::string target;  ///< empty: the server's first
  std::string listen;  ///< empty: standard input and output
  std::optional<std::string> proxy;
  std::string proxy_user_file, server_user_file;
  bool proxy_negotiate = false, server_negotiate = false, no_websocket = false;
  StreamTlsFiles tls;
  http_stream::ClientOptions session;
  http_stream::StreamsOptions streams;
  std::chrono::microseconds hold{25'000'000}, connect_timeout{10'000'000};
  std::chrono::microseconds websocket_retry{5'000'000}, websocket_retry_max{1'800'000'000};
  std::uint64_t body = std::uint64_t{512} << 10U;
  std::uint64_t stream_memory = std::uint64_t{512} << 20U;
  std::uint64_t stream_window = std::uint64_t{4} << 20U;
  bool quiet = false, verbose = false;
};

/// Until SIGINT or SIGTERM. Throws CommandError.
int run_stream_serve(const StreamServeOptions& options);
/// Until the stream ends, or with `listen` until SIGINT or SIGTERM. Throws CommandError.
int run_stream_connect(const StreamConnectOptions& options);

/// The texts of the files. Throws CommandError.
carriers::TlsTexts read_tls(const StreamTlsFiles& files);
/// A line of the log, with the time, on standard error.
void log_line(const std::string& text);
/// Microseconds as the sessions count them.
inline std::uint64_t to_us(std::chrono::microseconds time) {
  return static_cast<std::uint64_t>(time.count());
}

}  // namespace slotwire::cli
