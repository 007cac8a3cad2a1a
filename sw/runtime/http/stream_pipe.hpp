// Joins one stream of a session over HTTP to a socket, or to standard input and output.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/http_stream/streams.hpp"
#include "core/slot/memory.hpp"
#include "runtime/http/loop.hpp"

namespace slotwire::http {

/// Copies bytes both ways. Each direction ends by itself: an end that is read from the descriptor finishes the stream's
/// direction, and the end of the stream ends the writing of the descriptor.
class StreamPipe {
 public:
  /// Two descriptors, or one for both ways (`out` is empty then). Non-blocking.
  struct Ends {
    slot::Fd in, out;
  };
  /// Bytes of its buffers, one for either direction.
  static constexpr std::size_t kBufferBytes = std::size_t{64} << 10U;
  static constexpr std::size_t kBytes = 2 * kBufferBytes;

  /// `touch`: the session has something to send.
  StreamPipe(Loop& loop, http_stream::Streams& streams, http_stream::StreamNumber stream, Ends ends,
             std::function<void()> touch);
  StreamPipe(const StreamPipe&) = delete;
  StreamPipe& operator=(const StreamPipe&) = delete;

  /// After events of the stream.
  void on_readable() { write_out(); }
  void on_writable() { read_in(); }
  /// Both directions of the stream have ended, and it was released.
  void on_finished();
  /// The stream was reset: the socket's other end gets a reset, too.
  void on_reset(const std::string& why);

  /// Nothing more moves; its owner removes it. reason() says why.
  bool ended() const { return ended_; }
  const std::string& reason() const { return reason_; }
  bool in_order() const { return in_order_; }
  std::uint64_t bytes_in() const { return bytes_in_; }
  std::uint64_t bytes_out() const { return bytes_out_; }

 private:
  int out_fd() const { return ends_.out ? ends_.out.get() : ends_.in.get(); }
  void on_ready(Readiness ready);
  void read_in();
  void write_out();
  void end_output();
  void want();
  void fail(const std::string& why);
  void end(const std::string& why, bool in_order);

  http_stream::Streams& streams_;
  http_stream::StreamNumber stream_;
  Ends ends_;
  std::function<void()> touch_;
  std::vector<std::byte> input_, output_;
  std::size_t input_at_ = 0, input_end_ = 0, output_at_ = 0, output_end_ = 0;
  std::uint64_t bytes_in_ = 0, bytes_out_ = 0;
  bool input_ended_ = false, output_ended_ = false, input_blocked_ = false, output_blocked_ = false;
  bool finished_ = false, ended_ = false, in_order_ = false;
  std::string reason_;
  std::unique_ptr<Watch> watch_in_, watch_out_;
};

}  // namespace slotwire::http
