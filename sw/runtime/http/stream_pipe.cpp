#include "runtime/http/stream_pipe.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "core/carriers/socket.hpp"

namespace slotwire::http {
namespace {

/// Buffers that are read from a descriptor before others have their turn.
constexpr int kReadsAtOnce = 8;

/// The other end of a TCP connection gets a reset instead of an end in order.
void reset_on_close(int fd) {
  const linger now{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

}  // namespace

StreamPipe::StreamPipe(Loop& loop, http_stream::Streams& streams, http_stream::StreamNumber stream, Ends ends,
                       std::function<void()> touch)
    : streams_(streams),
      stream_(stream),
      ends_(std::move(ends)),
      touch_(std::move(touch)),
      input_(kBufferBytes),
      output_(kBufferBytes) {
  watch_in_ = std::make_unique<Watch>(loop, ends_.in.get(), [this](Readiness ready) { on_ready(ready); });
  if (ends_.out) {
    watch_out_ = std::make_unique<Watch>(loop, ends_.out.get(), [this](Readiness ready) { on_ready(ready); });
  }
  want();
}

void StreamPipe::on_ready(Readiness ready) {
  if (ended_) return;
  if (ready.writable) output_blocked_ = false;
  if (ready.readable) read_in();
  if (ready.writable) write_out();
  touch_();
}

void StreamPipe::want() {
  if (ended_) return;
  const bool read = !input_ended_ && !input_blocked_;
  if (watch_out_) {
    watch_in_->want({read, false});
    watch_out_->want({false, output_blocked_});
  } else {
    watch_in_->want({read, output_blocked_});
  }
}

void StreamPipe::read_in() {
  for (int i = 0; i < kReadsAtOnce && !ended_; ++i) {
    if (input_at_ < input_end_) {
      const std::size_t taken = streams_.write(stream_, std::span(input_).subspan(input_at_, input_end_ - input_at_));
      input_at_ += taken;
      bytes_in_ += taken;
      if (input_at_ < input_end_) {
        input_blocked_ = true;
        break;
      }
    }
    input_blocked_ = false;
    if (input_ended_) break;
    const ssize_t n = ::read(ends_.in.get(), input_.data(), input_.size());
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (n < 0) return fail("reading: " + carriers::errno_text(errno));
    if (n == 0) {
      input_ended_ = true;
      streams_.finish(stream_);
      break;
    }
    input_at_ = 0;
    input_end_ = static_cast<std::size_t>(n);
  }
  want();
}

void StreamPipe::write_out() {
  while (!ended_ && !output_blocked_ && !output_ended_) {
    if (output_at_ == output_end_) {
      output_at_ = 0;
      output_end_ = finished_ ? 0 : streams_.read(stream_, output_);
      if (output_end_ == 0) {
        if (finished_ || streams_.at_end(stream_)) end_output();
        break;
      }
    }
    const ssize_t n = ::write(out_fd(), output_.data() + output_at_, output_end_ - output_at_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      output_blocked_ = true;
      break;
    }
    if (n < 0) return fail("writing: " + carriers::errno_text(errno));
    output_at_ += static_cast<std::size_t>(n);
    bytes_out_ += static_cast<std::uint64_t>(n);
  }
  want();
}

void StreamPipe::end_output() {
  output_ended_ = true;
  if (ends_.out) {
    watch_out_.reset();
    ends_.out.reset();
  } else {
    ::shutdown(ends_.in.get(), SHUT_WR);
  }
  if (finished_) end("both ends closed", true);
}

void StreamPipe::on_finished() {
  finished_ = true;
  write_out();
  if (!ended_ && output_ended_) end("both ends closed", true);
}

void StreamPipe::on_reset(const std::string& why) {
  if (ended_) return;
  if (!ends_.out) reset_on_close(ends_.in.get());
  end(why, false);
}

void StreamPipe::fail(const std::string& why) {
  if (!finished_) {
    streams_.reset(stream_, http_stream::ResetCode::failed);
    streams_.release(stream_);
  }
  end(why, false);
}

void StreamPipe::end(const std::string& why, bool in_order) {
  ended_ = true;
  in_order_ = in_order;
  reason_ = why;
  watch_in_.reset();
  watch_out_.reset();
  ends_ = {};
  touch_();
}

}  // namespace slotwire::http
