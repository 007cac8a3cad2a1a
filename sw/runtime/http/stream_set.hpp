// The streams of one session and what each is joined to. Both ends of `slotwire stream` have one for each session.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/http_stream/streams.hpp"
#include "runtime/http/stream_pipe.hpp"

namespace slotwire::http {

/// A stream that has ended.
struct StreamSummary {
  http_stream::StreamNumber stream = 0;
  std::string label;
  std::uint64_t bytes_in = 0;   ///< read from the descriptor
  std::uint64_t bytes_out = 0;  ///< written to it
  std::chrono::duration<double> time{};
  std::string reason;
  bool in_order = false;
  http_stream::ResetCode code = http_stream::ResetCode::none;  ///< when the peer reset it
};

class StreamSet {
 public:
  struct Callbacks {
    std::function<void()> touch;  ///< the session has something to send
    std::function<void(const StreamSummary&)> ended;
    /// The peer opened a stream: join() or refuse() it, now or later. Null: streams are refused.
    std::function<void(http_stream::StreamNumber, const std::string& target)> opened;
  };
  /// `pipe` and `memory` outlive this object. Null: the streams have no limit in common with those of others.
  StreamSet(Loop& loop, http_stream::MessagePipe& pipe, http_stream::Role role,
            const http_stream::StreamsOptions& options, Callbacks callbacks,
            http_stream::StreamMemory* memory = nullptr);
  ~StreamSet();

  /// To be joined at once.
  core::Result<http_stream::StreamNumber> open(std::string_view target);
  /// `label`: for the summary. Ignored, and the descriptors closed, when the stream has ended meanwhile.
  void join(http_stream::StreamNumber stream, StreamPipe::Ends ends, const std::string& label);
  void refuse(http_stream::StreamNumber stream, http_stream::ResetCode code);

  /// What the peer makes of a stream that is joined to nothing: a byte of it says that it is accepted.
  enum class Answer : std::uint8_t { none, accepted, refused };
  Answer answer(http_stream::StreamNumber stream);
  void accept(http_stream::StreamNumber stream);

  bool send_datagram(std::span<const std::byte> datagram) { return streams_.send_datagram(datagram); }
  std::optional<http_stream::Bytes> receive_datagram() { return streams_.receive_datagram(); }
  bool send_headed_datagram(std::span<std::byte> message) { return streams_.send_headed_datagram(message); }
  std::optional<http_stream::Bytes> receive_headed_datagram() { return streams_.receive_headed_datagram(); }

  /// Moves what there is. Not within a callback.
  void drive();
  std::size_t count() const { return streams_.count(); }
  std::uint64_t refused_for_memory() const { return streams_.refused_for_memory(); }

 private:
  struct Joined {
    std::unique_ptr<StreamPipe> pipe;
    std::string label;
    std::chrono::steady_clock::time_point since;
    http_stream::ResetCode code = http_stream::ResetCode::none;
  };
  void take(const http_stream::StreamEvent& event);
  void reap();

  Loop& loop_;
  http_stream::MessagePipe& pipe_;
  Callbacks callbacks_;
  http_stream::Streams streams_;
  std::set<http_stream::StreamNumber> free_;  ///< open, and joined to nothing yet
  std::map<http_stream::StreamNumber, Joined> joined_;
};

/// What a reset code means, for people.
std::string reset_text(http_stream::ResetCode code);

}  // namespace slotwire::http
