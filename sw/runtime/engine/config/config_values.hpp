// The values that a configuration is written in: sizes, durations, addresses and names.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace slotwire::engine {

inline constexpr std::size_t kMaxNodeName = 63;     ///< bytes in a node's name
inline constexpr std::size_t kMaxServiceName = 63;  ///< bytes in a service's name or in a pattern for it
inline constexpr std::size_t kMaxHostName = 253;    ///< bytes in a host name

/// "host:port" with the host as it was written: a name, an IPv4 or an IPv6 address (without its brackets).
struct HostPort {
  std::string host;
  std::uint16_t port = 0;

  bool operator==(const HostPort&) const = default;
};

/// "64KiB" -> 65536. Units B, KiB, MiB, GiB, TiB; whole numbers only. Nothing when it is not a size or does not fit 64
/// bits.
std::optional<std::uint64_t> parse_size(std::string_view text);
/// 65536 -> "64KiB": the largest unit that leaves a whole number.
std::string format_size(std::uint64_t bytes);
/// For people: 65536 -> "64KiB", and 3355443 -> "3.2MiB (3355443 bytes)", rounded down, where no unit above the byte
/// leaves a whole number.
std::string describe_size(std::uint64_t bytes);

/// "10ms" -> 10000 us. Units us, ms, s, min, h; whole numbers only. Nothing when it is not a duration or is over 24
/// hours.
std::optional<std::chrono::microseconds> parse_duration(std::string_view text);
/// 10000 us -> "10ms": the largest unit that leaves a whole number.
std::string format_duration(std::chrono::microseconds duration);

/// "10.0.0.1:7400", "[::1]:7400", "db-1.example:7400"; ports 0..65535. Nothing when it is none of these.
std::optional<HostPort> parse_host_port(std::string_view text);
/// The reverse of parse_host_port(): an IPv6 host gets its brackets back.
std::string to_string(const HostPort& address);
/// True when the host is an IPv4 or IPv6 address, so that no name has to be looked up.
bool is_numeric_host(const std::string& host);

/// A node's name: 1 to 63 of a-z, 0-9 and '-'.
bool valid_node_name(std::string_view name);
/// A service's name: 1 to 127 of A-Z, a-z, 0-9 and "._/-".
bool valid_service_name(std::string_view name);
/// A service's name in which '*' stands for any run of characters and '?' for any one.
bool valid_service_pattern(std::string_view pattern);
/// Whether `name` is one that `pattern` stands for. Time is at most the product of both lengths.
bool matches_service_pattern(std::string_view pattern, std::string_view name);
/// Whether `pattern` stands for every name that `other` stands for. Neither has more than kMaxServiceName bytes. False
/// also for some pairs of patterns with several '*' where it does.
bool covers_pattern(std::string_view pattern, std::string_view other);

/// `text` fit for a line of a log or an error: control bytes, non-ASCII bytes and backslashes as \xNN, cut after
/// `max` bytes of input. For every text that another process or machine wrote.
std::string printable(std::string_view text, std::size_t max = 200);

}  // namespace slotwire::engine
