// When a client asks for a duplex connection, and what it remembers of those that failed.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/http_stream/client.hpp"

namespace slotwire::http_stream {

class DuplexTries {
 public:
  /// `learned`: of an earlier client on the same way, whose failures count.
  DuplexTries(const ClientOptions& options, const std::optional<Learned>& learned);

  bool wanted() const { return options_.duplex; }
  bool trying() const { return open_by_us_ != kNever; }
  /// A connection may be asked for now.
  bool due(std::uint64_t now_us) const { return wanted() && !trying() && now_us >= failures_.next_us; }
  /// When due() turns true, or the try under way has failed; kNever: neither comes by itself. Never in the past.
  std::uint64_t deadline(std::uint64_t now_us) const;
  const DuplexFailures& failures() const { return failures_; }

  void begin(std::uint64_t now_us);
  /// The try under way takes too long.
  bool late(std::uint64_t now_us) const { return now_us >= open_by_us_; }
  /// A connection is attached. What is under way beside it counts no more.
  void attached(std::uint64_t now_us);
  /// Bundles of the server came over the one that is attached.
  void heard() { heard_ = true; }
  /// The try failed, or the connection was lost. `random`: decides which part of the delay is left out.
  void failed(std::string_view why, std::uint64_t now_us, std::uint64_t random);
  void lost(std::string_view why, std::uint64_t now_us, std::uint64_t random);

 private:
  /// Bytes of a reason that are kept.
  static constexpr std::size_t kMaxWhy = 300;

  ClientOptions options_;
  DuplexFailures failures_;
  std::uint64_t open_by_us_ = kNever;  ///< of the try under way
  std::uint64_t attached_us_ = 0;
  bool heard_ = false;
};

}  // namespace slotwire::http_stream
