// A bundle: the body of one request or response, or one message of a duplex connection. docs/http-stream.md has the
// layout. Reading it is strict: what is not exactly a bundle is an error, and memory grows with the bytes that came.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/http_stream/options.hpp"
#include "core/result.hpp"

namespace slotwire::http_stream {

/// Parts first..first+count-1, by their numbers.
struct PartRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  bool operator==(const PartRange&) const = default;
};

/// One part of a message, as a view of the body or of the sender's queue.
struct PartView {
  std::uint64_t number = 0;
  bool continues = false;  ///< the message goes on in the part with the next number
  std::span<const std::byte> bytes;
};

/// Bits of Bundle::flags. Others are invalid.
enum Flag : std::uint16_t {
  kFlagOpen = 1,         ///< opens a session (request), or answers that (response); the opening section follows
  kFlagClose = 2,        ///< the sender ends the session; the closing section follows
  kFlagAnswerNow = 4,    ///< request: do not hold this one
  kFlagUnknown = 8,      ///< response: no session has this key
  kFlagUnreadable = 16,  ///< response: the request could not be read; nothing else in the bundle is meaningful
  kFlagResponse = 32,    ///< the server sent it
  kFlagDuplex = 64,      ///< it went over a duplex connection
};

/// Why a session ended. On the wire; append only.
enum class CloseCode : std::uint8_t {
  none = 0,
  done = 1,             ///< the application closed it
  failed = 2,           ///< the client gave up: nothing was answered
  timed_out = 3,        ///< the server heard nothing within the grace time
  unknown_session = 4,  ///< the server does not know the key
  refused = 5,          ///< a limit of sessions
  protocol_error = 6,   ///< the peer broke the rules
};
constexpr CloseCode kLastCloseCode = CloseCode::protocol_error;

/// Why a session ended, for programs and for people.
struct CloseReason {
  CloseCode code = CloseCode::none;
  std::string text;  ///< at most kMaxReasonBytes are sent
  bool operator==(const CloseReason&) const = default;
};

constexpr std::size_t kMaxReasonBytes = 200;
constexpr std::size_t kMaxRanges = 32;
constexpr std::size_t kMaxRuns = 64;
/// The fixed header, and the most that stands before the first run.
constexpr std::size_t kHeaderBytes = 84;
constexpr std::size_t kOpenBytes = 24;
constexpr std::size_t kCloseBytes = 10;
constexpr std::size_t kRangeBytes = 8;
constexpr std::size_t kRunBytes = 10;
constexpr std::size_t kPartHeaderBytes = 2;
constexpr std::size_t kMaxPartBytes = 0x7fff;
constexpr std::size_t kMinBundleBytes =
    kHeaderBytes + kOpenBytes + kCloseBytes + kMaxReasonBytes + kMaxRanges * kRangeBytes + kRunBytes + kPartHeaderBytes;
/// No body may be longer, whatever the options say.
constexpr std::size_t kMaxBundleBytes = std::size_t{1} << 20U;

/// What a bundle says. Encoding takes all of it; decoding fills all of it, with `parts` pointing into the body.
struct Bundle {
  Key key{};                        ///< zero: opening request, or unreadable
  std::uint64_t sequence = 0;       ///< number of the request (from 1), also in its response; duplex: of the bundle
  std::uint64_t echo = 0;           ///< response, duplex: highest number that its sender has received
  std::uint64_t outstanding = 0;    ///< request: bit i: the answer to request sequence-i is awaited; bit 0 is set
  std::uint32_t delay_us = 0;       ///< response: time for which the request was held; duplex: since echo came
  std::uint32_t hold_ms = 0;        ///< request: longest hold; response: longest that the server grants
  std::uint32_t round_trip_us = 0;  ///< request, duplex: what the client measured, smoothed; 0: nothing yet
  std::uint16_t flags = 0;          ///< of Flag
  std::uint16_t generation = 0;     ///< changes of the path so far: odd while a duplex connection is attached
  std::uint8_t wanted = 0;          ///< request: requests that may be held; response: that could be filled at once
  std::uint8_t unreadable = 0;      ///< bundles that arrived damaged so far, modulo 256
  std::uint64_t next = 0;           ///< every part below this number was received
  std::vector<PartRange> ranges;    ///< parts beyond `next` that were received, ascending, at most kMaxRanges
  std::uint64_t credit = 0;  ///< total cost of parts, from the session's beginning, up to which the peer may send
  // kFlagOpen
  Key nonce{};                    ///< the client's; a response repeats it
  std::uint32_t max_message = 0;  ///< the sender's limits in bytes
  std::uint32_t bundle_bytes = 0;
  // kFlagClose
  CloseReason reason;
  std::uint64_t end = 0;        ///< number after the last part that is sent
  std::vector<PartView> parts;  ///< in runs of consecutive numbers, ascending within a run

  bool has(Flag flag) const noexcept { return (flags & flag) != 0; }
  void set(Flag flag) noexcept { flags = static_cast<std::uint16_t>(flags | flag); }
};

/// The bytes of a bundle. What exceeds the limits above (ranges, reason) is cut; parts must not.
Bytes encode(const Bundle& bundle);

/// Reads a whole body. An Error for every body that is damaged (CRC-32C), cut short, too long, of another version, or
/// breaks a rule of the layout. The parts of the result point into `body`.
core::Result<Bundle> decode(std::span<const std::byte> body);

/// Name of a code for reports: "timed_out".
std::string_view name_of(CloseCode code);

}  // namespace slotwire::http_stream
