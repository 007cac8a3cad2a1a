// Byte streams and datagrams over a message pipe: what a tunnel and a link's frames need. No socket, no clock.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/http_stream/message_pipe.hpp"
#include "core/http_stream/stream_memory.hpp"
#include "core/result.hpp"

namespace slotwire::http_stream {

/// Odd: opened by the client; even: by the server.
using StreamNumber = std::uint32_t;

/// Which end of the pipe this is.
enum class Role : std::uint8_t { client, server };

struct StreamsOptions {
  /// Streams that are open at once, both ends' together.
  std::size_t max_streams = 256;
  /// Bytes that the peer may send on one stream ahead of read(). All streams of a session together hold at most
  /// max_streams * window_bytes, and those of many sessions what their StreamMemory has.
  std::size_t window_bytes = std::size_t{256} << 10U;
  /// Bytes that write() takes ahead of the peer, for each stream.
  std::size_t write_bytes = std::size_t{256} << 10U;
  /// Bytes of a stream in one message; with its header it is one part of 8,192 bytes.
  std::size_t chunk_bytes = 8'187;
  /// Unacknowledged bytes in the pipe above which streams wait. Datagrams may use the rest of the pipe's room.
  std::size_t pipe_bytes = std::size_t{3} << 20U;
  /// Bytes of received datagrams that wait for receive_datagram(). More are discarded and counted.
  std::size_t datagram_bytes = std::size_t{2} << 20U;
  /// Bytes of the name of a target, at most 1,024.
  std::size_t target_bytes = 1'024;
  /// Bytes that the owner keeps for each stream beside its windows; StreamMemory counts them.
  std::size_t owner_bytes = 0;
};

/// Why a stream was reset. On the wire; append only.
enum class ResetCode : std::uint8_t { none = 0, cancelled = 1, refused = 2, no_target = 3, failed = 4, limit = 5 };
constexpr ResetCode kLastResetCode = ResetCode::limit;

/// Something that concerns the owner of a stream.
struct StreamEvent {
  enum class Kind : std::uint8_t {
    opened,    ///< by the peer; target() names what it wants. Accept it by using it, refuse it by reset()
    readable,  ///< bytes or the end can be read
    writable,  ///< write() had taken less than it was given, and there is room again
    reset,     ///< by the peer, see reset_code(); release() it
    finished   ///< both directions have ended and everything was read; release() it
  };
  Kind kind{};
  StreamNumber stream = 0;
};

/// Many byte streams with windows of their own, and datagrams, over one pipe. A stream that is not read fills its own
/// window and stops nothing else: every message is taken out of the pipe at once.
class Streams {
 public:
  /// The pipe and the memory outlive this object. With a memory each stream has 64 KiB for either direction, or is
  /// refused; its windows grow up to their options as it needs more and there is enough. Null: no limit.
  Streams(MessagePipe& pipe, Role role, const StreamsOptions& options = {}, StreamMemory* memory = nullptr);
  ~Streams();
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  /// Opens a stream to what the peer calls `target`. Bytes may be written at once. An Error: too many streams, too long
  /// a name, or the pipe has ended.
  core::Result<StreamNumber> open(std::string_view target);
  /// Bytes taken: fewer than given when the stream's buffer is full; none after finish() or the end.
  std::size_t write(StreamNumber stream, std::span<const std::byte> bytes);
  std::size_t writable(StreamNumber stream) const;
  /// Bytes put into `into`. 0: nothing there now, or at_end().
  std::size_t read(StreamNumber stream, std::span<std::byte> into);
  /// The peer has finished and everything was read, or the stream is reset or unknown.
  bool at_end(StreamNumber stream) const;
  /// No more is written. The other direction goes on.
  void finish(StreamNumber stream);
  /// Both directions end now; what was not delivered is discarded.
  void reset(StreamNumber stream, ResetCode code);
  /// The number is forgotten; a stream that has not ended is reset.
  void release(StreamNumber stream);
  std::string_view target(StreamNumber stream) const;
  ResetCode reset_code(StreamNumber stream) const;
  std::size_t count() const;
  /// Streams that the peer wanted and that were refused for want of memory.
  std::uint64_t refused_for_memory() const;

  /// Sends a datagram of 1..max_datagram() bytes. It arrives once and in order, unless the peer does not take its
  /// datagrams. False: no room in the pipe.
  bool send_datagram(std::span<const std::byte> datagram);
  std::optional<Bytes> receive_datagram();
  /// The same without a copy: the datagram follows kDatagramHead bytes, which are the stream's own.
  bool send_headed_datagram(std::span<std::byte> message);
  std::optional<Bytes> receive_headed_datagram();
  static constexpr std::size_t kDatagramHead = 1;
  /// Datagrams that came and were discarded because datagram_bytes were waiting.
  std::uint64_t discarded_datagrams() const;
  /// Bytes of the longest datagram, for a pipe whose longest message is `max_message`.
  static constexpr std::size_t max_datagram(std::size_t max_message) { return max_message - kDatagramHead; }

  /// Moves messages between the pipe and the streams. Call it after the pipe has received or acknowledged something,
  /// and after write(), read() and the like.
  void drive();
  std::optional<StreamEvent> next_event();
  /// The peer broke the rules, or the pipe has closed: every stream is reset, and nothing is taken any more. The owner
  /// closes the pipe with this reason.
  const std::optional<CloseReason>& failure() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace slotwire::http_stream
