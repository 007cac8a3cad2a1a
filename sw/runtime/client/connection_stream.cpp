// A connection as a stream of bytes.
#include <algorithm>
#include <cstring>

#include "runtime/client/connection.hpp"

namespace slotwire::client {

using slot::RecordKind;

Failure Connection::write(std::span<const std::byte> data, std::size_t& done) {
  done = 0;
  if (Failure failure = may_send(); failure.status != SW_OK) return failure;
  const std::size_t part = writer_.capacity() / 4;
  while (done < data.size()) {
    const std::size_t n = std::min({writer_.room(), part, data.size() - done});
    if (n == 0) break;
    writer_.write({.kind = RecordKind::stream}, data.subspan(done, n));
    done += n;
  }
  if (done == 0 && !data.empty()) return wait(SW_WRITABLE, Deadline(0), [] { return false; });
  if (done != 0) notify_written();
  return {};
}

Failure Connection::end_stream() {
  if (Failure failure = may_send(); failure.status != SW_OK) return failure;
  if (!writer_.write({.kind = RecordKind::end_of_stream}, {}))
    return wait(SW_WRITABLE, Deadline(0), [] { return false; });
  notify_written();
  own_stream_ended_ = true;
  if (stream_ended_) finish_exchange();
  return {};
}

Failure Connection::loan_stream(std::size_t least, std::span<std::byte>& out) {
  if (Failure failure = may_send(); failure.status != SW_OK) return failure;
  const std::size_t part = writer_.capacity() / 4;
  least = std::clamp<std::size_t>(least, 1, part);
  const std::size_t room = std::min(writer_.room(), part);
  if (room < least) {
    wanted_lines_ = static_cast<std::uint32_t>(slot::record_lines(least));
    return wait(SW_WRITABLE, Deadline(0), [] { return false; });
  }
  const std::optional<std::span<std::byte>> place = writer_.reserve(room);
  if (!place) return end_failure();
  out = *place;
  loan_ = room;
  loaned_ = true;
  return {};
}

Failure Connection::commit_stream(std::size_t length) {
  if (!loaned_) return {SW_INVALID, "there is no loan to commit on this connection"};
  if (length > loan_) return {SW_INVALID, "more bytes are committed than were loaned"};
  loaned_ = false;
  if (length == 0) return {};
  writer_.commit({.length = static_cast<std::uint32_t>(length), .kind = RecordKind::stream});
  notify_written();
  return {};
}

/// The record behind what is held has been read.
void Connection::pass_over(const slot::RecordView& view) {
  stream_offset_ = 0;
  if (held_.lines() == 0) {
    reader_.release(view);
    notify_consumed(view.lines);
    return;
  }
  held_.release(held_.hold_lines(view.lines));  // its lines follow those of pieces that somebody still reads
}

Failure Connection::read(std::span<std::byte> into, std::size_t& done) {
  done = 0;
  while (done < into.size() && !stream_ended_ && !detached_) {
    const std::optional<slot::RecordView> view = reader_.peek(held_.lines());
    if (!view) break;
    if (Failure failure = look_at(*view, held_.lines()); failure.status != SW_OK) {
      if (done != 0) break;
      return failure;
    }
    if (view->header.kind == RecordKind::end_of_stream) {
      stream_ended_ = true;
    } else if (view->header.kind != RecordKind::stream) {
      return {SW_INVALID, "the peer sends messages on this connection: use sw_receive"};
    } else {
      const std::size_t n = std::min(view->payload.size() - stream_offset_, into.size() - done);
      if (n != 0) std::memcpy(into.data() + done, view->payload.data() + stream_offset_, n);
      done += n;
      stream_offset_ += n;
      if (stream_offset_ < view->payload.size()) break;
    }
    pass_over(*view);
  }
  if (stream_ended_ && own_stream_ended_) finish_exchange();
  if (done != 0 || into.empty()) return {};
  if (stream_ended_) return {SW_PEER_CLOSED, "the peer ended its stream"};
  return wait(SW_READABLE, Deadline(0), [] { return false; });
}

/// The stream record with bytes that were not read yet; takes the end of the stream. Empty: none there, or `failure`.
std::optional<slot::RecordView> Connection::next_stream_record(Failure& failure) {
  while (!stream_ended_) {
    if (detached_) {
      failure = end_;
      return std::nullopt;
    }
    std::optional<slot::RecordView> view = reader_.peek(held_.lines());
    if (!view) return std::nullopt;
    failure = look_at(*view, held_.lines());
    if (failure.status != SW_OK) return std::nullopt;
    const bool end = view->header.kind == RecordKind::end_of_stream;
    if (!end && view->header.kind != RecordKind::stream) {
      failure = {SW_INVALID, "the peer sends messages on this connection: use sw_receive"};
      return std::nullopt;
    }
    if (!end && stream_offset_ < view->payload.size()) return view;
    stream_ended_ = end;
    pass_over(*view);
  }
  if (own_stream_ended_) finish_exchange();
  return std::nullopt;
}

Failure Connection::peek_stream(std::span<const std::byte>& out) {
  out = {};
  Failure failure;
  if (const std::optional<slot::RecordView> view = next_stream_record(failure)) {
    out = view->payload.subspan(stream_offset_);
    return {};
  }
  if (failure.status != SW_OK || stream_ended_) return failure;
  return wait(SW_READABLE, Deadline(0), [] { return false; });
}

Failure Connection::consume_stream(std::size_t length) {
  Failure failure;
  const std::optional<slot::RecordView> view = next_stream_record(failure);
  if (failure.status != SW_OK) return failure;
  if (!view || length > view->payload.size() - stream_offset_) {
    return {SW_INVALID, "more bytes are consumed than sw_peek_stream showed"};
  }
  stream_offset_ += length;
  if (stream_offset_ < view->payload.size()) return {};
  pass_over(*view);
  return {};
}

Failure Connection::take_stream(sw_message& out) {
  Failure failure;
  const std::optional<slot::RecordView> view = next_stream_record(failure);
  if (failure.status != SW_OK) return failure;
  if (!view) {
    if (stream_ended_) return {SW_PEER_CLOSED, "the peer ended its stream"};
    return wait(SW_READABLE, Deadline(0), [] { return false; });
  }
  const std::span<const std::byte> piece = view->payload.subspan(stream_offset_);
  stream_offset_ = 0;
  hand_out({view->header, piece, &held_.hold_lines(view->lines)}, out);
  out.kind = 0;
  return {};
}

}  // namespace slotwire::client
