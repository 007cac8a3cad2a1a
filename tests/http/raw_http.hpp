// For tests: HTTP by hand over a blocking socket, as no library would send it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/slot/memory.hpp"

namespace slotwire::test {

struct RawResponse {
  unsigned status = 0;  ///< 0: the connection ended before a response
  std::string head;     ///< status line and fields
  std::string body;
  std::string field(const std::string& name) const;
};

/// One connection to 127.0.0.1. Every wait ends after kWaitSeconds, as a failure of the test.
class RawClient {
 public:
  static constexpr int kWaitSeconds = 20;

  explicit RawClient(std::uint16_t port, const std::string& from = {});
  /// Takes a connected socket over.
  explicit RawClient(slot::Fd connected);

  /// False: the other end has closed.
  bool send(std::string_view bytes);
  /// Reads one response with Content-Length.
  RawResponse response();
  /// All that comes until the end of the connection.
  std::string to_end();
  /// Exactly so many bytes, fewer at the end of the connection.
  std::string read(std::size_t bytes);
  /// Reads a request or response head, with its empty line.
  std::string head();
  void half_close();
  void close() { fd_.reset(); }
  int fd() const { return fd_.get(); }

 private:
  bool more();
  slot::Fd fd_;
  std::string got_;
};

/// A POST with the fields that are needed.
std::string post(const std::string& path, std::string_view body, const std::string& more_fields = {});
std::string get(const std::string& path, const std::string& more_fields = {});

/// A listening socket of 127.0.0.1 for servers of the test.
class RawListener {
 public:
  RawListener();
  std::uint16_t port() const { return port_; }
  RawClient accept();

 private:
  slot::Fd fd_;
  std::uint16_t port_ = 0;
};

}  // namespace slotwire::test
